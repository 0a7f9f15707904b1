"""What was measured on one machine, as a page of Markdown: docs/ keeps one for each processor."""

import platform
import re
from pathlib import Path

FORMATS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""What a processor may have for the products of a network, as Linux names it."""


def processor(information: str | None = None) -> str:
    """Name, family and model of the processor, and which of FORMATS it has.

    Args:
        information: the text of /proc/cpuinfo; None reads it. Where there is none, Python's own name is returned.

    >>> processor("cpu family: 6\\nmodel: 143\\nmodel name: Intel(R) Xeon(R)\\nflags: fpu avx2 amx_bf16\\n")
    'Intel(R) Xeon(R), family 6, model 143, avx2, amx_bf16'
    """
    if information is None:
        path = Path("/proc/cpuinfo")
        information = path.read_text(encoding="utf-8") if path.exists() else ""
    found = dict(re.findall(r"^([a-z ]+?)\s*: *(.*)$", information, re.MULTILINE))
    if "model name" not in found:
        return platform.processor() or platform.machine()
    about = [f"{name} {found[key]}" for name, key in (("family", "cpu family"), ("model", "model")) if key in found]
    return ", ".join(
        [found["model name"], *about, *(name for name in FORMATS if name in found.get("flags", "").split())]
    )


def page_of(entries: dict[str, dict]) -> str:
    """Every entry of outputs/benchmarks.json: the ratio with its least and greatest repeat, both sides, and the goal.

    Args:
        entries: by name, as `benchmarks.__main__` stores them.

    >>> side = {"min": 1.0, "median": 2.0, "max": 3.0}
    >>> one = {"ratio": 2.0, "spread": {"ratio": side}, "repeats": 3, "ours": 4.0, "peer": 8.0, "unit": "ms"}
    >>> one |= {"against": "captum", "goal": ">= 1.5", "met": True, "processor": "P", "cores": 2, "measured": "a day"}
    >>> print(page_of({"it": one | {"versions": {"torch": "2"}}}).splitlines()[-1])
    | it | 2.00 (1.00 to 3.00) | >= 1.5 | 4 | 8 | ms | captum | a day |
    """
    machines = sorted({f"{one['processor']}; {one['cores']} cores" for one in entries.values()})
    versions = sorted({f"{name} {number}" for one in entries.values() for name, number in one["versions"].items()})
    lines = [
        f"# Measured on {' and on '.join(machines)}",
        "",
        "Written by `python -m benchmarks`: medians of interleaved repeats, least and greatest in brackets.",
        f"[Speed](speed.md) says what is measured and what limits it. {', '.join(versions)}.",
        "",
        "| measure | ratio | goal | ours | peer | unit | against | measured |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in entries.items():
        spread = one["spread"]["ratio"]
        ratio = f"{one['ratio']:.2f} ({spread['min']:.2f} to {spread['max']:.2f})"
        goal = one["goal"] if one["met"] else f"{one['goal']}, **not met**"
        sides = f"{one['ours']:.3g} | {one['peer']:.3g} | {one['unit']} | {one['against']}"
        lines.append(f"| {name.replace('_', ' ')} | {ratio} | {goal} | {sides} | {one['measured']} |")
    return "\n".join(lines) + "\n"
