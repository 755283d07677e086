"""Hybrid state: recently read and written values kept in memory, with the versions at which they are true.

A transition that is served from the cache sets its read version to one at which everything it used is true, and adds
the read conflicts that the reads would have added. So the commit fails (1020) if a value was stale, as it would for a
value that was read; nothing stale is ever committed. What is saved is the way to the database for the reads, and for
the read version.

What is known, and until when:

- A value read at version v is true at v.
- A commit at version c proves that what it read was not written before it. A batch of several commits shares one
  version, and those behind it in the batch may have written the key: the value is true up to c - 1.
- A value that the commit wrote is true at c if no other commit of the same version wrote it. That holds where every
  writer of the key conflicts with every other, so once a layer is used with a cache, its meta row says so, and all its
  transitions write exclusively (`Staged.exclusive`). The meta row itself is only written when no transition commits
  at the same time, so what is read of it is true at c too.
- A rejection commits nothing and so proves nothing: it is decided again, on values from the database.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.waiting import wait
from phasm_fdb.keyspace import Keyspace

#: Values older than this are read again, well before FoundationDB's five seconds make the commit fail.
MAX_AGE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A value that is true at every version from `since` to `until`; `until` was current at `seen` or later.

    Attributes:
        seen: in seconds of the cache's clock.
    """

    value: bytes | None
    since: int
    until: int
    seen: float


class Cache:
    """The cached values of one layer in one database; shared by threads and tasks.

    Args:
        capacity: the most values it keeps; the least recently used go first.
        clock: a monotonic time in seconds.
    """

    def __init__(self, keyspace: Keyspace, capacity: int, clock: Callable[[], float]) -> None:
        self.keyspace = keyspace
        self._capacity = capacity
        self._clock = clock
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def now(self) -> float:
        """The time of the cache's clock, in seconds."""
        return self._clock()

    def holds(self, key: bytes) -> bool:
        """Whether keys like this one are cached: the state and the meta row, not what is read once."""
        return key == self.keyspace.meta or key.startswith(self.keyspace.state)

    def find(self, key: bytes) -> Entry | None:
        """What is known of a key, unless it is too old."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if self._clock() - entry.seen > MAX_AGE_SECONDS:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry

    def keep(self, key: bytes, entry: Entry) -> None:
        """Remember a value, unless a later one is known."""
        with self._lock:
            known = self._entries.get(key)
            if known is not None and known.until > entry.until:
                return
            self._entries[key] = entry
            self._entries.move_to_end(key)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """Drop what is known of a key."""
        with self._lock:
            self._entries.pop(key, None)


class CachedReader:
    """What a `Staged` reads through: one transaction, with a cache in front."""

    def __init__(self, tr: Any, cache: Cache) -> None:
        self._tr = tr
        self._cache = cache
        self._started = cache.now()
        self._hits: dict[bytes, Entry] = {}
        self._reads: dict[bytes, bytes | None] = {}
        self._since, self._until = 0, 2**63 - 1
        self._fixed = False
        self._written: dict[bytes, bytes | None] = {}

    @property
    def used(self) -> bool:
        """Whether any value came from the cache."""
        return bool(self._hits)

    def read(self, key: bytes) -> bytes | None:
        """The value of a key, from the cache if it is true at a version that fits all values used so far."""
        entry = self._cache.find(key) if self._cache.holds(key) else None
        if entry is not None and self._fits(entry):
            self._hits[key] = entry
            self._since, self._until = max(self._since, entry.since), min(self._until, entry.until)
            self._tr.add_read_conflict_key(key)
            return entry.value
        self.fix_version()
        value: bytes | None = wait(self._tr.get(key))
        self._note_version()
        self._reads[key] = value
        return value

    def read_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of several keys; those that are not cached are read together."""
        if all(self._cache.find(key) is not None for key in keys):
            return [self.read(key) for key in keys]
        self.fix_version()
        values = [wait(future) for future in [self._tr.get(key) for key in keys]]
        self._note_version()
        self._reads.update(zip(keys, values, strict=True))
        return values

    def known(self, key: bytes) -> tuple[bool, bytes | None]:
        """Nothing is known for certain without a read."""
        return False, None

    def rows(self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[Row]:
        """The rows of a range, always from the database."""
        self.fix_version()
        self._note_version()
        return rows(self._tr, begin, end, limit, reverse)

    def _fits(self, entry: Entry) -> bool:
        return entry.since <= self._until and self._since <= entry.until

    def fix_version(self) -> None:
        """Decide the read version, before the database is read and before the commit: the latest that fits."""
        if self._hits and not self._fixed:
            self._tr.set_read_version(self._until)
            self._since = self._until
            self._fixed = True

    def _note_version(self) -> None:
        """After a read of the database: its version is the transaction's, and cached values have to fit it."""
        if not self._fixed:
            self._since = self._until = wait(self._tr.get_read_version())
            self._fixed = True

    def read_version(self) -> int | None:
        """The version that the transaction reads at; None if it has read nothing."""
        return self._until if self._fixed else None

    def wrote(self, written: dict[bytes, bytes | None]) -> None:
        """Note what the transaction sets, or clears (None), one by one."""
        self._written = written

    def committed(self, read_version: int | None) -> None:
        """Remember what the commit proves; `read_version` is what the method of that name gave."""
        if read_version is None:
            return
        version = self._tr.get_committed_version()
        known = {key: (value, read_version) for key, value in self._reads.items()}
        known |= {key: (entry.value, entry.since) for key, entry in self._hits.items()}
        for key, (value, since) in known.items():
            if key not in self._written and self._cache.holds(key):
                until = version if key == self._cache.keyspace.meta else version - 1
                self._cache.keep(key, Entry(value, since, max(until, read_version), self._started))
        for key, value in self._written.items():
            if self._cache.holds(key):
                self._cache.keep(key, Entry(value, version, version, self._started))

    def failed(self) -> None:
        """Drop everything that was used: one of it was stale, or may have been."""
        for key in [*self._hits, *self._reads]:
            self._cache.forget(key)
