"""The database as a transaction sees it: its own writes on top of what it has read of its snapshot."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from phasm_fdb.embedded.read_cache import Known, ReadCache
from phasm_fdb.embedded.read_cache import Segment as KnownSegment
from phasm_fdb.embedded.store import Snapshot
from phasm_fdb.embedded.write_map import Segment as WrittenSegment
from phasm_fdb.embedded.write_map import WriteMap, Wrote
from phasm_fdb.error_codes import ACCESSED_UNREADABLE
from phasm_fdb.errors import FDBError


class Kind(IntEnum):
    """What a segment of the view is."""

    UNKNOWN = 0  # the snapshot has to be read first
    EMPTY = 1
    PAIR = 2


class Segment(NamedTuple):
    """A stretch of keys that are alike: one key with a value, or a stretch without any, or an unknown one.

    A pair may turn out to have no value: `compare_and_clear` on a value that matched leaves such a one.
    """

    begin: bytes
    end: bytes
    kind: Kind
    unreadable: bool

    @property
    def settled(self) -> bool:
        """Whether it can be passed without reading anything, the unreadable included."""
        return not self.unreadable and self.kind is not Kind.UNKNOWN


class View:
    """What reads by a transaction see.

    Args:
        snapshot: gives the snapshot, which is opened by the first read that needs it.
        cache: what is known of the snapshot; reads add to it.
        writes: the transaction's writes, or None for a view without them.
        bypass_unreadable: let `get` read versionstamped keys as far as they are known, instead of failing; a cluster
            fails for range reads and selectors all the same.
    """

    __slots__ = ("bypass_unreadable", "cache", "snapshot", "writes")

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        cache: ReadCache,
        writes: WriteMap | None,
        bypass_unreadable: bool = False,
    ) -> None:
        self.snapshot = snapshot
        self.cache = cache
        self.writes = writes
        self.bypass_unreadable = bypass_unreadable

    def segment(self, key: bytes) -> Segment:
        """The segment that `key` lies in."""
        known = self.cache.segment(key)
        return known_only(known) if self.writes is None else merge(self.writes.segment(key), known)

    def segment_before(self, key: bytes) -> Segment:
        """The segment that the keys just before `key` lie in; `key` is above the empty key."""
        known = self.cache.segment_before(key)
        return known_only(known) if self.writes is None else merge(self.writes.segment_before(key), known)

    def check_readable(self, segment: Segment) -> None:
        """Raise 1036 when the segment is one that the commit's versionstamp will decide."""
        if segment.unreadable:
            raise FDBError(ACCESSED_UNREADABLE)

    def pair_value(self, key: bytes) -> bytes | None:
        """The value of a PAIR segment."""
        stored = self.cache.value(key)
        return stored if self.writes is None else self.writes.apply(key, stored)

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`.

        Raises:
            FDBError: 1036 for a key that a versionstamp will decide; 1007 when it has to be read and the
                snapshot is too old.
        """
        writes = self.writes
        if writes is None:
            return self._stored(key)
        if writes.unreadable and not self.bypass_unreadable and key in writes.unreadable:
            raise FDBError(ACCESSED_UNREADABLE)
        needs_stored = writes.wrote(key) in (Wrote.NOTHING, Wrote.OPERATIONS)
        return writes.apply(key, self._stored(key) if needs_stored else None)

    def _stored(self, key: bytes) -> bytes | None:
        points = self.cache.points
        if key in points:
            return points[key]
        try:
            value = points[key] = self.snapshot().get(key)
        except FDBError:
            if not self.cache.has(key):
                raise
            value = self.cache.value(key)
        return value


def known_only(known: KnownSegment) -> Segment:
    """The segment of a view without writes."""
    return Segment(known.begin, known.end, Kind(known.known), False)


def merge(written: WrittenSegment, known: KnownSegment) -> Segment:
    """The part of two overlapping segments that they share, and what it is."""
    begin, end = max(written.begin, known.begin), min(written.end, known.end)
    if written.wrote is Wrote.NOTHING:
        kind = Kind(known.known)
    elif written.wrote is Wrote.CLEARED:
        kind = Kind.EMPTY
    elif written.wrote is Wrote.OPERATIONS and known.known is Known.UNKNOWN:
        kind = Kind.UNKNOWN
    else:
        kind = Kind.PAIR
    return Segment(begin, end, kind, written.unreadable)
