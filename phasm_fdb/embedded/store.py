"""What a store is: snapshots at a version, an atomic commit that checks conflicts, and watches.

The transaction class (`phasm_fdb.embedded.transaction`) has all of FoundationDB's *client* semantics: it
buffers writes, merges them into reads, resolves key selectors, collects conflict ranges, counts sizes,
retries. A store has the *server's* part and nothing else. There are two: memory and SQLite.

Rules for every method here:

- It may be called from any thread. Only `snapshot`, reads of a snapshot and `commit` may wait for a disk.
- An error that FoundationDB has a code for is an `FDBError` with that code. Anything else is a clear
  `DatabaseError` for the person who runs the program.
- Keys are any bytes below `b"\\xff"`; the caller has checked legality and sizes.

Versions grow by about one million a second (`VERSIONS_PER_SECOND`), strictly with every commit. A snapshot
stays readable, and a transaction that read it stays committable, for `WINDOW_SECONDS` from the moment that
the snapshot was taken; FoundationDB keeps five seconds of versions (its knob
MAX_READ_TRANSACTION_LIFE_VERSIONS).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from phasm_fdb.embedded.mutation import Mutation
from phasm_fdb.error_codes import NOT_COMMITTED
from phasm_fdb.errors import FDBError

VERSIONS_PER_SECOND = 1_000_000
WINDOW_SECONDS = 5.0
WINDOW_VERSIONS = 5_000_000


KeyRange = tuple[bytes, bytes]
"""A half-open span of keys: `begin <= key < end`."""


class Snapshot(Protocol):
    """The database as it was at one version, for one transaction; its calls may come from any thread."""

    @property
    def version(self) -> int:
        """The read version: every commit up to and including it is visible, no later one is."""
        ...

    def get(self, key: bytes, /) -> bytes | None:
        """The value at `key`, or None.

        Raises:
            FDBError: 1007 when the snapshot is older than the window.
        """
        ...

    def range(self, begin: bytes, end: bytes, limit: int, reverse: bool, /) -> Sequence[tuple[bytes, bytes]]:
        """The first `limit` pairs of `[begin, end)` in key order; with `reverse` the last ones, backwards.

        `limit` is at least 1 and `begin < end`: the caller pages. Fewer than `limit` pairs means that there
        are no more.

        Raises:
            FDBError: 1007 when the snapshot is older than the window.
        """
        ...

    def size(self, begin: bytes, end: bytes, /) -> int:
        """The bytes of keys and values in `[begin, end)`; an estimate is good enough.

        Raises:
            FDBError: 1007 when the snapshot is older than the window.
        """
        ...

    def close(self) -> None:
        """Give up the snapshot. A second call does nothing; a read after it is a mistake of the caller."""
        ...


class Committed(NamedTuple):
    """Where a commit stands in the order of all commits; ten bytes of it are the versionstamp."""

    version: int
    batch_order: int


@dataclass(slots=True)
class CommitRequest:
    """One transaction's writes, and what must not have changed for them to be right.

    Single keys and ranges are kept apart because nearly all conflicts are on single keys, which need a dict
    and no order. The collections belong to the store once handed over: nobody changes them any more.

    Attributes:
        snapshot: what the transaction read, None when it took no read version (then nothing can conflict).
            The caller closes it as soon as `Store.commit` returns, so a store that queues takes what it
            needs.
        read_keys, read_ranges: a commit later than the snapshot that wrote one of them makes this one fail
        (1020). write_keys, write_ranges: what this commit counts as having written, for later readers'
        conflicts. They
            need not match the mutations: there are write conflicts without a write, and the other way round.
            Keys of SET_VERSIONSTAMPED_KEY are not among them: the store adds the keys that they turn into
            (`phasm_fdb.embedded.mutation.stamp_all` returns them).
        mutations: applied in order. May be empty.
    """

    snapshot: Snapshot | None
    read_keys: Collection[bytes]
    read_ranges: Collection[KeyRange]
    write_keys: Collection[bytes]
    write_ranges: Collection[KeyRange]
    mutations: Sequence[Mutation]


class Conflict(FDBError):
    """A commit that lost to another one (1020).

    Attributes:
        key: the key, or the begin of the range, that it has read and the other one has written.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(NOT_COMMITTED)
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return FDBError, (self.code, self.detail)


CommitDone = Callable[[Committed | FDBError], None]
"""Told the outcome of a commit, once, from any thread, with no lock of the store held."""

WatchFired = Callable[[FDBError | None], None]
"""Told once that a watch fired (None) or cannot go on (the error), from any thread, with no store lock
held.
"""


class Watch(Protocol):
    """A registered watch."""

    def cancel(self) -> None:
        """Forget the watch. It may still fire while this runs, never after; a second call does nothing.

        It may be called by a destructor, which a garbage collection can run in the middle of any code of this
        thread: it must not wait for a lock that such code holds.
        """
        ...


class Store(Protocol):
    """A versioned, ordered map of bytes to bytes on one machine."""

    def snapshot(self, version: int | None = None, /) -> Snapshot:
        """The database now, or as it was at `version`.

        Without a version the snapshot sees every commit that was acknowledged, by any thread or process,
        before this call began (strict serializability rests on it). With a version (`set_read_version`),
        any version inside the window that was a read version or a commit's version can be had.

        Raises:
            FDBError: 1007 when `version` is older than the window, 1009 when it has not happened yet.
        """
        ...

    def commit(self, request: CommitRequest, done: CommitDone, /) -> None:
        """Check the conflicts and apply the mutations, all or nothing; tell `done` the outcome.

        May queue the request and return before the outcome is known, or call `done` before it returns.
        Checking and applying are one step: between them no other commit happens. The version is greater
        than that of every earlier commit and of every snapshot taken before.

        `done` is told an FDBError, and nothing is applied: 1020 for a conflict, 1007 when the snapshot is
        older than the window. 1021 is the one error after which the writes may be there, now or later.
        """
        ...

    def help_commit(self) -> None:
        """Lend the calling thread, which is about to block for a queued commit, to work on the queue.

        A store that commits within `commit` does nothing here. Returns when there is nothing useful to do.
        """
        ...

    def watch(self, key: bytes, value: bytes | None, fired: WatchFired, /) -> Watch:
        """Call `fired` once, as soon as the latest committed value of `key` is seen to differ from `value`.

        That may be within this call. A value that changes and changes back may be missed. Writers in other
        processes count.
        """
        ...

    def close(self) -> None:
        """Release what the store holds. Queued commits finish first; watches are told 1025."""
        ...
