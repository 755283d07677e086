"""A forked child for tests: what it does is a function, and what that returns comes back."""

from __future__ import annotations

import multiprocessing
import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

#: Only a failing test waits so long.
PATIENCE_SECONDS = 30.0


class Child:
    """A forked process that does `work`, which may wait for `resume`; it leaves without any clean-up."""

    def __init__(self, work: Callable[[Child], Any]) -> None:
        self._mine, self._its = multiprocessing.Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork while threads run, from Python 3.12 on
            self.pid = os.fork()
        if self.pid == 0:
            self._mine.close()  # so that the child ends if the parent does
            try:
                self._its.send(work(self))
            except BaseException:
                self._its.send(traceback.format_exc())
            finally:
                os._exit(0)
        self._its.close()

    def pause(self) -> None:
        """In the child: tell the parent to go on, and wait until it says the same."""
        self._its.send("paused")
        self._its.recv()

    def answer(self) -> Any:
        """In the parent: what the child says next."""
        assert self._mine.poll(PATIENCE_SECONDS), "the child hangs"
        return self._mine.recv()

    def resume(self) -> None:
        self._mine.send("go on")

    def end(self) -> Any:
        """The child's result."""
        result = self.answer()
        os.waitpid(self.pid, 0)
        self._mine.close()
        return result
