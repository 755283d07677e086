"""What follows from the end of an attempt: a transition, another attempt later, or a dead letter.

The result of a call is worth more than the code that did not know what to do with it. So a result on which the machine
fails is kept, and its transition is tried again, perhaps by newer code, while the call is not made again. A result of
another type than the declared one, or one that the machine refuses with a `TransitionError`, is a failed attempt: the
machine wants another one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.database.staged import encode_count
from phasm_fdb.errors import CodecError, InputError, NewerValue, TransitionError
from phasm_fdb.failure import Failure, reads_of, text_of
from phasm_fdb.keys import MAX_VALUE_BYTES
from phasm_fdb.keyspace import STAMP_BYTES
from phasm_fdb.machine import TrackedActionCompleted
from phasm_fdb.outbox import IdRow
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.causes import ResultLost, cause_of, is_ours, is_refusal
from phasm_fdb.runtime.ending import Ending, Settled, Verdict
from phasm_fdb.runtime.work import Work
from phasm_fdb.runtime.worker_transaction import WorkerTransaction

ONE = encode_count(1)


class Recorder:
    """Records endings in one transaction."""

    def __init__(self, at: WorkerTransaction) -> None:
        self._at = at
        self._staged = at.staged
        self._keys = at.context.keyspace
        self._definition = at.context.definition

    def record(self, ending: Ending) -> Settled:
        """Record one ending; what it leads to touches no other one."""
        work = ending.work
        if work.slot is not None:
            self._staged.clear(work.slot)
        if self._staged.read(work.row) is None or not self._is_pending(work):
            return Settled(Verdict.GONE)
        if ending.error is not None:
            return self._fail(ending, ending.error)
        try:
            if work.progress.failures:
                return self._apply_kept(ending)
            return self._apply(ending, self._definition.encode_result(ending.result))
        except (InputError, TransitionError) as refusal:
            return replace(self._fail(ending, refusal), refusal=refusal)

    def _is_pending(self, work: Work) -> bool:
        """Whether the action's id leads to its row; the way there is mended where it does not decode.

        A row to which its id does not lead is of an action that was cancelled: it is removed.
        """
        keys, staged = self._keys, self._staged
        place = staged.read(keys.id_row(work.packed_id))
        if place is None:
            return self._remove_leftover(work)
        assert work.record is not None
        minted = work.record.packed_id is None
        kept = work.origin_bytes if work.progress.failures else None
        expected = IdRow(work.lane, work.stamp.user_version, minted, kept=kept).encode()
        if place != expected:
            try:
                lane, number, _, due, *_ = IdRow.decode(place)
            except CodecError:
                staged.set(keys.id_row(work.packed_id), expected)
            else:
                if (lane, number, due) != (work.lane, work.stamp.user_version, None):
                    return self._remove_leftover(work)
        if minted:
            return True
        location = staged.read(keys.location_row(work.packed_id))
        if location is None or location[:STAMP_BYTES] != work.stamp.tr_version:
            if location is not None and self._is_there(work, location):
                return self._remove_leftover(work)
            staged.set(keys.location_row(work.packed_id), work.stamp.tr_version)
        return True

    def _is_there(self, work: Work, location: bytes) -> bool:
        """Whether an action lies where a location row says."""
        if len(location) < STAMP_BYTES:
            return False
        stamp = Versionstamp(location[:STAMP_BYTES], work.stamp.user_version)
        return self._staged.read(self._keys.outbox_row(work.lane, stamp)) is not None

    def _remove_leftover(self, work: Work) -> bool:
        self._staged.clear(work.row)
        self._staged.clear(self._keys.progress_row(work.lane, work.stamp))
        return False

    # ---------------------------------------------------------------------------------------------- results

    def _apply_kept(self, ending: Ending) -> Settled:
        """Feed the result that is kept to the machine."""
        try:
            failure = Failure.read(self._staged, self._keys, ending.work.origin_bytes)
            if not failure.result:
                raise ResultLost(f"the result of {ending.work.id!r} was kept, and is not there any more")
        except Exception as error:
            if not is_ours(error):
                raise
            return self._give_up(ending, cause_of(error), Failure(traceback=text_of(error)))
        return self._apply(ending, failure.result[0])

    def _apply(self, ending: Ending, raw: Any) -> Settled:
        """Feed a result to the machine; if that fails, keep it.

        Args:
            raw: the result as it is stored.

        Raises:
            TransitionError: the machine refuses a result that was not kept before.
        """
        work, definition = ending.work, self._definition
        is_kept = work.progress.failures > 0
        input: TrackedActionCompleted[Any] | None = None
        try:
            result = definition.results.from_raw(raw) if is_kept else ending.result
            input = TrackedActionCompleted(work.id, result, self._at.now_ms)
            if ending.too_large is not None:
                raise ending.too_large
            applied = self._at.apply(input)
        except Exception as error:
            if not is_ours(error) or (is_refusal(error) and not is_kept):
                raise
            if isinstance(error, NewerValue) and input is None:
                return Settled(Verdict.LEFT)
            return self._keep(ending, raw, error, input)
        return Settled(Verdict.COMPLETED, applied)

    def _keep(self, ending: Ending, raw: Any, error: Exception, input: TrackedActionCompleted[Any] | None) -> Settled:
        """Keep a result that could not be applied, and try its transition again later, or not any more.

        One for which the machine came upon state that newer code wrote waits for that, however often it was tried.
        """
        work = ending.work
        failures = work.progress.failures + 1
        if failures >= ending.retry.max_transitions and not isinstance(error, NewerValue):
            reads = () if input is None else reads_of(self._at, input)
            return replace(self._give_up(ending, cause_of(error), Failure((raw,), text_of(error), reads)), error=error)
        if failures == 1:
            Failure((raw,)).write(self._staged, self._keys, work.origin_bytes)
        return replace(self._try_later(ending, error, failures), verdict=Verdict.KEPT, error=error)

    # --------------------------------------------------------------------------------------------- failures

    def _fail(self, ending: Ending, error: BaseException) -> Settled:
        """Record that an attempt failed: another one follows, or a result that says so, or none."""
        work, retry = ending.work, ending.retry
        elapsed = (self._at.now_ms - work.progress.first_ms) / 1000
        if not retry.is_spent(work.progress.attempts, error, elapsed):
            return self._try_later(ending, error, 0)
        if retry.on_exhausted is not None and work.action is not None:
            try:
                result = retry.on_exhausted(work.action, error)
                raw = self._definition.encode_result(result)
                return self._apply(replace(ending, result=result), raw)
            except Exception as second:
                if not is_ours(second):
                    raise
                cause = f"{cause_of(error)}; then {cause_of(second)}"
                return self._give_up(ending, cause, Failure(traceback=text_of(second)))
        return self._give_up(ending, cause_of(error), Failure(traceback=text_of(error)))

    def _give_up(self, ending: Ending, cause: str, failure: Failure) -> Settled:
        """Move an action to the dead letters."""
        work = ending.work
        assert work.record is not None
        origin = work.origin_bytes
        self._at.context.outbox.remove(self._at, work.id)
        failure.write(self._staged, self._keys, origin)
        record = Record(work.packed_id, work.record.raw, work.packed_key)
        progress = replace(work.progress, origin=origin)
        self._at.bury(record, progress, cause, origin)
        return Settled(Verdict.BURIED)

    def _try_later(self, ending: Ending, error: BaseException, failures: int) -> Settled:
        """Note when the next attempt is due.

        An action with an ordering key stays in its place, since those behind it wait for it. Any other one leaves the
        lane and waits among the timers, so that a lane is not full of actions that wait; unless it is so large, with
        what `restore` put in its place, that it does not fit in a timer's row.

        Args:
            failures: how often the machine has failed on the result, if that is kept.
        """
        work, keys, staged = ending.work, self._keys, self._staged
        assert work.record is not None
        next_ms = self._at.now_ms + round(ending.delay_seconds * 1000)
        cause = cause_of(error)
        progress = replace(work.progress, running=False, next_ms=next_ms, cause=cause, failures=failures)
        timer = self._as_timer(work, progress)
        waits_in_place = work.packed_key is not None or len(timer) > MAX_VALUE_BYTES
        if failures or not waits_in_place:
            place = staged.read(keys.id_row(work.packed_id))
            assert place is not None, "an action with an outbox row has an id row"
            _, number, minted, *_ = IdRow.decode(place)
            due, kept = None if waits_in_place else next_ms, work.origin_bytes if failures else None
            staged.set(keys.id_row(work.packed_id), IdRow(work.lane, number, minted, due, kept=kept).encode())
        if waits_in_place:
            staged.set(keys.progress_row(work.lane, work.stamp), progress.encode())
            return Settled(Verdict.RETRIED, in_place=progress)
        staged.clear(work.row)
        staged.clear(keys.progress_row(work.lane, work.stamp))
        staged.set(keys.timer_row(work.lane, next_ms, work.stamp), timer)
        staged.add(keys.signal(work.lane), ONE)
        return Settled(Verdict.RETRIED)

    @staticmethod
    def _as_timer(work: Work, progress: Progress) -> bytes:
        """The timer's row in which an action waits outside of its lane."""
        assert work.record is not None
        moved = replace(progress, origin=work.origin_bytes)
        return replace(work.record, packed_id=work.packed_id, progress=moved).encode()
