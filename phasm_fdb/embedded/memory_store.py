"""The memory store: every key's value now, and what it was before each commit of the last five seconds.

Most keys have not changed lately, so a key costs an entry in a dict and one in a sorted list. The changes
of the window are kept apart, as `(version, value before)` by key: a reader at an older version starts from
the value now and goes back. Reads of keys without recent changes take no lock; see `_MemorySnapshot.get`
for why that is right. Keys that were cleared lately are kept apart too: a queue has many of them in front of
its first entry, and whoever reads at the latest version need not step over them.

A signal's handler may raise in the main thread between any two steps of a commit, and the other threads go on. So a
commit first works out what it will write, and puts that down in one step: before it the commit has not happened, after
it it has. Whoever comes next finds what is put down and finishes it (`_mend`); it makes anew from the two dicts
whatever the interrupt may have left in between.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from sortedcontainers import SortedList

from phasm_fdb.embedded.conflicts import ConflictHistory
from phasm_fdb.embedded.memory_watches import MemoryWatch, MemoryWatches
from phasm_fdb.embedded.mutation import (
    CLEAR,
    CLEAR_RANGE,
    SET,
    Mutation,
    apply_atomic,
    has_stamps,
    stamp_all,
    versionstamp,
)
from phasm_fdb.embedded.selector import SPECIAL
from phasm_fdb.embedded.store import (
    VERSIONS_PER_SECOND,
    WINDOW_SECONDS,
    WINDOW_VERSIONS,
    CommitDone,
    CommitRequest,
    Committed,
    Conflict,
    KeyRange,
    Snapshot,
    WatchFired,
)
from phasm_fdb.error_codes import FUTURE_VERSION, TRANSACTION_CANCELLED, TRANSACTION_TOO_OLD
from phasm_fdb.errors import DatabaseError, FDBError

_FIRST_VERSION = 10_000_000
"""Where versions begin: far enough from 0 that the smallest are too old from the start."""

_SAMPLES = 1000
"""How many pairs are weighed to estimate the size of a range."""

_STRIDE = 7919

_FORGET_LEAST = 16
"""How many old changes every commit drops, however small it is."""

_SHRINK_FROM = 10_000

_FEW_CHANGES = 5_000
"""So many changed keys, of a few large commits, are looked through for those that were cleared since a reader began."""

Change = tuple[int, bytes | None]
_version_of = itemgetter(0)


class _Writes(NamedTuple):
    """What a commit that passed its checks writes: values by key (None: cleared), and its write conflicts."""

    version: int
    values: dict[bytes, bytes | None]
    keys: Collection[bytes] = ()
    ranges: Collection[KeyRange] = ()


class MemoryStore:
    """A store in this process's memory, gone when it is dropped.

    Args:
        clock: seconds, never going back; versions and the window follow it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._version = _FIRST_VERSION
        self._values: dict[bytes, bytes] = {}
        self._keys: Any = SortedList()
        # Every key that has no value, and had one in the window; and the version at which the last was cleared.
        self._cleared: Any = SortedList()
        self._last_clear = 0
        self._changes: dict[bytes, list[Change]] = {}
        self._most_changes = 0
        self._expiring: deque[tuple[int, list[bytes]]] = deque()
        self._conflicts = ConflictHistory()
        self._watches = MemoryWatches()
        self._fired: dict[MemoryWatch, FDBError | None] = {}
        """Watches that are to be told: that they fired, or the error."""
        self._writing: _Writes | None = None
        """The commit that is being written; set without the lock being held if its thread was interrupted."""
        self._closed = False

    # -------------------------------------------------------------------------------------------- versions

    def _version_now(self) -> int:
        """The version that this moment has by the clock."""
        return _FIRST_VERSION + int((self._clock() - self._began) * VERSIONS_PER_SECOND)

    def _readable_until(self, version: int) -> float:
        """When, by the clock, a version becomes too old."""
        return self._began + (version - _FIRST_VERSION) / VERSIONS_PER_SECOND + WINDOW_SECONDS

    def _latest_readable(self) -> int:
        """The read version of a transaction that begins now: the last commit's, unless that is long ago.

        A cluster answers so too (its proxies commit an empty batch about once a second), and it matters: what the last
        commit versionstamped lies at the read version itself, where `set_versionstamped_key` makes keys unreadable.
        """
        now = self._version_now()
        if now - self._version >= VERSIONS_PER_SECOND:
            self._version = now
        return self._version

    def snapshot(self, version: int | None = None, /) -> Snapshot:
        """See `Store.snapshot`."""
        with self._lock:
            self._begin()
            latest = self._latest_readable()
        if version is None:
            version = latest
        elif version > latest:
            raise FDBError(FUTURE_VERSION)
        elif version < latest - WINDOW_VERSIONS:
            raise FDBError(TRANSACTION_TOO_OLD)
        return _MemorySnapshot(self, version, self._readable_until(version))

    # ---------------------------------------------------------------------------------------------- commit

    def commit(self, request: CommitRequest, done: CommitDone, /) -> None:
        """See `Store.commit`. `done` is called before this returns."""
        try:
            done(self._commit(request))
            if self._fired:
                self._tell_watches()
        except BaseException:
            # Interrupted, perhaps in the middle of writing: others may wait for a watch of what was written.
            with self._lock:
                self._mend()
            self._tell_watches()
            raise

    def _commit(self, request: CommitRequest) -> Committed | FDBError:
        with self._lock:
            self._begin()
            refusal = self._refusal(request)
            version = max(self._version + 1, self._version_now())
            if refusal is not None:
                self._version = version  # a commit that conflicts takes a version too, as in a cluster
                return refusal
            committed = Committed(version, 0)
            self._writing = writes = self._plan(request, committed)
            self._write_all(writes, 2 * len(request.mutations) + _FORGET_LEAST)
            self._writing = None
            return committed

    def help_commit(self) -> None:
        """Nothing to help with: `commit` has no queue."""

    def _begin(self) -> None:
        """What comes first whenever the lock was taken.

        Raises:
            DatabaseError: the database was closed.
        """
        if self._closed:
            raise DatabaseError("the database was closed")
        if self._writing is not None:
            self._mend()

    def _refusal(self, request: CommitRequest) -> FDBError | None:
        """What the commit fails with, if so."""
        snapshot = request.snapshot
        if snapshot is None:
            return None
        if self._clock() > self._readable_until(snapshot.version):
            return FDBError(TRANSACTION_TOO_OLD)
        read = (snapshot.version, request.read_keys, request.read_ranges)
        return Conflict(self._conflicts.contended(*read)) if self._conflicts.conflicts(*read) else None

    def _plan(self, request: CommitRequest, committed: Committed) -> _Writes:
        """What the request writes; changes nothing."""
        mutations, written = request.mutations, request.write_keys
        if has_stamps(mutations):
            mutations, stamped = stamp_all(mutations, versionstamp(*committed))
            written = [*written, *stamped]
        return _Writes(committed.version, self._apply(mutations), written, request.write_ranges)

    def _apply(self, mutations: Sequence[Mutation]) -> dict[bytes, bytes | None]:
        """The values that mutations leave, None where they clear."""
        values: dict[bytes, bytes | None] = {}
        ordered: Any = None  # from the first range on, the keys that it may have to clear and the store does not have
        for code, key, parameter in mutations:
            if code == CLEAR_RANGE:
                if ordered is None:
                    ordered = SortedList(values)
                values.update(dict.fromkeys(ordered.irange(key, parameter, (True, False))))
                values.update(dict.fromkeys(self._keys.irange(key, parameter, (True, False))))
                continue
            if ordered is not None and key not in values:
                ordered.add(key)
            if code == SET:
                values[key] = parameter
            elif code == CLEAR:
                values[key] = None
            else:
                before = values[key] if key in values else self._values.get(key)
                values[key] = apply_atomic(code, before, parameter)
        return values

    def _write_all(self, writes: _Writes, most: int) -> None:
        """Make the writes, and forget about `most` old changes."""
        version, write = writes.version, self._write
        self._conflicts.add(version, writes.keys, writes.ranges)
        changed = [key for key, value in writes.values.items() if write(key, value, version)]
        if changed:
            self._expiring.append((version, changed))
            if self._watches:
                self._watches.take_changed(changed, self._values.get, self._fired)
        self._version = version
        self._forget(version - WINDOW_VERSIONS, most)

    def _write(self, key: bytes, value: bytes | None, version: int) -> bool:
        """Give `key` a new value, and keep the one before; False where there is none of both."""
        values = self._values
        before = values.get(key)
        if before is None and value is None:
            return False
        changes = self._changes.get(key)
        # The change is noted before it is made, for the readers that take no lock.
        if changes is None:
            self._changes[key] = [(version, before)]
        else:
            changes.append((version, before))
        if value is not None:
            if before is None:
                self._keys.add(key)
                self._cleared.discard(key)
            values[key] = value
        else:
            del values[key]
            self._keys.remove(key)
            self._cleared.add(key)
            self._last_clear = version
        return True

    def _mend(self) -> None:
        """Finish what an interrupted commit was writing. May be interrupted itself, and begins again then."""
        writes = self._writing
        if writes is None:
            return
        values, changes, version = self._values, self._changes, writes.version
        for key, value in writes.values.items():
            if value is None and key not in values:
                continue
            if key not in changes:
                changes[key] = [(version, values.get(key))]
            elif changes[key][-1][0] < version:
                changes[key].append((version, values.get(key)))
            if value is None:
                del values[key]
            else:
                values[key] = value
        self._keys = SortedList(values)
        self._cleared = SortedList(key for key in changes if key not in values)
        self._last_clear = version
        expiring: dict[int, list[bytes]] = {}
        for key, changed in changes.items():
            for changed_at, _ in changed:
                expiring.setdefault(changed_at, []).append(key)
        self._expiring = deque(sorted(expiring.items()))
        # Who has read before conflicts in any case: which keys he must not have read is not known any more.
        self._conflicts = ConflictHistory()
        self._conflicts.add(version, (), [(b"", SPECIAL)])
        self._watches.take_changed(writes.values, values.get, self._fired)
        self._version = version
        self._writing = None

    def _shrink(self) -> None:
        """Give memory back after a burst: a dict that was large stays large, however little is left in it.

        A reader that looks into the old dict meanwhile finds all that it needs: it read the value before.
        """
        count = len(self._changes)
        self._most_changes = max(self._most_changes, count)
        if self._most_changes > _SHRINK_FROM and count < self._most_changes // 8:
            self._changes = dict(self._changes)
            self._most_changes = count

    def _forget(self, oldest: int, most: int) -> None:
        """Drop what only readers at versions below `oldest` would need, about `most` changes of it.

        Every commit drops twice what it adds, so that none has to do the work of many, and still nothing
        piles up.
        """
        self._conflicts.forget(oldest)
        expiring = self._expiring
        while most > 0 and expiring and expiring[0][0] <= oldest:
            keys = expiring.popleft()[1]
            most -= len(keys)
            for key in keys:
                changes = self._changes.get(key)
                if changes is None:
                    continue
                if changes[-1][0] > oldest:
                    # Of a key that every commit changes there are many: only half of them at once are worth a move.
                    if changes[len(changes) // 2][0] <= oldest:
                        del changes[: bisect_right(changes, oldest, key=_version_of)]
                    continue
                # The list is left as it is: a reader may be looking at it.
                del self._changes[key]
                if key not in self._values:
                    self._cleared.remove(key)
        self._shrink()

    def _cleared_since(self, version: int, begin: bytes, end: bytes, reverse: bool) -> Iterable[bytes]:
        """The keys of a range, in order, that have no value now and may have had one at `version`."""
        if self._last_clear <= version:
            return ()
        values, left = self._values, _FEW_CHANGES
        found: set[bytes] = set()
        for changed_at, keys in reversed(self._expiring):
            if changed_at <= version:
                break
            left -= len(keys)
            if left < 0:
                return self._cleared.irange(begin, end, (True, False), reverse)  # type: ignore[no-any-return]
            found.update(key for key in keys if begin <= key < end and key not in values)
        return sorted(found, reverse=reverse)

    # --------------------------------------------------------------------------------------------- watches

    def watch(self, key: bytes, value: bytes | None, fired: WatchFired, /) -> MemoryWatch:
        """See `Store.watch`."""
        watch = MemoryWatch(self._watches, key, value, fired)
        with self._lock:
            self._mend()
            differs = self._values.get(key) != value
            if not differs:
                self._watches.add(watch)
        if differs:
            fired(None)
        return watch

    def _tell_watches(self) -> None:
        for watch in list(self._fired):
            try:
                error = self._fired[watch]
                del self._fired[watch]
            except KeyError:  # another thread tells it
                continue
            try:
                watch.fired(error)
            except BaseException:
                watch.fired(error)  # interrupted; a second time does no harm
                raise

    def close(self) -> None:
        """Tell the watches (1025) and drop everything."""
        with self._lock:
            self._closed = True
            self._writing = None
            self._watches.take_all(FDBError(TRANSACTION_CANCELLED), self._fired)
            self._values, self._changes = {}, {}
            self._keys, self._cleared = SortedList(), SortedList()
            self._expiring.clear()
            self._conflicts = ConflictHistory()
        self._tell_watches()


class _MemorySnapshot:
    """The store at one version. Holds nothing that `close` would have to give back."""

    __slots__ = ("_expires", "_store", "version")

    def __init__(self, store: MemoryStore, version: int, expires: float) -> None:
        self._store = store
        self._expires = expires
        self.version = version

    def get(self, key: bytes, /) -> bytes | None:
        """See `Snapshot.get`.

        No lock is taken for a key without recent changes. A commit notes the change before it makes it, and
        this reads the value first and looks for changes after: a value that is too new is always found out.
        """
        store = self._store
        if store._clock() > self._expires:
            raise FDBError(TRANSACTION_TOO_OLD)
        value = store._values.get(key)
        changes = store._changes.get(key)
        if changes is None or changes[-1][0] <= self.version:
            return value
        with store._lock:
            store._mend()
            return self._value(key)

    def range(self, begin: bytes, end: bytes, limit: int, reverse: bool, /) -> list[tuple[bytes, bytes]]:
        """See `Snapshot.range`."""
        store = self._store
        if store._clock() > self._expires:
            raise FDBError(TRANSACTION_TOO_OLD)
        with store._lock:
            store._mend()
            keys = store._keys.irange(begin, end, (True, False), reverse)
            if not store._changes:
                values = store._values
                return [(key, values[key]) for key in islice(keys, limit)]
            cleared = store._cleared_since(self.version, begin, end, reverse)
            if cleared:
                keys = merge(keys, cleared, reverse=reverse)
            return list(islice(self._pairs(keys), limit))

    def _pairs(self, keys: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
        store, version = self._store, self.version
        values, changes = store._values, store._changes
        for key in keys:
            changed = changes.get(key)
            if changed is None or changed[-1][0] <= version:
                value = values.get(key)
            else:
                value = self._value(key)
            if value is not None:
                yield key, value

    def _value(self, key: bytes) -> bytes | None:
        """The value at this version; the store's lock is held."""
        changes = self._store._changes.get(key)
        if changes is not None:
            later = bisect_right(changes, self.version, key=_version_of)
            if later < len(changes):
                return changes[later][1]
        return self._store._values.get(key)

    def size(self, begin: bytes, end: bytes, /) -> int:
        """See `Snapshot.size`: exact for a thousand keys, estimated from as many for more."""
        store = self._store
        if store._clock() > self._expires:
            raise FDBError(TRANSACTION_TOO_OLD)
        with store._lock:
            store._mend()
            first, last = store._keys.bisect_left(begin), store._keys.bisect_left(end)
            count = last - first
            if count <= _SAMPLES:
                return self._weigh(store._keys.islice(first, last))
            step = count // _SAMPLES
            # Not every step-th key, lest sizes that repeat in step with it give a wrong picture.
            places = (first + step * number + number * _STRIDE % step for number in range(_SAMPLES))
            weight: int = self._weigh(map(store._keys.__getitem__, places))
        return int(weight * count // _SAMPLES)

    def _weigh(self, keys: Iterable[bytes]) -> int:
        return sum(len(key) + len(value) for key, value in self._pairs(keys))

    def close(self) -> None:
        """See `Snapshot.close`."""
