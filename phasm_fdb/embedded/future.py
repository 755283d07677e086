"""Futures, in the shapes of FoundationDB's Python binding, and usable with `await`.

Most are ready when they are made: the engine reads at once. Those that wait (a watch, a commit in a queue, a
delay, a versionstamp before the commit) are settled once, from any thread.

A signal's handler may raise in the main thread while it settles what other threads wait for: all of them are told all
the same. For the same reason whoever blocks waits for one put into a queue, which is one step for who settles.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from phasm_fdb.error_codes import OPERATION_CANCELLED
from phasm_fdb.errors import FDBError

T = TypeVar("T")


class _Waiting:
    """What only a future that is not ready needs: who to tell, and a lock, for it is settled by any thread."""

    __slots__ = ("callbacks", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.callbacks: list[Callable[[Any], None]] = []


class Future(Generic[T]):
    """A result that may not be there yet. Made by the engine: `ready`, `failed` or `pending`."""

    __slots__ = ("__weakref__", "_error", "_result", "_waiting")

    calls_cheaply = True
    """Every waiting task may have a callback; see `database.wakeups`."""

    def __init__(self, result: T | None = None, error: FDBError | None = None, *, pending: bool = False) -> None:
        self._result = result
        self._error = error
        self._waiting = _Waiting() if pending else None

    def wait(self) -> T:
        """Block until the result is there, and return it.

        Raises:
            FDBError: what the operation failed with.
        """
        if self._waiting is not None:
            self.block_until_ready()
        if self._error is not None:
            raise copy.copy(self._error)
        return self._result  # type: ignore[return-value]

    def is_ready(self) -> bool:
        """Whether `wait` would return or raise at once."""
        return self._waiting is None

    def block_until_ready(self) -> None:
        """Block until the result, or an error, is there."""
        self._before_blocking()
        if self._waiting is not None:
            ready: SimpleQueue[Any] = SimpleQueue()
            self.on_ready(ready.put)
            ready.get()

    def on_ready(self, callback: Callable[[Any], None], /) -> None:
        """Call `callback(self)` once, when the future is ready: now if it is, else from the settling thread.

        What the callback raises is printed and dropped, as the binding does: there is nobody to raise it to. A
        callback that an interrupt cuts short (KeyboardInterrupt) is called once more.
        """
        waiting = self._waiting
        if waiting is not None:
            with waiting.lock:
                if self._waiting is not None:
                    waiting.callbacks.append(callback)
                    return
        self._call(callback)

    def cancel(self) -> None:
        """Give up the result: a future that is not ready fails with 1101."""
        self.settle(error=FDBError(OPERATION_CANCELLED))

    # The names that asyncio's futures have for the same things.

    def done(self) -> bool:
        """`is_ready`."""
        return self.is_ready()

    def cancelled(self) -> bool:
        """Whether the result was given up (1101)."""
        error = self.exception() if self.is_ready() else None
        return isinstance(error, FDBError) and error.code == OPERATION_CANCELLED

    def result(self) -> T:
        """`wait`, of a future that is ready.

        Raises:
            FDBError: what the operation failed with.
            asyncio.InvalidStateError: it is not ready.
        """
        self._require_ready()
        return self.wait()

    def exception(self) -> BaseException | None:
        """What `wait` would raise, of a future that is ready; None if it would return.

        Raises:
            asyncio.InvalidStateError: it is not ready.
        """
        self._require_ready()
        try:
            self.wait()
        except FDBError as error:
            return error
        return None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """`on_ready`, but in a running event loop it is the loop that calls."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.on_ready(callback)
        else:

            def tell(_: Any) -> None:
                loop.call_soon_threadsafe(callback, self)

            self.on_ready(tell)

    def _require_ready(self) -> None:
        if not self.is_ready():
            raise asyncio.InvalidStateError("Future result not available")

    def __await__(self) -> Generator[Any, None, T]:
        if self._waiting is not None:
            yield from self._wait_in_loop().__await__()
        return self.wait()

    async def _wait_in_loop(self) -> None:
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[None] = loop.create_future()

        def tell(_: Any) -> None:
            # A loop that was closed while the task waited raises RuntimeError: nobody listens any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if reached.done() else reached.set_result(None))

        self.on_ready(tell)
        await reached

    def settle(self, result: T | None = None, error: FDBError | None = None) -> bool:
        """Make the future ready, once. Returns False, and changes nothing, when it was ready before."""
        waiting = self._waiting
        if waiting is None:
            return False
        try:
            with waiting.lock:
                if self._waiting is None:
                    return False
                self._result, self._error = result, error
                self._waiting = None
            while waiting.callbacks:
                self._call(waiting.callbacks[0])
                del waiting.callbacks[0]
        except BaseException:
            # Interrupted: those that were not told yet are told, and the one that it cut short once more.
            if self._waiting is None:
                for callback in waiting.callbacks:
                    self._call(callback, BaseException)
            raise
        return True

    def _before_blocking(self) -> None:
        """What the thread can do for the result before it blocks for it."""

    def _call(self, callback: Callable[[Any], None], dropped: type[BaseException] = Exception) -> None:
        try:
            callback(self)
        except dropped:
            print("Discarding an exception from a future's callback:", file=sys.stderr)
            traceback.print_exc()

    @staticmethod
    def wait_for_any(*futures: Future[Any]) -> int:
        """Block until one of the futures is ready; returns the index of one that is.

        Raises:
            ValueError: no futures are given.
        """
        if not futures:
            raise ValueError("wait_for_any requires at least one future")
        ready: SimpleQueue[Future[Any]] = SimpleQueue()
        for future in futures:
            future.on_ready(ready.put)
        first = ready.get()
        return next(index for index, future in enumerate(futures) if future is first)


def _bytes_of(other: Any) -> Any:
    return other.value if isinstance(other, BytesFuture) else other


class BytesFuture(Future[Any]):
    """A future that stands for its bytes: comparing it, slicing it or printing it waits for them.

    `wait()` returns the future itself, as the binding's does; `.value` is the bytes.
    """

    __slots__ = ()

    # The binding claims to be bytes, so that `isinstance` checks in layers pass (`fdb.impl.FutureString`).
    __class__ = property(lambda self: bytes)

    def wait(self) -> Any:
        if self._waiting is not None:
            self.block_until_ready()
        if self._error is not None:
            raise copy.copy(self._error)
        return self

    @property
    def value(self) -> Any:
        """The bytes, or None where there is no value; waits for them."""
        if self._waiting is not None or self._error is not None:
            self.wait()
        return self._result

    def as_foundationdb_key(self) -> Any:
        return self.value

    def as_foundationdb_value(self) -> Any:
        return self.value

    def __bytes__(self) -> bytes:
        return self.value  # type: ignore[no-any-return]

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return repr(self.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return iter(self.value)

    def __contains__(self, part: Any) -> bool:
        return _bytes_of(part) in self.value

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __getattr__(self, name: str) -> Any:
        # Every other method of bytes (hex, startswith, split, ...), on the value.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.value, name)

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __add__(self, other: Any) -> bytes:
        return self.value + _bytes_of(other)  # type: ignore[no-any-return]

    def __radd__(self, other: Any) -> bytes:
        return _bytes_of(other) + self.value  # type: ignore[no-any-return]

    def __mul__(self, times: int) -> bytes:
        return self.value * times  # type: ignore[no-any-return]

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return bool(self.value == _bytes_of(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _bytes_of(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= _bytes_of(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > _bytes_of(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= _bytes_of(other))


class Value(BytesFuture):
    """The value at a key: None where there is none."""

    __slots__ = ()

    def present(self) -> bool:
        """Whether there is a value; waits for it."""
        return self.value is not None


class ReadValue(Value):
    """A value that was read already, as nearly all are: the same, with less to make and to check."""

    __slots__ = ()

    _waiting = None
    _error = None

    def __init__(self, result: bytes | None) -> None:
        self._result = result

    def wait(self) -> ReadValue:
        return self


class Key(BytesFuture):
    """A key, or a versionstamp."""

    __slots__ = ()
