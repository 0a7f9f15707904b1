"""How much of a run is done and how long the rest takes, from what the notebooks took before or typically take."""

from cxrlib.workflow.console import duration

TYPICAL = {
    "01": 36,
    "02": 98,
    "03": 8,
    "04": 18,
    "05": 17,
    "06": 29,
    "07": 16,
    "08": 129,
    "09": 35,
    "12": 9,
}
"""Number of a notebook -> seconds in the profile demo on two cores; only their ratios count."""
OTHERS = 20
"""The same of a notebook that is not among them."""
CELLS = 10
"""Width of the bar in characters."""


class TimeLeft:
    """The time that a run still takes, by the notebooks that are done and those that wait.

    A notebook is expected to take what it took before, or its typical share in the scale of the others. What the
    notebooks of this run really took then corrects the expectation of those that wait.

    Args:
        names: of the notebooks that will run, in order.
        before: seconds that notebooks of this folder took before, by name.

    >>> left = TimeLeft(["01_data", "02_training"], {"01_data": 10.0, "02_training": 30.0})
    >>> left.line(0.0)
    '[----------]   0 %, about 40 s left'
    >>> left.done("01_data", 20.0)
    >>> left.line(30.0)
    '[######----]  62 %, about 30 s left'
    """

    def __init__(self, names: list[str], before: dict[str, float]) -> None:
        typical = {name: float(TYPICAL.get(name[:2], OTHERS)) for name in names}
        known = {name: before[name] for name in names if before.get(name)}
        scale = sum(known.values()) / sum(typical[name] for name in known) if known else 1.0
        self.in_seconds = bool(known)
        self.expected = {name: known.get(name, scale * typical[name]) for name in names}
        self.waiting = list(names)
        self.took = 0.0

    def done(self, name: str, seconds: float) -> None:
        """Note that a notebook has ended; one that nobody expected to run does not count."""
        if name in self.waiting:
            self.waiting.remove(name)
            self.took += seconds

    def line(self, seconds: float) -> str:
        """A bar over the whole run and the time left, while the first notebook that waits has run for `seconds`."""
        total = sum(self.expected.values())
        finished = total - sum(self.expected[name] for name in self.waiting)
        now, *later = [self.expected[name] for name in self.waiting] or [0.0]
        pace = self.took / finished if finished else 1.0
        share = (finished + min(seconds / pace, now)) / total
        left = max(now * pace - seconds, 0.0) + pace * sum(later)
        filled = int(CELLS * share)
        bar = f"[{'#' * filled}{'-' * (CELLS - filled)}] {share:4.0%}".replace("%", " %")
        return f"{bar}, about {duration(left, 0)} left" if finished or self.in_seconds else bar
