"""What the package knows of the official binding beyond its documented API; all of it holds for 7.1 to 8.0.

Nothing here imports `fdb.impl`, which needs the C library: an object of the binding exists only where that is loaded.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Generator
from typing import Any, NoReturn

from phasm_fdb.errors import DatabaseError, FDBError

#: The functions of the C library without which nothing can be asked, or waited for.
ASKING = (
    "fdb_create_database",
    "fdb_database_create_transaction",
    "fdb_tenant_create_transaction",
    "fdb_future_block_until_ready",
    "fdb_future_set_callback",
)


def loaded() -> Any | None:
    """The module `fdb.impl`, if this process has loaded it."""
    return sys.modules.get("fdb.impl")


def first_batch(result: Any) -> Any | None:
    """The future of the first batch of a range read: `(rows, count, more)`; None if this is no range of the binding's.

    The binding's own iterator blocks on this future, and offers no other way to wait for it.
    """
    return getattr(result, "_future", None)


def shared_error(error: BaseException) -> BaseException:
    """The error as both this package's `FDBError` and the binding's; what is not the binding's own, as it is.

    So `except phasm_fdb.FDBError` catches the same on every database, and code that was written for the binding goes
    on catching `fdb.FDBError`.
    """
    binding = loaded()
    if binding is None or isinstance(error, FDBError) or not isinstance(error, binding.FDBError):
        return error
    shared: BaseException = _shared_class(binding.FDBError)(error.code)  # type: ignore[attr-defined]
    return shared.with_traceback(error.__traceback__)


@functools.cache
def _shared_class(binding_error: type[Exception]) -> Any:
    class ClusterError(FDBError, binding_error):  # type: ignore[misc, valid-type]
        """An error that a FoundationDB cluster or its client answered with."""

        description = ""  # the binding's is a property, which would refuse the text that FDBError keeps

        def __init__(self, code: int) -> None:
            # The two classes' own __init__ take different arguments; all that both keep is in the first one's.
            self.__dict__.update(FDBError(code).__dict__)

        def __reduce__(self) -> tuple[Any, ...]:
            return FDBError, (self.code, self.detail)  # where it is unpickled there may be no binding

    return ClusterError


def make_awaitable() -> None:
    """Let `await` take the binding's futures, as it takes those of every other database.

    The binding's own asyncio event model needs `asyncio.coroutine`, which Python 3.11 no longer has. Nothing is
    changed if its futures can be awaited already.
    """
    binding = loaded()
    if binding is not None and not hasattr(binding.Future, "__await__"):
        binding.Future.__await__ = _await


def _await(future: Any) -> Generator[Any, None, Any]:
    from phasm_fdb.database.aio import settled

    return settled(future).__await__()


def _refuse_after_fork() -> None:
    """In a forked child, let all use of a client that the parent has started fail at once.

    The network thread stays in the parent: whoever waits for a future here would wait for ever. A client that was not
    started yet is started by the first `open`, as in any process.
    """
    binding = loaded()
    if binding is None or getattr(binding, "_network_thread", None) is None:
        return
    for name in ASKING:
        setattr(binding._capi, name, _refuse)
    binding._capi.fdb_stop_network = lambda: 0  # called at exit; there is no thread to stop


def _refuse(*_: object) -> NoReturn:
    raise DatabaseError(
        "this process was forked from one that had opened a FoundationDB cluster, and the client's network thread has "
        "stayed there, so nothing would ever be answered here: open the cluster after the fork, in the child alone, or "
        "start the process by 'spawn' or 'forkserver'"
    )


os.register_at_fork(after_in_child=_refuse_after_fork)
