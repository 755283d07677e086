"""Appending to the journal, in the transaction of the input itself.

Every row has the commit's versionstamp in its key, and the sum of all entries is added to and not read. So journaled
transitions conflict with each other exactly where they did before.

Whether there is a journal is the keyspace's property, not a process's: once one process with `journal=True` has
applied something, all write it, and it has no hole. `stop` ends it for all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from phasm_fdb.database.staged import Staged, encode_count
from phasm_fdb.definition import Definition
from phasm_fdb.effects import Effects, Outcome, Refusal
from phasm_fdb.journal.entry import Entry, raw_of, weight
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Input
from phasm_fdb.meta import LayerMeta, Meta
from phasm_fdb.outbox import TransactionStamps

PART_BYTES = 90_000
SUM_MASK = 0xFFFF_FFFF_FFFF_FFFF


class Journal:
    """The journal of one layer.

    Args:
        wanted: this process switches it on.
        retention_seconds: how long entries are kept at least; None for ever.
    """

    def __init__(
        self, keyspace: Keyspace, definition: Definition, meta: Meta, wanted: bool, retention_seconds: float | None
    ) -> None:
        self._keys = keyspace
        self.definition = definition
        self._meta = meta
        self.wanted = wanted
        self.retention_seconds = retention_seconds

    def record(self, reader: Any, stored: LayerMeta, stamps: TransactionStamps, input: Input) -> Record:
        """The record of an input that is about to be decided; call it right before that.

        Args:
            reader: what the transition reads through.
        """
        opening = None if stored.journal else self._opening(Staged(reader), stored, stamps)
        raw = raw_of(self.definition, input)  # now: a machine that changes its input changes nothing here
        return Record(self, stored, stamps, input, raw, opening, stamps.next_for_journal())

    def _opening(self, staged: Staged, stored: LayerMeta, stamps: TransactionStamps) -> Entry:
        """The entry that the journal is switched on with."""
        empty = not any(True for _ in staged.rows(self._keys.state, self._keys.state + b"\xff", limit=1))
        before = read_sum(staged, self._keys)
        return Entry("on", stamps.next_for_journal(), schema=stored.schema, empty=empty, before=before)

    def migrated(self, staged: Staged, stored: LayerMeta, stamps: TransactionStamps, from_version: int) -> None:
        """Append that a batch of a migration changed the state, if there is a journal."""
        if stored.journal:
            self.append(staged, stamps, Entry("migrated", stamps.next_for_journal(), schema=from_version))

    def stop(self, tr: Any) -> None:
        """Switch the journal off, for all processes; one with `journal=True` switches it on again."""
        staged = Staged(tr)
        self.switch(staged, self._meta.load(staged), on=False)
        staged.flush(tr)

    def switch(self, staged: Staged, stored: LayerMeta, on: bool) -> LayerMeta:
        """Note in the meta row whether there is a journal."""
        if stored.journal != on:
            stored = replace(stored, journal=on)
            self._meta.write(staged, stored)
        return stored

    def append(self, staged: Staged, stamps: TransactionStamps, entry: Entry) -> None:
        """Stage an entry; raises a CodecError if its input holds a number or text that cannot be encoded."""
        data = entry.encode()
        for part, start in enumerate(range(0, len(data), PART_BYTES)):
            row = self._keys.journal_row(entry.number, part)
            staged.set_versionstamped_key(row, data[start : start + PART_BYTES])
        staged.add(self._keys.journal_sum, encode_count(weight(data)))
        stamps.journaled = True


class Record(NamedTuple):
    """What will be an entry of the journal, once its input is decided.

    Attributes:
        raw: what the input carries, undecoded.
        opening: the entry that the journal is switched on with, where it is off.
        number: of the entry itself. What the input leads to has the numbers behind it, so that a replay, which knows
            this one, gives out the same.
    """

    journal: Journal
    stored: LayerMeta
    stamps: TransactionStamps
    input: Input
    raw: Any
    opening: Entry | None
    number: int

    def applied(self, staged: Staged, effects: Effects) -> LayerMeta:
        """Stage that the machine took it, beside what it wrote; the meta as it is then."""
        return self._append(staged, effects)

    def refused(self, base: Any, refusal: Refusal) -> None:
        """Write that the machine refused it, and nothing else."""
        staged = Staged(base)
        self._append(staged, refusal)
        staged.flush(base)

    def _append(self, staged: Staged, outcome: Outcome) -> LayerMeta:
        stored = self.stored
        if self.opening is not None:
            stored = self.journal.switch(staged, stored, on=True)
            self.journal.append(staged, self.stamps, self.opening)
        entry = Entry.of(self.number, self.input, self.raw, outcome)
        self.journal.append(staged, self.stamps, entry)
        return stored


def read_sum(staged: Staged, keyspace: Keyspace) -> int:
    """The sum of the weights of all entries that the journal ever had, in 64 bits."""
    return int.from_bytes(staged.read(keyspace.journal_sum) or b"", "little") & SUM_MASK
