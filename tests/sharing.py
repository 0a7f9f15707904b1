"""How the workers of `pytest -n 2` share the tests: files as a whole, what takes long first.

The groups of pytest-xdist (`--dist loadgroup`) are not used: pytest 9.2 ignores them
(https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

FINISHED_RUN = ("test_reruns.py", "test_smoke.py", "test_report.py", "test_report_page.py")
"""Files whose tests look at the finished run, which is made once (`tests/test_habit.py` compares them)."""
LONGEST = ("finished run", "notebooks")
"""Groups of several files, which begin first so that the workers end at about the same time."""


def group_of(nodeid: str) -> str:
    """The tests of a group run one after the other in one worker.

    Notebooks read each other's results. What looks at the finished run waits for it. Any other file is its own group.
    """
    file = nodeid.partition("::")[0]
    if file.endswith(".ipynb"):
        return "notebooks"
    return "finished run" if file.endswith(FINISHED_RUN) else file


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Tests in the order in which workers take them: the longest groups, files with slow tests, all others."""
    slow = {group_of(item.nodeid) for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        group = group_of(item.nodeid)
        return LONGEST.index(group) if group in LONGEST else len(LONGEST), group not in slow

    return sorted(items, key=place)


class ByGroup(LoadScopeScheduling):
    """Gives a worker the next group when it has almost finished its last."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
