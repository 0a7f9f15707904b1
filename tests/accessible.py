"""What axe-core says of a page; the tests that ask for it are skipped where its package is not installed."""

import pytest


def faults(page, excluded: list[str] | None = None) -> list[str]:
    """What axe-core finds serious or critical on a page of playwright, as it is and with every fold open.

    Args:
        excluded: selectors of markup of others, which is left out.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = []
    for unfolded in (False, True):
        page.evaluate("(on) => document.querySelectorAll('details').forEach((fold) => (fold.open = on))", unfolded)
        context = {"exclude": [[selector] for selector in excluded]} if excluded else None
        for fault in axe.Axe().run(page, context).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                found += [f"{fault['id']}: {node['html'][:200]}" for node in fault["nodes"]]
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = false))")
    return found
