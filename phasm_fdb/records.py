"""What the rows of pending work hold: an action in the outbox, an action or input in a timer, and its progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb import plain
from phasm_fdb.converter import TAG
from phasm_fdb.errors import CodecError
from phasm_fdb.keys import pack_element, unpack_element

#: The most that a row of pending work takes, so that it still fits in one when its progress or its cause of death is
#: added (2,000 characters, in UTF-8).
MAX_RECORD_BYTES = 90_000

NONE = type(None)
_PROGRESS: tuple[plain.Kinds, ...] = ((int,), (bool,), (int,), (int,), (str,), (bytes,), None, (int,))
_RECORD: tuple[plain.Kinds, ...] = ((bytes, NONE), None, (bytes, NONE), (bool,), (list, NONE))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the attempts at an action have come.

    Attributes:
        attempts: how many were started.
        running: the last of them was started, and how it ended is not recorded: after a crash it is in doubt.
        first_ms: when the first one was started, in milliseconds since the epoch.
        next_ms: when the next one is due.
        cause: what the last failure was.
        origin: the versionstamp (12 bytes) at which the action was emitted, where its row has moved since.
        instead: the action, undecoded, which `restore` put in place of the original one.
        failures: how often the machine has failed on the action's result, which is kept; 0 while there is none.
    """

    attempts: int = 0
    running: bool = False
    first_ms: int = 0
    next_ms: int = 0
    cause: str = ""
    origin: bytes = b""
    instead: Any = None
    failures: int = 0

    def raw(self) -> list[Any]:
        raw = [self.attempts, self.running, self.first_ms, self.next_ms, self.cause, self.origin, self.instead]
        return [*raw, self.failures] if self.failures else raw

    def encode(self) -> bytes:
        return plain.to_bytes(self.raw())

    @classmethod
    def decode(cls, data: bytes, row: bytes = b"") -> Progress:
        """What the row `row` holds; raises a CodecError that names it if that is something else."""
        try:
            return cls(*plain.list_from_bytes(data, _PROGRESS, optional=1))
        except CodecError as error:
            raise error.at("the progress of an action", row) from error


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the outbox or of a timer.

    Attributes:
        packed_id: None where the id is the row's own versionstamp.
        raw: the action or payload, undecoded: it may be of a type that only a newer version knows.
        packed_key: the ordering key.
        is_input: it is an input for later, and not an action.
        progress: in a timer, how far an action that waits for its next attempt has come.
    """

    packed_id: bytes | None
    raw: Any
    packed_key: bytes | None = None
    is_input: bool = False
    progress: Progress | None = None

    def encode(self) -> bytes:
        return encode_record(self.packed_id, self.raw, self.packed_key, self.is_input, self.progress)

    @classmethod
    def decode(cls, data: bytes, row: bytes = b"") -> Record:
        """What the row `row` holds; raises a CodecError that names it if that is something else."""
        try:
            packed_id, raw, packed_key, *more = plain.list_from_bytes(data, _RECORD, optional=2)
            is_input, progress = more[0] if more else False, more[1] if len(more) > 1 else None
            if progress is not None:
                plain.check_list(progress, _PROGRESS, optional=1)
        except CodecError as error:
            raise error.at("an action or input", row) from error
        return cls(packed_id, raw, packed_key, is_input, None if progress is None else Progress(*progress))

    def id(self, stamp: Versionstamp) -> Any:
        """The action's id, given the stamp of its row."""
        return stamp if self.packed_id is None else unpack_element(self.packed_id)

    def packed(self, stamp: Versionstamp) -> bytes:
        """The action's id as the tuple layer packs it, given the stamp of its row."""
        return pack_element(stamp) if self.packed_id is None else self.packed_id

    @property
    def ordering_key(self) -> Any:
        return None if self.packed_key is None else unpack_element(self.packed_key)


def encode_record(
    packed_id: bytes | None, raw: Any, packed_key: bytes | None, is_input: bool, progress: Progress | None = None
) -> bytes:
    """A `Record` of these attributes, as it is stored."""
    record = [packed_id, raw, packed_key]
    if is_input or progress is not None:
        record += [is_input, None if progress is None else progress.raw()]
    return plain.to_bytes(record)


def tag_of(raw: Any) -> str:
    """The type of an undecoded action or input, as the code that wrote it named it."""
    if isinstance(raw, dict):
        return str(raw.get(TAG))
    return type(raw).__name__
