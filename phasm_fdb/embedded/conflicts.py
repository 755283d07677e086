"""The recent write conflicts, and whether a transaction's reads meet one of them.

A read conflicts when a commit later than its snapshot wrote what it read. For one key that is a look into a
dict: the version that last wrote it. For a range it is harder: is there any key of the range whose last
write is newer?

Commits come in version order, so the history is kept as a row of blocks, each the sorted keys of some
consecutive commits. Four neighbours of one size make a block of the next size, which keeps its parts. A
block that is wholly newer than the snapshot needs one binary search for the range; a wholly older one needs
nothing; and only one block can be both, where the search goes on in its parts. So a range costs O(log n)
binary searches in the number n of recent writes, adding a write costs O(log n) amortised, and old writes
are dropped a block at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection

from phasm_fdb.embedded.intervals import IntervalSet
from phasm_fdb.embedded.store import KeyRange

_FANOUT = 4
_LEAF_WRITES = 64
"""How many writes stay in a plain list before they become a block: as many as a scan is quick for."""

_SHRINK_FROM = 10_000

_Commit = tuple[int, Collection[bytes], Collection[KeyRange]]


class _Block:
    """The writes of consecutive commits: which keys and ranges, as one set, and the blocks it was made of."""

    __slots__ = ("commits", "first", "keys", "last", "parts", "ranges", "size")

    def __init__(self, first: int, last: int, size: int) -> None:
        self.first = first
        self.last = last
        self.size = size
        self.keys: list[bytes] = []
        self.ranges: IntervalSet | None = None
        self.parts: list[_Block] = []
        self.commits: list[_Commit] = []

    def meets(self, begin: bytes, end: bytes) -> bool:
        """Whether any write of the block is in `[begin, end)`."""
        index = bisect_left(self.keys, begin)
        if index < len(self.keys) and self.keys[index] < end:
            return True
        return self.ranges is not None and self.ranges.intersects(begin, end)


def _leaf(commits: list[_Commit]) -> _Block:
    keys = [key for _, written, _ in commits for key in written]
    block = _Block(commits[0][0], commits[-1][0], _LEAF_WRITES)
    block.keys = sorted(keys)
    block.commits = commits
    for _, _, ranges in commits:
        for begin, end in ranges:
            if block.ranges is None:
                block.ranges = IntervalSet()
            block.ranges.add(begin, end)
    return block


def _join(parts: list[_Block]) -> _Block:
    block = _Block(parts[0].first, parts[-1].last, parts[0].size * _FANOUT)
    block.keys = _merged(parts)
    block.parts = parts
    for part in parts:
        if part.ranges is not None:
            if block.ranges is None:
                block.ranges = IntervalSet()
            for begin, end in part.ranges:
                block.ranges.add(begin, end)
    return block


def _merged(parts: list[_Block]) -> list[bytes]:
    keys: list[bytes] = []
    for part in parts:
        keys += part.keys
    keys.sort()  # a merge: the sort finds the parts' own order
    return keys


class ConflictHistory:
    """The write conflicts of recent commits. Not thread-safe: the store's commit lock is around it."""

    __slots__ = ("_blocks", "_last_write", "_most", "_range_until", "_recent", "_recent_writes")

    def __init__(self) -> None:
        self._last_write: dict[bytes, int] = {}
        self._most = 0  # how many there were at once, since it was last made smaller
        self._blocks: list[_Block] = []
        self._recent: list[_Commit] = []
        self._recent_writes = 0
        self._range_until = 0  # the last version that wrote a range

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._last_write)

    def add(self, version: int, keys: Collection[bytes], ranges: Collection[KeyRange]) -> None:
        """Remember what the commit at `version`, the newest so far, wrote."""
        self._last_write.update(dict.fromkeys(keys, version))
        if ranges:
            self._range_until = version
        self._recent.append((version, keys, ranges))
        self._recent_writes += len(keys) + len(ranges)
        if self._recent_writes >= _LEAF_WRITES:
            self._blocks.append(_leaf(self._recent))
            self._recent = []
            self._recent_writes = 0
            self._join_equals()

    def conflicts(self, since: int, keys: Collection[bytes], ranges: Collection[KeyRange]) -> bool:
        """Whether a commit later than version `since` wrote one of `keys` or in one of `ranges`."""
        last_write = self._last_write
        if last_write:
            for key in keys:
                if key in last_write and last_write[key] > since:
                    return True
        if self._range_until > since:
            for key in keys:
                if self._written(since, key, key + b"\0"):
                    return True
        return any(self._written(since, begin, end) for begin, end in ranges)

    def contended(self, since: int, keys: Collection[bytes], ranges: Collection[KeyRange]) -> bytes:
        """Where `conflicts` found one: the least such key, or begin of a range."""
        found = [key for key in keys if self.conflicts(since, (key,), ())]
        found += [span[0] for span in ranges if self.conflicts(since, (), (span,))]
        return min(found)

    def forget(self, version: int) -> None:
        """Drop the commits up to `version`, as far as whole blocks are made of them."""
        while self._blocks and self._blocks[0].first <= version:
            block = self._blocks[0]
            if block.last <= version:
                self._drop(self._blocks.pop(0))
            elif block.parts:
                self._blocks[:1] = block.parts
            else:
                return

    def _written(self, since: int, begin: bytes, end: bytes) -> bool:
        for commit in reversed(self._recent):
            if commit[0] <= since:
                return False
            if _commit_meets(commit, begin, end):
                return True
        blocks = self._blocks
        while blocks:
            straddling: _Block | None = None
            for block in reversed(blocks):
                if block.last <= since:
                    break
                if block.first <= since:
                    straddling = block
                    break
                if block.meets(begin, end):
                    return True
            if straddling is None or not straddling.meets(begin, end):
                return False
            blocks = straddling.parts
            if not blocks:
                return any(c[0] > since and _commit_meets(c, begin, end) for c in straddling.commits)
        return False

    def _join_equals(self) -> None:
        """Make blocks of one size into one, as long as there are enough of them at the end."""
        blocks = self._blocks
        while len(blocks) >= _FANOUT and blocks[-_FANOUT].size == blocks[-1].size:
            blocks[-_FANOUT:] = [_join(blocks[-_FANOUT:])]

    def _drop(self, block: _Block) -> None:
        last_write = self._last_write
        self._most = max(self._most, len(last_write))
        for key in block.keys:
            if last_write.get(key, block.last + 1) <= block.last:
                del last_write[key]
        if self._most > _SHRINK_FROM and len(last_write) < self._most // 8:
            # A dict that was large stays large, however little is left in it.
            self._last_write = dict(last_write)
            self._most = len(last_write)


def _commit_meets(commit: _Commit, begin: bytes, end: bytes) -> bool:
    _, keys, ranges = commit
    for key in keys:
        if begin <= key < end:
            return True
    return any(low < end and begin < high for low, high in ranges)
