"""A daemon thread that exists only while there is work for it: woken for a piece of work, gone when idle."""

from __future__ import annotations

import threading
from collections.abc import Callable

IDLE_SECONDS = 5.0
"""How long the thread waits for more work before it ends; the next `wake` starts another."""


class HelperThread:
    """Runs `work` on a thread of its own, once or more after each `wake`.

    Args:
        name: of the thread, for people who look at a stack dump.
        work: returns whether to run it again without being woken, `interval` seconds later.
        interval: seconds.
    """

    def __init__(self, name: str, work: Callable[[], bool], interval: float = 0.0) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._changed = threading.Condition()
        self._wanted = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Let the thread run `work` soon, and start the thread where there is none."""
        with self._changed:
            self._wanted = True
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def stop(self) -> None:
        """End the thread, after the work that it is at; it is not started again."""
        with self._changed:
            self._stopping = True
            thread = self._thread
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        again = False
        try:
            while self._next(self._interval if again else IDLE_SECONDS, again):
                again = self._work()
        except BaseException:
            with self._changed:
                self._thread = None
            raise

    def _next(self, patience: float, again: bool) -> bool:
        """Wait until there is work, at most `patience` seconds; False ends the thread."""
        with self._changed:
            if not self._wanted and not self._stopping:
                self._changed.wait(patience)
            if self._stopping or not (self._wanted or again):
                self._thread = None
                return False
            self._wanted = False
            return True
