"""Interleaved measurements: ours and the peer's by turns, so that a slower minute of the machine meets both."""

import statistics
import time
from collections.abc import Callable

REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def by_turns(*works: Callable[[], object], repeats: int = REPEATS, warm: bool = False) -> tuple[list, ...]:
    """Seconds of each call of all works, after one call of each that does not count.

    Args:
        works: called in turn.
        repeats: calls of each that count.
        warm: whether each has been called already, so that the call that does not count is left out.

    Returns:
        One list for each work.
    """
    for work in () if warm else works:
        work()
    rounds = [[seconds(work) for work in works] for _ in range(repeats)]
    return tuple(list(times) for times in zip(*rounds, strict=True))


def entry(ratios: list[float], ours: list[float], peer: list[float], unit: str, against: str) -> dict:
    """One line of the report: the median ratio, and what it comes from.

    Args:
        ratios: one per repeat, in the sense of the goal.
        ours, peer: one value per repeat, in `unit`.
        against: what the peer is.
    """
    spread = {
        name: {"min": min(values), "median": statistics.median(values), "max": max(values)}
        for name, values in {"ratio": ratios, "ours": ours, "peer": peer}.items()
    }
    medians = {name: values["median"] for name, values in spread.items()}
    return medians | {"unit": unit, "against": against, "repeats": len(ratios), "spread": spread}


def speedup(times: tuple[list, list], count: int, unit: str, against: str) -> dict:
    """How many times faster than the peer, from seconds for `count` items each; reported in ms per item."""
    ours, peer = ([1000 * value / count for value in values] for values in times)
    return entry([theirs / mine for mine, theirs in zip(ours, peer, strict=True)], ours, peer, unit, against)


def overhead(times: tuple[list, list], count: int, unit: str, against: str) -> dict:
    """How many times the peer's time ours takes, from seconds for `count` items each; reported in ms per item."""
    ours, peer = ([1000 * value / count for value in values] for values in times)
    return entry([mine / theirs for mine, theirs in zip(ours, peer, strict=True)], ours, peer, unit, against)
