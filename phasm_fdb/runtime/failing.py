"""What is done about a failed attempt: another one later, a declared result that says so, or a dead letter."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from phasm_fdb.database.staged import Staged, encode_count
from phasm_fdb.database.transactional import error_code
from phasm_fdb.dead_letters import bury
from phasm_fdb.errors import DatabaseError
from phasm_fdb.keys import MAX_VALUE_BYTES
from phasm_fdb.machine import TrackedActionCompleted
from phasm_fdb.outbox import TransactionStamps, place_of
from phasm_fdb.receipts import Applied
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.retry import Retry
from phasm_fdb.runtime.work import Work
from phasm_fdb.transition import Machinery, transition

ONE = encode_count(1)
MAX_CAUSE = 2000


class Verdict(enum.Enum):
    """What became of an action whose attempt has ended."""

    COMPLETED = "its result was applied"
    RETRIED = "it is tried again later"
    BURIED = "it was moved to the dead letters"
    GONE = "it is not pending any more"
    STALE = "its lane is lost"


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of an attempt, as it was recorded.

    Attributes:
        in_place: where the action waits for its next attempt in its lane, how far it has come.
    """

    verdict: Verdict
    applied: Applied | None = None
    in_place: Progress | None = None


def is_ours(error: BaseException) -> bool:
    """Whether an error is the machine's or the handler's: not the database's, and not the end of the program."""
    return isinstance(error, Exception) and not isinstance(error, DatabaseError) and error_code(error) is None


def cause_of(error: BaseException) -> str:
    """An error in words that can be stored, whatever its own text is."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception as second:
        text = f"its text cannot be had: {type(second).__name__}"
    return storable_text(f"{name}: {text}" if text else name, MAX_CAUSE)


def storable_text(text: str, most: int) -> str:
    """A text as it can be stored: without lone surrogates, and no longer than `most` characters."""
    return text[:most].encode("utf-8", "backslashreplace").decode()[:most]


def fail(
    machinery: Machinery,
    staged: Staged,
    stamps: TransactionStamps,
    work: Work,
    retry: Retry,
    error: BaseException,
    delay_seconds: float,
    now_ms: int,
) -> Settled:
    """Record that an attempt failed.

    Args:
        delay_seconds: how long to wait if it is tried again; drawn by the caller, so that a retried transaction does
            the same again.
    """
    elapsed = (now_ms - work.progress.first_ms) / 1000
    if not retry.is_spent(work.progress.attempts, error, elapsed):
        return _try_later(machinery, staged, work, cause_of(error), now_ms + round(delay_seconds * 1000))
    if retry.on_exhausted is not None and work.action is not None:
        try:
            result = retry.on_exhausted(work.action, error)
            return complete(machinery, staged, stamps, work, result, now_ms)
        except Exception as second:
            if not is_ours(second):
                raise
            return give_up(machinery, staged, stamps, work, f"{cause_of(error)}; then {cause_of(second)}", now_ms)
    return give_up(machinery, staged, stamps, work, cause_of(error), now_ms)


def complete(
    machinery: Machinery, staged: Staged, stamps: TransactionStamps, work: Work, result: Any, now_ms: int
) -> Settled:
    """Feed a result to the machine. Raises what the machine raises, and then nothing is written."""
    machinery.definition.check_result(result)
    assert work.record is not None
    input = TrackedActionCompleted(work.record.id(work.stamp), result, now_ms)
    return Settled(Verdict.COMPLETED, transition(machinery, staged, stamps, input, None, False))


def give_up(
    machinery: Machinery, staged: Staged, stamps: TransactionStamps, work: Work, cause: str, now_ms: int
) -> Settled:
    """Move an action to the dead letters."""
    assert work.record is not None
    origin = work.progress.origin or work.row[-12:]
    record = Record(work.packed_id, work.record.raw, work.packed_key)
    machinery.outbox.remove(staged, stamps, work.record.id(work.stamp))
    bury(machinery, staged, stamps, record, replace(work.progress, origin=origin), cause, now_ms)
    return Settled(Verdict.BURIED)


def _try_later(machinery: Machinery, staged: Staged, work: Work, cause: str, next_ms: int) -> Settled:
    """Note when the next attempt is due.

    An action with an ordering key stays in its place, since those behind it wait for it. Any other one leaves the
    lane and waits among the timers, so that a lane is not full of actions that wait; unless it is so large, with what
    `restore` put in its place, that it does not fit in a timer's row.
    """
    keys = machinery.keyspace
    progress = replace(work.progress, running=False, next_ms=next_ms, cause=cause)
    progress_row = keys.progress_row(work.lane, work.stamp)
    assert work.record is not None
    moved = replace(progress, origin=progress.origin or work.row[-12:])
    timer = replace(work.record, packed_id=work.packed_id, progress=moved).encode()
    if work.packed_key is not None or len(timer) > MAX_VALUE_BYTES:
        staged.set(progress_row, progress.encode())
        return Settled(Verdict.RETRIED, in_place=progress)
    id_row = keys.id_row(work.packed_id)
    place = staged.read(id_row)
    assert place is not None, "an action with an outbox row has an id row"
    _, number, minted, _ = place_of(place)
    staged.clear(work.row)
    staged.clear(progress_row)
    staged.set(keys.timer_row(work.lane, next_ms, work.stamp), timer)
    staged.set(id_row, msgpack.packb([work.lane, number, minted, next_ms]))
    staged.add(keys.signal(work.lane), ONE)
    return Settled(Verdict.RETRIED)
