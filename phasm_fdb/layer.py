"""A machine bound to a subspace: the thing an application imports."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from phasm_fdb import recovery, resizing
from phasm_fdb.actions import Actions, Tracked
from phasm_fdb.cache import Cache
from phasm_fdb.database import aio
from phasm_fdb.database.remembering import RememberingTransaction
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import is_transaction, run
from phasm_fdb.database.versions import RecentVersions, read_version
from phasm_fdb.dead_letters import DeadLetter, dead_letters, discard, requeue
from phasm_fdb.errors import InputError, MachineDefinitionError
from phasm_fdb.guard import Mode, define
from phasm_fdb.inbox import Inbox
from phasm_fdb.journal import history, snapshot
from phasm_fdb.journal.journal import Journal
from phasm_fdb.journal.snapshot import Snapshot
from phasm_fdb.journal.state_copy import copy_state
from phasm_fdb.keys import pack_element
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Input, Normal, StateMachine, TrackedActionCompleted, check_time
from phasm_fdb.meta import Meta
from phasm_fdb.migration import migrate
from phasm_fdb.outbox import Outbox, StampsByTransaction
from phasm_fdb.receipts import Applied, Receipts
from phasm_fdb.replay import Report, replay
from phasm_fdb.sweeping import sweep
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.double_run import Verifier
from phasm_fdb.transition.layer_transaction import LayerTransaction
from phasm_fdb.transition.retrying import OwnTransaction, Request
from phasm_fdb.transition.submission import deliver, outcome, submit

T = TypeVar("T")

WEEK_SECONDS = 7 * 24 * 3600
DEFAULT_LANES = 8
#: Of the token that tells a call from others with the same request id.
CALLER_BYTES = 8


class Layer:
    """A machine over a subspace of a FoundationDB-like database.

    Every method takes a database, and then runs in a transaction of its own which is retried; or a transaction,
    and then is part of it. A layer holds no connection and no state: one object serves all threads, tasks and
    databases. From asyncio call `await aio.run(layer.apply, db, ...)`.

    Args:
        machine: the machine, an instance.
        subspace: an `fdb.Subspace`, a directory, or a tuple; it holds this layer and nothing else.
        lanes: into how many lanes the outbox of a new keyspace is spread; an existing one keeps its number.
        receipt_ttl_seconds: how long the outcome of a request id is remembered at least.
        checked: check the invariants (incrementally, where the machine has `check_changes`) before each commit, and
            that no result of a tracked action is forgotten.
        verify: the share of transitions, from 0 to 1, that run twice on the same state and have to decide the same.
        journal: append every input, applied or refused, to the journal, from where `phasm replay` replays it. Then all
            processes do, also those that were not told to, until `stop_journal`.
        journal_retention_seconds: how long `sweep` leaves journal entries and snapshots at least; None for ever.
        cache: how many recently used values to keep in memory, for a machine whose inputs mostly touch the same ones;
            0 for none. What is committed is never based on a stale value (see `phasm_fdb.cache`).
        guard: "error" to raise a NondeterminismError where machine code reaches for a clock, chance or the outside
            world, "warn" to warn, "off" for neither; None for the process's default, which is "off" (see
            `phasm_fdb.guard`).
        clock: the time in seconds since the epoch; inputs are stamped with it and receipts expire by it.
        monotonic: a time in seconds that never goes back; cached values expire by it.
        token_bytes: gives that many random bytes, for the inputs that come without a request id.

    Raises:
        MachineDefinitionError: the machine is not well formed.
    """

    def __init__(
        self,
        machine: StateMachine,
        subspace: Any,
        *,
        lanes: int = DEFAULT_LANES,
        receipt_ttl_seconds: float = WEEK_SECONDS,
        checked: bool = False,
        verify: float = 0.0,
        journal: bool = False,
        journal_retention_seconds: float | None = None,
        cache: int = 0,
        guard: Mode | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        token_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        _refuse_lanes(lanes)
        if cache < 0:
            raise MachineDefinitionError(f"cache is {cache}, and must not be negative")
        if receipt_ttl_seconds <= 0:
            raise MachineDefinitionError(f"receipt_ttl_seconds is {receipt_ttl_seconds}, and must be positive")
        if journal_retention_seconds is not None and journal_retention_seconds <= 0:
            raise MachineDefinitionError(f"journal_retention_seconds is {journal_retention_seconds}: it is positive")
        if not 0 <= verify <= 1:
            raise MachineDefinitionError(f"verify is {verify}, and must be a share from 0 to 1")
        definition = define(machine, guard)
        keyspace = Keyspace(subspace)
        self.machine = machine
        self.keyspace = keyspace
        meta = Meta(keyspace, definition, lanes)
        self._context = LayerContext(
            definition,
            keyspace,
            meta,
            Outbox(keyspace, definition.tracked),
            Receipts(keyspace, definition, receipt_ttl_seconds),
            Inbox(keyspace),
            Journal(keyspace, definition, meta, journal, journal_retention_seconds),
            checked,
            Verifier(definition, keyspace, verify) if verify else None,
            watched=journal or verify > 0,
        )
        self._clock = clock
        self._token_bytes = token_bytes
        self._stamps = StampsByTransaction(keyspace.prefix)
        self._versions = RecentVersions(monotonic)
        self._cache_capacity = cache
        self._caches: WeakKeyDictionary[Any, Cache] = WeakKeyDictionary()
        self._monotonic = monotonic

    def __repr__(self) -> str:
        return f"Layer({type(self.machine).__name__}(), {self.keyspace.prefix!r})"

    @property
    def context(self) -> LayerContext:
        """The parts of the layer, for what extends it (the runtime)."""
        return self._context

    # ------------------------------------------------------------------------------------------- inputs

    def apply(self, db_or_tr: Any, payload: Any, request_id: Any = None, deliver: bool = False) -> Applied:
        """Apply an input, exactly once for each request id.

        The untracked actions that it emits are the caller's to run, after the commit: `Applied.untracked`.

        Args:
            payload: a value of the machine's `Input`, bare or in `Normal`.
            request_id: any tuple-layer value that the caller repeats when it tries again; that of a `Normal` is taken
                if it is left out. A repeated one applies nothing and returns the first outcome, whatever the payload;
                its untracked actions are handed out once.
            deliver: store the untracked actions, in the same transaction, for the handlers of a worker, which runs each
                at most once; then `Applied.untracked` is empty.

        Raises:
            TransitionError: the machine refused; nothing was written, and the request id stays unused.
            InputError: the payload is not of a declared type.
            KeyspaceError: the subspace is not this machine's.
        """
        now = self._clock()
        request_id = _request_id_of(payload, request_id)
        token = self._token_bytes(16) if request_id is None else b""
        input = self._stamped(payload, now, token if request_id is None else request_id)
        if isinstance(input.payload, TrackedActionCompleted):
            return self._complete(db_or_tr, input.payload, now, deliver)
        self._context.definition.check_payload(input.payload)
        if request_id is not None:
            caller = self._token_bytes(CALLER_BYTES) if self._context.definition.emits_untracked else b""
            version = self._version(db_or_tr)
            receipt = self._context.receipts.for_request(request_id, now, version, caller)
            return self._apply(db_or_tr, Request(input, receipt, True, deliver))
        return self._apply_once(db_or_tr, input, token, deliver)

    @staticmethod
    def _stamped(payload: Any, now: float, request_id: Any) -> Normal[Any]:
        """The payload as an input with its time and request id."""
        if not isinstance(payload, Normal):
            return Normal(payload, int(now * 1000), request_id)
        return Normal(payload.payload, _time_of(payload, now), request_id)

    def complete(self, db_or_tr: Any, id: Any, result: Any, deliver: bool = False) -> Applied:
        """Feed the result of a tracked action back to the machine, and take the action out of the outbox.

        Args:
            deliver: as for `apply`.

        Raises:
            StaleCompletion: no action with this id is pending; nothing was changed.
            TransitionError: the machine refused; nothing was written, and the action stays pending.
            InputError: the result is not of a declared type.
        """
        return self._complete(db_or_tr, TrackedActionCompleted(id, result), self._clock(), deliver)

    def _complete(self, db_or_tr: Any, completed: TrackedActionCompleted[Any], now: float, deliver: bool) -> Applied:
        self._context.definition.check_result(completed.result)
        pack_element(completed.id)
        input = TrackedActionCompleted(completed.id, completed.result, _time_of(completed, now))
        return self._apply_once(db_or_tr, input, self._token_bytes(16), deliver)

    def _apply_once(self, db_or_tr: Any, input: Input, token: bytes, delivers: bool) -> Applied:
        """Apply an input that nobody will repeat: the receipt is for the retries of this call alone."""
        is_callers = is_transaction(db_or_tr)
        receipt = None if is_callers else self._context.receipts.for_own(token, self._versions.of(db_or_tr))
        return self._apply(db_or_tr, Request(input, receipt, False, delivers))

    def _version(self, db_or_tr: Any) -> int:
        """A version that a transaction reads at, or that a database was at lately."""
        return read_version(db_or_tr) if is_transaction(db_or_tr) else self._versions.of(db_or_tr)

    def _apply(self, db_or_tr: Any, request: Request) -> Applied:
        if request.receipt is None or is_transaction(db_or_tr):
            return self._apply_within(db_or_tr, request)
        cache = self._cache_of(db_or_tr) if self._cache_capacity else None
        return OwnTransaction(self._context, request, cache).run(db_or_tr)

    def _apply_within(self, tr: Any, request: Request) -> Applied:
        """Apply an input in the caller's transaction."""
        at = self._within(tr)
        applied = at.apply(request.input, request.receipt, request.check_receipt)
        if not applied.repeated:
            at.stamps.remember(applied.tracked)
        if request.delivers:
            return deliver(LayerTransaction(self._context, at.tr, at.stamps), applied, request.input.at)
        return applied

    def _cache_of(self, db: Any) -> Cache:
        """The cached values of this layer in a database."""
        cache = self._caches.get(db)
        if cache is None:
            cache = self._caches.setdefault(db, Cache(self.keyspace, self._cache_capacity, self._monotonic))
        return cache

    # -------------------------------------------------------------------------------------------- inbox

    def submit(self, db_or_tr: Any, payload: Any, request_id: Any = None, ordering_key: Any = None) -> Any:
        """Store an input that a worker applies soon; `outcome` waits for what came of it.

        Many submitted inputs share one transaction when they are applied, so this is how a machine whose inputs
        all touch the same state takes more of them than one commit each.

        Args:
            request_id: as for `apply`; submitting it again does nothing. One is made if it is left out.
            ordering_key: inputs with the same key (a tuple-layer value) are applied in the order of submission.

        Returns:
            The request id.
        """
        now = self._clock()
        request_id = _request_id_of(payload, request_id)
        input = self._stamped(payload, now, self._token_bytes(16) if request_id is None else request_id)
        self._context.definition.check_payload(input.payload)

        self._write(db_or_tr, lambda at: submit(at, input, ordering_key))
        return input.request_id

    async def outcome(self, db: Any, request_id: Any, timeout: float | None = None) -> Applied:
        """Wait for the outcome of a submitted input.

        Args:
            timeout: in seconds of the event loop's time; None to wait for ever.

        Raises:
            InputRejected: the machine refused the input (a TransitionError).
            InputFailed: the machine failed on it, and it lies in the dead letters.
            TimeoutError: the outcome was not there in time; it may still come.
        """
        return await outcome(self._context, db, request_id, timeout)

    async def call(
        self, db: Any, payload: Any, request_id: Any = None, ordering_key: Any = None, timeout: float | None = None
    ) -> Applied:
        """Submit an input and wait for its outcome, as a request handler does; raises what both raise."""
        id = await aio.run(self.submit, db, payload, request_id, ordering_key)
        return await self.outcome(db, id, timeout)

    # -------------------------------------------------------------------------------------------- reads

    def view(self, db_or_tr: Any) -> Any:
        """The machine's state, to be read only.

        Of a transaction: as that sees it, with read conflicts. Of a database: at one version, which lasts for the
        five seconds of a FoundationDB transaction.
        """
        tr = self._remembering(db_or_tr) if is_transaction(db_or_tr) else db_or_tr.create_transaction()
        return self._context.state(tr, self._stored(tr).large, "a view")

    def check(self, db_or_tr: Any) -> None:
        """Check the machine's invariants on the whole state.

        Raises:
            InvariantViolation: the state is not valid.
        """

        def body(tr: Any) -> None:
            state = self._context.state(tr, self._stored(tr).large, "check_invariants")
            self._context.definition.check_invariants(state)

        self._read(db_or_tr, body)

    def pending(self, db_or_tr: Any) -> Iterator[Tracked[Any]]:
        """The tracked actions that were emitted and not completed yet, in versionstamp order.

        In a transaction this includes what it has emitted itself. Of a database they are read in pages, each at one
        read version, so there may be more than one transaction can read.
        """
        if is_transaction(db_or_tr):
            return iter(recovery.pending(self._within(db_or_tr)))
        return recovery.pending_in_pages(self._context, db_or_tr)

    def restore(self, db_or_tr: Any) -> Actions:
        """What to resume after a crash: every pending action, as the machine's `restore` decides.

        For an id that `restore` emits, its action stands in place of the original one, which stays stored; an id
        that it leaves out stands as it was; an id that only it knows becomes pending.

        Raises:
            RestoreError: the machine cannot resume.
            ReadOnlyError: `restore` wrote to the state.
        """
        now_ms = int(self._clock() * 1000)
        if is_transaction(db_or_tr):
            return self._write(db_or_tr, lambda at: recovery.restore(at, now_ms))
        return recovery.restore_in_pages(self._context, db_or_tr, now_ms)

    def _write(self, db_or_tr: Any, body: Callable[[LayerTransaction], T]) -> T:
        """Run what writes, in the caller's transaction or in one of its own."""
        if is_transaction(db_or_tr):
            return body(self._within(db_or_tr))
        return run(db_or_tr, lambda tr: body(LayerTransaction(self._context, tr)))

    def _within(self, tr: Any) -> LayerTransaction:
        """What this layer does in a caller's transaction, with what it has written to it before."""
        stamps = self._stamps.of(tr)
        return LayerTransaction(self._context, RememberingTransaction(tr, stamps.own_writes), stamps)

    def _read(self, db_or_tr: Any, body: Callable[[Any], T]) -> T:
        return body(self._remembering(db_or_tr)) if is_transaction(db_or_tr) else run(db_or_tr, body)

    def _remembering(self, tr: Any) -> RememberingTransaction:
        """A caller's transaction, with what this layer has written to it."""
        return RememberingTransaction(tr, self._stamps.of(tr).own_writes)

    def _stored(self, tr: Any) -> Any:
        return self._context.meta.peek(Staged(tr))

    # -------------------------------------------------------------------------------------------- upkeep

    def dead_letters(self, db_or_tr: Any) -> list[DeadLetter]:
        """The actions and inputs that were given up, in the order they were."""
        return self._read(db_or_tr, lambda tr: list(dead_letters(self._context, tr)))

    def requeue(self, db_or_tr: Any, stamp: Any) -> bool:
        """Put the dead letter of this stamp back where it came from; False if there is none.

        Its attempts start anew; an action keeps its idempotency key. If the input of a dead letter has been applied
        under its request id meanwhile, the dead letter is removed, and False returned: nothing is applied twice.

        Raises:
            DuplicateAction: another action has its id by now.
        """
        now = self._clock()
        return self._write(db_or_tr, lambda at: requeue(at, stamp, now))

    def discard(self, db_or_tr: Any, stamp: Any) -> bool:
        """Remove the dead letter of this stamp; False if there is none."""
        now = self._clock()
        return self._write(db_or_tr, lambda at: discard(at, stamp, now))

    def resize(self, db: Any, lanes: int) -> bool:
        """Change the number of lanes.

        With live workers this is a wish: they finish what they run, and then move the pending work to its new
        lanes. Without any it is done at once, once the leases of workers that have died are given up.

        Returns:
            Whether it is done.
        """
        _refuse_lanes(lanes)
        run(db, lambda tr: resizing.request(self._context, tr, lanes))
        return resizing.carry_out(self._context, db)

    def migrate(self, db: Any) -> int:
        """Bring the state to the machine's `schema_version` by its `migrate`, a transaction a batch.

        Returns:
            How many batches this call ran.

        Raises:
            KeyspaceError: the keyspace has a newer schema.
        """
        return migrate(self._context, db)

    def sweep(self, db: Any, batch: int = 1000) -> int:
        """Remove what has outlived its use: expired receipts, outbox rows that died before they were committed, and
        what is older than the journal's retention time.

        A receipt has expired when this process's clock and the database's version both say so; and not while an action
        that its input emitted is still pending, or lies in the dead letters.

        Args:
            db: a database; each batch is a transaction of its own.
            batch: the most receipts, or rows of the journal, that one transaction removes.

        Returns:
            How many receipts of request ids were removed.
        """
        return sweep(self._context, db, self._clock(), batch)

    # ------------------------------------------------------------------------------------------- journal

    def snapshot(self, db: Any, path: str | Path | None = None) -> int:
        """Copy the state as it is now to where a replay can begin: into the database, or to a file.

        Returns:
            Its version, which names it.

        Raises:
            KeyspaceError: nothing was ever applied.
            ReplayError: the state cannot be read in the five seconds for which FoundationDB keeps a version.
        """
        copy = copy_state(self.keyspace, self._context.meta, db)
        if path is not None:
            history.save(copy, path)
        else:
            snapshot.take(self.keyspace, db, copy, int(self._clock() * 1000))
        return copy.version

    def snapshots(self, db: Any) -> list[Snapshot]:
        """The snapshots in the database, the oldest first."""
        return snapshot.snapshots(self.keyspace, db)

    def drop_snapshot(self, db_or_tr: Any, version: int) -> None:
        """Remove a snapshot from the database; the journal behind it cannot be replayed from there any more."""
        self._read(db_or_tr, lambda tr: snapshot.drop(self.keyspace, tr, version))

    def export(self, db: Any, path: str | Path, since: str | None = None) -> None:
        """Write the history up to now to a file, from which `phasm replay --file` replays it without a database.

        Args:
            since: the version of the snapshot to begin at, "latest", or the path of a snapshot's file; None for the
                beginning of everything.

        Raises:
            ReplayError: the journal does not reach back that far.
        """
        history.export(history.history_in(self.keyspace, self._context.meta, db, since), path)

    def replay(self, db: Any, since: str | None = None, new: Layer | None = None) -> Report:
        """Decide the recorded inputs again, in memory, and compare what they lead to, and the state at the end.

        Args:
            since: where to begin, as for `export`.
            new: other code of the same machine, in a layer of its own: it decides every input too, on the recorded
                state, and what it decides differently is reported.

        Raises:
            ReplayError: the journal does not reach back that far, has a gap, or crosses a migration.
        """
        recorded = history.history_in(self.keyspace, self._context.meta, db, since)
        return replay(self._context, recorded, None if new is None else new.context)

    def stop_journal(self, db_or_tr: Any) -> None:
        """Switch the journal off, for all processes. A process with `journal=True` would switch it on again."""
        self._read(db_or_tr, self._context.journal.stop)


def _time_of(input: Input, now: float) -> int:
    """When an input came, in milliseconds since the epoch: as it says itself, or `now` (seconds) if it does not."""
    if input.at is None:
        return int(now * 1000)
    check_time(input.at, f"the time of {type(input).__name__}, `at`,")
    return input.at


def _refuse_lanes(lanes: int) -> None:
    if not 1 <= lanes <= 10_000:
        raise MachineDefinitionError(f"lanes is {lanes}, and must be between 1 and 10,000")


def _request_id_of(payload: Any, request_id: Any) -> Any:
    """The request id that a call is given, beside its payload or in a `Normal`; raises an InputError for two."""
    own = payload.request_id if isinstance(payload, Normal) else None
    if own is None or request_id is None:
        return own if request_id is None else request_id
    if own != request_id:
        raise InputError(f"request_id is {request_id!r}, and that of the Normal is {own!r}: give one of them")
    return request_id
