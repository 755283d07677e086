"""What one commit did, as the oracles see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from phasm_fdb.actions import Actions
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import error_code
from phasm_fdb.dead_letters import GivenUp
from phasm_fdb.embedded.mutation import CLEAR, CLEAR_RANGE, SET, Mutation
from phasm_fdb.embedded.store import Snapshot
from phasm_fdb.errors import ActionsFull, DatabaseError, TransitionError
from phasm_fdb.keyspace import STAMP_BYTES


@dataclass(slots=True)
class StfRun:
    """One run of `stf`, as a transaction made it.

    Attributes:
        input: what it was given.
        reply, actions: what it gave, where it returned.
        error: what it raised, where it did.
        number: the first number beside the versionstamp that was free for new ids.
        staged: what it wrote to; None where that is not known.
    """

    input: Any
    reply: Any = None
    actions: Actions | None = None
    error: BaseException | None = None
    number: int = 0
    staged: Staged | None = None

    @property
    def counts(self) -> bool:
        """Whether its transaction has kept what it did, or it refused.

        Where a guess was wrong, a second run only compares, it has a bug, or its actions cannot be stored, it was
        dropped.
        """
        if self.error is not None:
            return isinstance(self.error, TransitionError)
        return self.staged is None or self.staged.is_flushed

    @property
    def failed(self) -> bool:
        """Whether the machine has a bug here, as far as one run shows it: it raised, or what it did was dropped."""
        if self.error is None:
            return not self.counts
        if isinstance(self.error, TransitionError):
            return isinstance(self.error, ActionsFull)
        return not isinstance(self.error, DatabaseError) and error_code(self.error) is None


@dataclass(slots=True)
class Commit:
    """A transaction that was committed.

    Attributes:
        number: counts the commits of the run, from 1.
        by: the process that made it.
        stamp: its versionstamp, ten bytes.
        runs: the runs of `stf` in it, in order.
        before, after: the database without it and with it.
        rows: for every row that it wrote one by one, what it holds afterwards (None: nothing), by the section of the
            layer's keyspace: "s" for the state, and so on (see `phasm_fdb.keyspace`).
        cleared: the ranges that it cleared.
        event: the number of its event in the trace, where events are kept.
        failed: the runs of `stf` that failed in it, of inputs that it was committed without.
    """

    number: int
    by: str
    stamp: bytes
    runs: Sequence[StfRun]
    before: Snapshot
    after: Snapshot
    rows: dict[str, dict[bytes, bytes | None]]
    cleared: list[tuple[bytes, bytes]]
    event: int | None = None
    failed: Sequence[StfRun] = ()

    @property
    def moved(self) -> set[bytes]:
        """The rows of the inbox and of attempts, both before and after, that a resize moved to another lane."""
        moved: set[bytes] = set()
        for section in "qn":
            rows = self.of(section)
            gone = {row[-STAMP_BYTES - 2 :] for row, value in rows.items() if value is None}
            come = {row[-STAMP_BYTES - 2 :] for row, value in rows.items() if value is not None}
            moved |= {row for row in rows if row[-STAMP_BYTES - 2 :] in gone & come}
        return moved

    def of(self, section: str) -> dict[bytes, bytes | None]:
        """The rows of one section."""
        return self.rows.get(section, {})

    def dead_letters(self) -> dict[bytes, GivenUp]:
        """The dead letters that it wrote, by their rows."""
        return {row: GivenUp.decode(value, row) for row, value in self.of("d").items() if value is not None}


def rows_of(
    mutations: Sequence[Mutation], prefix: bytes, after: Snapshot
) -> tuple[dict[str, dict[bytes, bytes | None]], list[tuple[bytes, bytes]]]:
    """The rows that mutations leave, by section, and the ranges that they clear.

    Args:
        mutations: with the versionstamps filled in.
        prefix: of the layer; the first letter behind it is the section.
    """
    rows: dict[str, dict[bytes, bytes | None]] = {}
    cleared: list[tuple[bytes, bytes]] = []
    letter = len(prefix) + 1
    for code, key, parameter in mutations:
        if code == CLEAR_RANGE:
            cleared.append((key, parameter))
            continue
        section = chr(key[letter]) if len(key) > letter and key.startswith(prefix) else ""
        if code == SET:
            value: bytes | None = parameter
        elif code == CLEAR:
            value = None
        else:
            value = after.get(key)
        rows.setdefault(section, {})[key] = value
    return rows, cleared


class SnapshotReader:
    """What a `Staged` reads through to see a snapshot of the store, with no transaction and nothing to wait for."""

    __slots__ = ("_snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def read(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self._snapshot.get(key)

    def read_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of several keys."""
        return [self._snapshot.get(key) for key in keys]

    def known(self, key: bytes) -> tuple[bool, bytes | None]:
        """Nothing is known without a read."""
        return False, None

    def rows(self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows of a range."""
        if begin >= end:
            return iter(())
        return iter(self._snapshot.range(begin, end, limit or 2**62, reverse))
