"""A daemon thread that exists only while there is work for it: woken for a piece of work, gone when idle.

A signal's handler may raise in the main thread between any two steps of `wake`, and the others still rely on the
helper. So nothing here is a lock that `wake` would have to give back: a wake-up is one put into a queue, and whether
the thread is there is told by a lock that only the thread itself holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

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
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._there = threading.Lock()
        self._thread: threading.Thread | None = None
        """The thread that holds `_there`, or held it last."""
        self._stopping = False

    def wake(self) -> None:
        """Let the thread run `work` soon, and start the thread where there is none."""
        self._wakes.put(None)
        if not self._there.locked() and not self._stopping:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """End the thread, after the work that it is at; it is not started again."""
        self._stopping = True
        self._wakes.put(None)
        if self._thread is threading.current_thread():
            return
        with self._there:
            pass
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        # A wake-up that came after the last look into the queue, but before the lock was free, is served here too.
        while not self._wakes.empty() and self._there.acquire(blocking=False):
            self._thread = threading.current_thread()
            try:
                self._serve()
            finally:
                self._there.release()

    def _serve(self) -> None:
        again = False
        while self._is_woken(self._interval if again else IDLE_SECONDS) or again:
            if self._stopping:
                return
            again = self._work()

    def _is_woken(self, patience: float) -> bool:
        """Wait for a wake-up, at most `patience` seconds; several that have come are one."""
        try:
            self._wakes.get(timeout=patience)
            while not self._wakes.empty():
                self._wakes.get()  # nobody else takes them
        except Empty:
            return False
        return True
