"""How much memory a piece of work takes at its peak."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path


def peak_of(work: Callable, *arguments: object) -> int:
    """Bytes that Python and NumPy hold at once while `work(*arguments)` runs, beyond what was there before."""
    tracemalloc.start()
    try:
        work(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def resident(path: Path) -> int:
    """Bytes of a memory-mapped file that this process holds in memory, on Linux."""
    _, *mapped = Path("/proc/self/smaps").read_text().split(f"{path}\n")
    return sum(1024 * int(part.split("\nRss:", 1)[1].split()[0]) for part in mapped)
