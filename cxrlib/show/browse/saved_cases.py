"""Cases that a user keeps, and the HTML page of them."""

import base64
from dataclasses import dataclass
from html import escape

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
figure { display: flex; flex-wrap: wrap; gap: 1rem; margin: 0 0 2rem; break-inside: avoid; }
img { width: 512px; max-width: 100%; height: auto; }
figcaption { flex: 1 1 16rem; }
dt { float: left; clear: left; min-width: 9rem; } dd { margin: 0 0 0 9rem; font-variant-numeric: tabular-nums; }
"""


NOTE = "Research use only, not for diagnosis."


@dataclass(frozen=True)
class Case:
    """One view that a user kept: PNG bytes, caption, and the view's numbers as text."""

    png: bytes
    caption: str
    numbers: dict[str, str]


def cases_page(cases: list[Case], title: str) -> str:
    """One HTML page without scripts or other files: a figure and its numbers per case."""
    figures = "\n".join(_figure(number, case) for number, case in enumerate(cases, start=1))
    return (
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{escape(title)}</title>\n"
        f"<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n<p>{NOTE}</p>\n{figures}\n</html>\n"
    )


def _figure(number: int, case: Case) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in case.numbers.items())
    source = f"data:image/png;base64,{base64.b64encode(case.png).decode()}"
    return (
        f"<figure><img src='{source}' alt='{escape(case.caption)}'>"
        f"<figcaption><p>{number}. {escape(case.caption)}</p><dl>{rows}</dl></figcaption></figure>"
    )
