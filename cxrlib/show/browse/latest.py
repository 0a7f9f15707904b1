"""Work in a background thread that shows the result of the newest request only."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class LatestOnly:
    """One thread that answers the newest request. A request that a newer one has overtaken is not shown.

    Args:
        work: request -> result; runs in the thread.
        show: called with (request, result or the exception of `work`), never for an overtaken request.
    """

    def __init__(self, work: Callable, show: Callable) -> None:
        self.work, self.show = work, show
        self._wanted: object | None = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="latest-only")
        self._running: Future | None = None

    def ask(self, request: object) -> None:
        """Work on `request` next; earlier requests that have not begun are dropped."""
        with self._lock:
            self._wanted = request
            self._running = self._thread.submit(self._answer, request)

    def forget(self) -> None:
        """Drop all earlier requests: their results are not shown."""
        with self._lock:
            self._wanted = None

    def wait(self) -> None:
        """Return when the newest request is answered."""
        if self._running is not None:
            self._running.result()

    def _answer(self, request: object) -> None:
        if request is not self._wanted:
            return
        try:
            result = self.work(request)
        except Exception as error:  # the thread has no caller that could catch it, so `show` gets it
            result = error
        with self._lock:
            if request is self._wanted:
                self.show(request, result)
