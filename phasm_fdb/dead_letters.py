"""Dead letters: actions and inputs that were given up, kept with their cause until someone decides about them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from fdb.tuple import Versionstamp

from phasm_fdb import plain
from phasm_fdb.codec import Codec
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.staged import Staged, decode_count, encode_count
from phasm_fdb.database.transactional import run
from phasm_fdb.database.versions import read_version
from phasm_fdb.describing import place_of, value_of
from phasm_fdb.errors import CodecError, DuplicateAction, message_of
from phasm_fdb.failure import Failure
from phasm_fdb.inbox import Queued
from phasm_fdb.keys import unpack_element
from phasm_fdb.keyspace import Keyspace, stamp_of, stamped_key
from phasm_fdb.outbox import lane_of
from phasm_fdb.receipts import is_failed, is_open
from phasm_fdb.records import Progress, Record
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.layer_transaction import LayerTransaction

MAX_CAUSE = 2000
ONE = encode_count(1)
PAGE_ROWS = 200
#: Under this name the last element of a dead letter says where more is kept of its failure.
FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Read:
    """A row of the state that `stf` had read.

    Attributes:
        place: the field, with the key where it has keys: `balance['ann']`.
        value: what was there: `ABSENT` for nothing, the stored bytes where they do not decode.
    """

    place: str
    value: Any

    def __str__(self) -> str:
        return f"{self.place}: {self.value!r}"


NONE = type(None)
#: What a dead letter holds: id, payload, ordering key, whether it is an input, attempts, origin, cause, time, and more.
_LETTER: tuple[plain.Kinds, ...] = (
    *((bytes, NONE), None, (bytes, NONE), (bool,)),
    *((int,), (bytes,), (str,), (int,), (dict,)),
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An action or input that was given up.

    Attributes:
        stamp: names it, for `Layer.requeue` and `Layer.discard`.
        kind: "action" or "input".
        id: the action's id, or the input's request id (None for an input that the machine sent itself).
        payload: the action or the input's payload; undecoded if this code does not know its type.
        ordering_key: its ordering key.
        attempts: how many attempts were made.
        cause: what the last failure was.
        at: when it was given up, in milliseconds since the epoch.
        result: the result of an action on which the machine failed, undecoded if it does not decode any more: `requeue`
            has it applied, and the outside call is not made again. None where there is none.
        traceback: of what the handler or the machine raised last; empty where that is not known.
        reads: what `stf` had read of the state when it failed, in that order, up to 1,000 rows and 100 kB.
        raw: the stored row, of what cannot be decoded at all; None of everything else.
    """

    stamp: Versionstamp
    kind: Literal["action", "input"]
    id: Any
    payload: Any
    ordering_key: Any
    attempts: int
    cause: str
    at: int
    result: Any = None
    traceback: str = ""
    reads: tuple[Read, ...] = ()
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An action or input that becomes a dead letter.

    Attributes:
        record: what it is, with its id or request id filled in.
        progress: how many attempts were made, and where the action was first emitted.
        cause: what the last failure was.
        at: when it is given up, in milliseconds since the epoch.
        failure: the versionstamp (12 bytes) under which more is kept (see `Failure`); empty where there is no more.
        is_counted: it is counted by its id; older code did not do that, and wrote one element less.
    """

    record: Record
    progress: Progress
    cause: str
    at: int
    failure: bytes = b""
    is_counted: bool = True

    def encode(self) -> bytes:
        """The dead letter as its row holds it."""
        record, progress = self.record, self.progress
        more = {FAILURE: self.failure} if self.failure else {}
        return plain.to_bytes(
            [
                *(record.packed_id, record.raw, record.packed_key, record.is_input),
                *(progress.attempts, progress.origin, self.cause[:MAX_CAUSE], self.at),
                *((more,) if self.is_counted else ()),
            ]
        )

    @classmethod
    def decode(cls, value: bytes, row: bytes) -> GivenUp:
        """What the row of a dead letter holds; raises a CodecError that names it if that is something else."""
        try:
            letter = plain.list_from_bytes(value, _LETTER, optional=1)
            failure = letter[-1].get(FAILURE, b"") if len(letter) == len(_LETTER) else b""
            plain.check_list([failure], [(bytes,)])
        except CodecError as error:
            raise error.at("a dead letter", row) from error
        packed_id, raw, packed_key, is_input, attempts, origin, cause, at, *more = letter
        record, progress = Record(packed_id, raw, packed_key, is_input), Progress(attempts=attempts, origin=origin)
        return cls(record, progress, cause, at, failure, is_counted=bool(more))

    def read_failure(self, keys: Keyspace, reader: Staged) -> Failure:
        """What is kept beside it."""
        return Failure.read(reader, keys, self.failure) if self.failure else Failure()

    def drop_failure(self, keys: Keyspace, staged: Staged) -> None:
        """Remove what is kept beside it."""
        if self.failure:
            staged.clear_range(*keys.failure(self.failure))


def bury(at: LayerTransaction, given_up: GivenUp) -> None:
    """Write a dead letter; the rows of the action or input, and what is kept of its failure, are the caller's."""
    keys, record = at.context.keyspace, given_up.record
    row = keys.dead_row(Versionstamp.incomplete(at.stamps.next_user_version()))
    at.staged.set_versionstamped_key(stamped_key(row), given_up.encode())
    if record.packed_id is not None:
        at.staged.add(keys.dead_id(record.is_input, record.packed_id), ONE)


def bury_row(at: LayerTransaction, row: bytes, error: CodecError, now_ms: int) -> None:
    """Move a row that does not decode to the dead letters, as it is; nothing is done if it is not there.

    Args:
        error: what is wrong with it.
    """
    keys, staged = at.context.keyspace, at.staged
    value = staged.read(row)
    if value is None:
        return
    stamp = hashlib.blake2b(row, digest_size=12).digest()  # its own may not be one, or that of something else
    Failure(stored=value).write(staged, keys, stamp)
    nothing = Record(None, None, is_input=row.startswith(keys.all_inbox))
    bury(at, GivenUp(nothing, Progress(), f"CodecError: {message_of(error)}", now_ms, stamp))
    staged.clear(row)


def dead_letters(context: LayerContext, tr: Any) -> Iterator[DeadLetter]:
    """The dead letters, in the order they were given up."""
    for key, value in rows(tr, *context.keyspace.dead()):
        try:
            yield _decode(context, tr, key, value)
        except CodecError as error:
            with contextlib.suppress(CodecError):  # a key without a stamp has no name to discard it by
                cause = f"CodecError: {message_of(error)}"
                yield DeadLetter(stamp_of(key), "action", None, None, None, 0, cause, 0, raw=value)


def discard(at: LayerTransaction, stamp: Versionstamp, now: float) -> bool:
    """Remove a dead letter; False if there is none of that stamp. The receipt of its input expires in time from now."""
    context, staged = at.context, at.staged
    try:
        letter = _take(context.keyspace, staged, stamp)
    except CodecError:
        at.tr.clear(context.keyspace.dead_row(stamp))
        return True
    if letter is None:
        return False
    letter.drop_failure(context.keyspace, staged)
    record = letter.record
    if record.is_input and record.packed_id is not None:
        receipts = context.receipts
        receipt = receipts.for_request(unpack_element(record.packed_id), now, read_version(at.tr))
        if is_failed(staged.read(receipt.key)):
            receipts.expire(staged, receipt)
    at.flush()
    return True


def requeue(at: LayerTransaction, stamp: Versionstamp, now: float) -> bool:
    """Put a dead letter back where it came from, with its attempts starting anew.

    An action keeps its idempotency key; the result of one that has a result is applied, and no call is made.

    Returns:
        False if there is no such dead letter, or if its input has been applied meanwhile, and so it is removed.

    Raises:
        DuplicateAction: another action has its id by now.
        CodecError: it is a row that does not decode.
    """
    keys, staged = at.context.keyspace, at.staged
    letter = _take(keys, staged, stamp)
    if letter is None:
        return False
    record, failure = letter.record, letter.read_failure(keys, staged)
    if failure.stored is not None:
        raise CodecError(f"the dead letter {stamp} is a row that does not decode: discard it, it cannot be put back")
    if not failure.result:
        letter.drop_failure(keys, staged)
    lanes = at.load_meta().lanes
    spread_by = record.packed_key if record.packed_key is not None else record.packed_id
    lane = 0 if spread_by is None else lane_of(spread_by, lanes)
    is_back = True
    if record.is_input:
        queued = Queued(b"", record.raw, int(now * 1000), record.packed_id, record.packed_key)
        is_back = _requeue_input(at, lane, queued)
    else:
        assert record.packed_id is not None, "an action is given up under its id"
        if staged.read(keys.id_row(record.packed_id)) is not None:
            raise DuplicateAction(unpack_element(record.packed_id))
        progress = Progress(origin=letter.progress.origin, failures=len(failure.result))
        at.context.outbox.enter(at, lane, record, progress)
    at.flush()
    return is_back


def _requeue_input(at: LayerTransaction, lane: int, queued: Queued) -> bool:
    """Put an input back into its lane, unless its receipt says that it was applied, or refused, by another call."""
    receipts = at.context.receipts
    if queued.packed_request is not None:
        receipt = receipts.key(queued.request_id)
        if not is_open(at.staged.read(receipt)):
            return False
        receipts.mark_queued(at.staged, receipt)
    at.context.inbox.put(at, lane, queued)
    return True


def _take(keys: Keyspace, staged: Staged, stamp: Versionstamp) -> GivenUp | None:
    """Take a dead letter out, and give its content; None if there is none of that stamp."""
    row = keys.dead_row(stamp)
    value = staged.read(row)
    if value is None:
        return None
    letter = GivenUp.decode(value, row)
    record = letter.record
    staged.clear(row)
    if record.packed_id is not None and letter.is_counted:
        counter = keys.dead_id(record.is_input, record.packed_id)
        others = decode_count(staged.read(counter)) - 1
        if others > 0:
            staged.set(counter, encode_count(others))
        else:
            staged.clear(counter)
    return letter


def count_older_letters(context: LayerContext, db: Any) -> None:
    """Count the dead letters by their ids, once: those that older code wrote are not counted."""
    begin: bytes | None = context.keyspace.dead()[0]
    while begin is not None:
        begin = run(db, functools.partial(_count_page, context.keyspace, begin))


def _count_page(keys: Keyspace, begin: bytes, tr: Any) -> bytes | None:
    """Count some older dead letters; gives where to go on, or None at the end."""
    staged = Staged(tr)
    if staged.read(keys.dead_ids) is not None:
        return None
    found = list(rows(tr, begin, keys.dead()[1], limit=PAGE_ROWS))
    for row, value in found:
        letter = GivenUp.decode(value, row)
        if letter.is_counted:
            continue
        staged.set(row, replace(letter, is_counted=True).encode())
        if letter.record.packed_id is not None:
            staged.add(keys.dead_id(letter.record.is_input, letter.record.packed_id), ONE)
    is_end = len(found) < PAGE_ROWS
    if is_end:
        staged.set(keys.dead_ids, b"")
    staged.flush(tr)
    return None if is_end else found[-1][0] + b"\0"


def _decode(context: LayerContext, tr: Any, key: bytes, value: bytes) -> DeadLetter:
    letter = GivenUp.decode(value, key)
    record, definition = letter.record, context.definition
    failure = letter.read_failure(context.keyspace, Staged(tr))
    state = definition.state_class
    return DeadLetter(
        stamp_of(key),
        "input" if record.is_input else "action",
        None if record.packed_id is None else unpack_element(record.packed_id),
        _decoded(definition.inputs if record.is_input else definition.tracked, record.raw),
        record.ordering_key,
        letter.progress.attempts,
        letter.cause,
        letter.at,
        _decoded(definition.results, failure.result[0]) if failure.result else None,
        failure.traceback,
        tuple(Read(place_of(state, row), value_of(state, row, data)) for row, data in failure.reads),
        failure.stored,
    )


def _decoded(codec: Codec[Any], raw: Any) -> Any:
    """The value of what is stored, or that itself if it does not decode."""
    try:
        return codec.from_raw(raw)
    except CodecError:
        return raw
