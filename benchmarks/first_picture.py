"""`python -m benchmarks first_picture FOLDER` measures how long the page of the heatmaps takes to its first picture.

FOLDER is a finished run. Chromium opens the page twice: as soon as the server answers, when its kernel has just been
started, and once more, from another profile without a cache, when a kernel is waiting. Needs playwright and Chromium.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import Browser, sync_playwright

from cxrlib.runtime.files import PROJECT_ROOT

DRAWN = "[...document.querySelectorAll('.cxr-large img')].some((image) => image.naturalWidth > 0)"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\?token=\w+")
QUIET = 3
"""Seconds without work after which a kernel counts as waiting."""


def main(folder: Path, repeats: int) -> None:
    """Print medians in seconds: from the command, from the first request, and from a request to a waiting kernel."""
    chromium = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        measured = [once(browser, folder) for _ in range(repeats)]
        browser.close()
    for name in measured[0]:
        times = [one[name] for one in measured]
        print(f"{name:40} median {statistics.median(times):5.1f} s of {', '.join(f'{one:.1f}' for one in times)}")


def once(browser: Browser, folder: Path) -> dict[str, float]:
    """Serve a run and open its page twice; seconds by what they are counted from."""
    with tempfile.NamedTemporaryFile("r") as log:
        begun = time.perf_counter()
        command = [sys.executable, "run_all.py", "smoke", "--browse", "--out", str(folder)]
        with open(log.name, "w") as written:
            about = {"stdout": written, "stderr": written, "cwd": PROJECT_ROOT, "start_new_session": True}
            server = subprocess.Popen(command, env=os.environ | {"BROWSER": "true"}, **about)
        try:
            while not (found := ADDRESS.search(log.read())):
                log.seek(0)
                time.sleep(0.02)
            answers = time.perf_counter() - begun
            first = seconds_to_picture(browser, found.group())
            settle(server.pid)
            again = seconds_to_picture(browser, found.group())
        finally:
            os.killpg(server.pid, signal.SIGINT)
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
    return {"from the command": answers + first, "from the first request": first, "with a waiting kernel": again}


def seconds_to_picture(browser: Browser, address: str) -> float:
    """Seconds from the request to the first picture, in a profile of its own."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    page.set_default_timeout(120_000)
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(DRAWN)
    elapsed = time.perf_counter() - begun
    context.close()
    return elapsed


def settle(pid: int) -> None:
    """Wait until a server and its kernels have done nothing for QUIET seconds."""
    used, since = -1.0, time.perf_counter()
    while time.perf_counter() - since < QUIET:
        time.sleep(0.25)
        now = sum(sum(one.cpu_times()[:2]) for one in [psutil.Process(pid), *psutil.Process(pid).children(True)])
        if now > used + 0.02:
            used, since = now, time.perf_counter()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks first_picture", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a finished run")
    parser.add_argument("--repeats", type=int, default=3, help="servers that are started one after the other")
    options = parser.parse_args()
    main(options.folder.resolve(), options.repeats)
