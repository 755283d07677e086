"""The one function through which all core code waits for the database.

In a thread it blocks. Under `phasm_fdb.aio.run` the calling greenlet hands the future to the event loop and is
resumed when it is ready. Under the simulator it is a scheduling point. Core code is therefore written once, as
plain functions.
"""

from __future__ import annotations

from typing import Any, TypeVar

import greenlet

from phasm_fdb.database.binding import shared_error
from phasm_fdb.database.port import Future

T = TypeVar("T")


class Suspendable(greenlet.greenlet):  # type: ignore[misc]
    """A greenlet whose waits are served by whoever started it."""

    def suspend(self, future: Future[Any]) -> None:
        """Give `future` to the parent, and return when the parent switches back: the future is ready then."""
        self.parent.switch(future)


def wait(future: Future[T]) -> T:
    """The future's result, however this caller waits; raises what the future raises.

    A value or key is given as bytes (None for a value that is not there). An error of a cluster is this package's
    `FDBError` and the binding's at once.
    """
    if not future.is_ready():
        current = greenlet.getcurrent()
        if isinstance(current, Suspendable):
            current.suspend(future)
    try:
        result: Any = future.wait()
    except Exception as error:
        raise shared_error(error) from error.__cause__
    # The `wait` of a value or a key answers the future itself, which pretends to be bytes but is never None.
    return result.value if result is future else result  # type: ignore[attr-defined, no-any-return]
