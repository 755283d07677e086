"""What is kept where a machine fails on the result of an action, or on an input: enough to find the bug and to go on.

It lies in rows of its own, as many as it needs, under the versionstamp of what the machine failed on: that at which the
action was emitted, or that of the input's row. There it stays while the transition is tried again, and when the action
or input becomes a dead letter.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from phasm_fdb.database.ranges import Row
from phasm_fdb.database.staged import Staged
from phasm_fdb.errors import CodecError
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Input
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.transition.decision import decide, view_over
from phasm_fdb.transition.layer_transaction import LayerTransaction

FORMAT = 1
PART_BYTES = 90_000
MAX_TRACEBACK = 20_000
MAX_READS = 1_000
MAX_READ_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something was not applied, and what it takes to try again.

    Attributes:
        result: the result of the action, undecoded, in a tuple of its own; empty if there is none.
        traceback: of what the machine or the handler raised.
        reads: the rows of the state that `stf` had read, without the prefix of the state: as many as fit.
        stored: the row itself, where that is what cannot be decoded.
    """

    result: tuple[Any, ...] = ()
    traceback: str = ""
    reads: tuple[tuple[bytes, bytes | None], ...] = ()
    stored: bytes | None = None

    def write(self, staged: Staged, keys: Keyspace, stamp: bytes) -> None:
        """Keep it under a versionstamp (12 bytes), in place of what is there."""
        data = msgpack.packb([FORMAT, self.result, self.traceback, self.reads, self.stored])
        staged.clear_range(*keys.failure(stamp))
        for number, begin in enumerate(range(0, len(data), PART_BYTES)):
            staged.set(keys.failure_part(stamp, number), data[begin : begin + PART_BYTES])

    @classmethod
    def read(cls, reader: Any, keys: Keyspace, stamp: bytes) -> Failure:
        """What is kept under a versionstamp; nothing, if nothing is.

        Raises:
            CodecError: the rows do not decode.
        """
        begin, end = keys.failure(stamp)
        data = b"".join(value for _, value in reader.rows(begin, end))
        if not data:
            return cls()
        try:
            _, result, text, reads, stored = msgpack.unpackb(data, strict_map_key=False)
            return cls(tuple(result), str(text), tuple((bytes(key), value) for key, value in reads), stored)
        except Exception as error:
            raise CodecError(f"the row {begin!r}, of what a machine failed on, does not decode: {error}") from None


def text_of(error: BaseException) -> str:
    """The traceback of an error as text that can be stored: its end, if it is long."""
    text = "".join(traceback.format_exception(error))[-MAX_TRACEBACK:]
    return text.encode("utf-8", "backslashreplace").decode()


def reads_of(at: LayerTransaction, input: Input) -> tuple[tuple[bytes, bytes | None], ...]:
    """What `stf` reads of the state until it fails on an input: it is run again, to see that.

    Args:
        at: where it has failed; nothing is written to it.
    """
    keyspace = at.context.keyspace
    reader = _Noting(at.staged, keyspace.state)
    view = view_over(Staged(reader), keyspace, at.load_meta().large, TransactionStamps())
    try:
        decide(at.context.definition, view, input)
    except Exception:
        return reader.noted()
    return reader.noted()


class _Noting:
    """Reads as `base` does, and notes what is read of the keys that begin with `prefix`."""

    def __init__(self, base: Staged, prefix: bytes) -> None:
        self._base = base
        self._prefix = prefix
        self._rows: dict[bytes, bytes | None] = {}

    def read(self, key: bytes) -> bytes | None:
        value = self._base.read(key)
        self._note(key, value)
        return value

    def read_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [self.read(key) for key in keys]

    def known(self, key: bytes) -> tuple[bool, bytes | None]:
        return False, None

    def rows(self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[Row]:
        for key, value in self._base.rows(begin, end, limit, reverse):
            self._note(key, value)
            yield key, value

    def _note(self, key: bytes, value: bytes | None) -> None:
        if key.startswith(self._prefix):
            self._rows.setdefault(key[len(self._prefix) :], value)

    def noted(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """The rows, in the order in which they were read, as many as fit."""
        kept, room = [], MAX_READ_BYTES
        for key, value in list(self._rows.items())[:MAX_READS]:
            room -= len(key) + len(value or b"")
            if room < 0:
                break
            kept.append((key, value))
        return tuple(kept)
