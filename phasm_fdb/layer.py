"""A machine bound to a subspace: the thing an application imports."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from phasm_fdb.actions import Actions, Tracked
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import Attempts, is_transaction, run
from phasm_fdb.database.waiting import wait
from phasm_fdb.definition import Definition
from phasm_fdb.errors import MachineDefinitionError
from phasm_fdb.keys import pack_element
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Normal, StateMachine, TrackedActionCompleted
from phasm_fdb.meta import Meta
from phasm_fdb.outbox import Outbox, StampsByTransaction, TransactionStamps
from phasm_fdb.receipts import HOUR_SECONDS, Applied, Receipt, Receipts
from phasm_fdb.transition import Input, Machinery, transition, view_of

T = TypeVar("T")

WEEK_SECONDS = 7 * 24 * 3600
DEFAULT_LANES = 8


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
        checked: check the invariants (incrementally, where the machine has `check_changes`) before each commit.
        clock: the time in seconds since the epoch; inputs are stamped with it and receipts expire by it.
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
        clock: Callable[[], float] = time.time,
        token_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if not 1 <= lanes <= 10_000:
            raise MachineDefinitionError(f"lanes is {lanes}, and must be between 1 and 10,000")
        if receipt_ttl_seconds <= 0:
            raise MachineDefinitionError(f"receipt_ttl_seconds is {receipt_ttl_seconds}, and must be positive")
        definition = Definition(machine)
        keyspace = Keyspace(subspace)
        self.machine = machine
        self.keyspace = keyspace
        self._machinery = Machinery(
            definition,
            keyspace,
            Meta(keyspace, definition, lanes),
            Outbox(keyspace, definition.tracked),
            Receipts(keyspace, definition, receipt_ttl_seconds),
            checked,
        )
        self._clock = clock
        self._token_bytes = token_bytes
        self._stamps = StampsByTransaction()

    def __repr__(self) -> str:
        return f"Layer({type(self.machine).__name__}(), {self.keyspace.prefix!r})"

    @property
    def machinery(self) -> Machinery:
        """The parts of the layer, for what extends it (the runtime)."""
        return self._machinery

    # ------------------------------------------------------------------------------------------- inputs

    def apply(self, db_or_tr: Any, payload: Any, request_id: Any = None) -> Applied:
        """Apply an input, exactly once for each request id.

        Args:
            payload: a value of the machine's `Input`, bare or in `Normal`.
            request_id: any tuple-layer value that the caller repeats when it tries again. A repeated one applies
                nothing and returns the first outcome, whatever the payload.

        Raises:
            TransitionError: the machine refused; nothing was written, and the request id stays unused.
            InputError: the payload is not of a declared type.
            KeyspaceError: the subspace is not this machine's.
        """
        input = payload if isinstance(payload, Normal) else Normal(payload)
        if isinstance(input.payload, TrackedActionCompleted):
            return self.complete(db_or_tr, input.payload.id, input.payload.result)
        self._machinery.definition.check_payload(input.payload)
        now = self._clock()
        token = self._token_bytes(16) if request_id is None else None
        at = int(now * 1000) if input.at is None else input.at
        input = Normal(input.payload, at, token if request_id is None else request_id)
        if request_id is not None:
            return self._apply(db_or_tr, input, self._machinery.receipts.for_request(request_id, now), True)
        return self._apply_once(db_or_tr, input, token, now)

    def complete(self, db_or_tr: Any, id: Any, result: Any) -> Applied:
        """Feed the result of a tracked action back to the machine, and take the action out of the outbox.

        Raises:
            StaleCompletion: no action with this id is pending; nothing was changed.
            TransitionError: the machine refused; nothing was written, and the action stays pending.
            InputError: the result is not of a declared type.
        """
        self._machinery.definition.check_result(result)
        pack_element(id)
        now = self._clock()
        input = TrackedActionCompleted(id, result, int(now * 1000))
        return self._apply_once(db_or_tr, input, self._token_bytes(16), now)

    def _apply_once(self, db_or_tr: Any, input: Input, token: bytes | None, now: float) -> Applied:
        """Apply an input that nobody will repeat: the receipt is for the retries of this call alone."""
        if token is None or is_transaction(db_or_tr):
            return self._apply(db_or_tr, input, None, False)
        return self._apply(db_or_tr, input, self._machinery.receipts.for_own(token, now), False)

    def _apply(self, db_or_tr: Any, input: Input, receipt: Receipt | None, may_be_repeated: bool) -> Applied:
        if is_transaction(db_or_tr):
            stamps = self._stamps.of(db_or_tr)
            return transition(self._machinery, db_or_tr, stamps, input, receipt, may_be_repeated)
        attempts = Attempts()
        versionstamp: Any = None

        def body(tr: Any) -> Applied:
            nonlocal versionstamp
            stamps = TransactionStamps()
            repeated = may_be_repeated or attempts.maybe_committed
            applied = transition(self._machinery, tr, stamps, input, receipt, repeated)
            versionstamp = tr.get_versionstamp() if stamps.used and not applied.repeated else None
            return applied

        applied = run(db_or_tr, body, attempts)
        return applied if versionstamp is None else applied.completed(wait(versionstamp))

    # -------------------------------------------------------------------------------------------- reads

    def view(self, db_or_tr: Any) -> Any:
        """The machine's state, to be read only.

        Of a transaction: as that sees it, with read conflicts. Of a database: at one version, which lasts for the
        five seconds of a FoundationDB transaction.
        """
        tr = db_or_tr if is_transaction(db_or_tr) else db_or_tr.create_transaction()
        return view_of(self._machinery, tr, set(self._stored(tr).large), "a view")

    def check(self, db_or_tr: Any) -> None:
        """Check the machine's invariants on the whole state.

        Raises:
            InvariantViolation: the state is not valid.
        """

        def body(tr: Any) -> None:
            state = view_of(self._machinery, tr, set(self._stored(tr).large), "check_invariants")
            self._machinery.definition.check_invariants(state)

        self._read(db_or_tr, body)

    def pending(self, db_or_tr: Any) -> Iterator[Tracked[Any]]:
        """The tracked actions that were emitted and not completed yet, in versionstamp order.

        In a transaction this includes what it has emitted itself.
        """
        return iter(self._read(db_or_tr, self._pending))

    def restore(self, db_or_tr: Any) -> Actions:
        """What to resume after a crash: every pending action, as the machine's `restore` decides.

        For an id that `restore` emits, its action stands in place of the original one, which stays stored; an id
        that it leaves out stands as it was; an id that only it knows becomes pending.

        Raises:
            RestoreError: the machine cannot resume.
            ReadOnlyError: `restore` wrote to the state.
        """
        return self._read(db_or_tr, self._restore)

    def _read(self, db_or_tr: Any, body: Callable[[Any], T]) -> T:
        return body(db_or_tr) if is_transaction(db_or_tr) else run(db_or_tr, body)

    def _stored(self, tr: Any) -> Any:
        return self._machinery.meta.peek(Staged(tr))

    def _pending(self, tr: Any) -> list[Tracked[Any]]:
        lanes = self._stored(tr).lanes
        return [pending.tracked for pending in self._machinery.outbox.pending(tr, lanes, self._stamps.of(tr))]

    def _restore(self, tr: Any) -> Actions:
        definition, outbox = self._machinery.definition, self._machinery.outbox
        staged = Staged(tr)
        stored = self._machinery.meta.load(staged)
        emitted = Actions(definition.machine.max_actions, definition.check_action)
        definition.restore(view_of(self._machinery, tr, set(stored.large), "restore"), emitted)
        resumed = {pack_element(action.id): action for action in emitted.tracked}
        pending = {pack_element(action.id): action for action in self._pending(tr)}
        stamps = self._stamps.of(tr)
        for packed, action in resumed.items():
            if packed not in pending:
                outbox.emit(staged, stamps, action, stored.lanes, int(self._clock() * 1000))
        staged.flush(tr)
        result = Actions(len(pending) + len(emitted))
        for action in ({**pending, **resumed}).values():
            result.add(action)
        for untracked in emitted.untracked:
            result.add(untracked)
        return result

    # -------------------------------------------------------------------------------------------- upkeep

    def sweep(self, db: Any, batch: int = 1000) -> int:
        """Remove what has outlived its use: expired receipts, and outbox rows that died before they were committed.

        Args:
            db: a database; each batch is a transaction of its own.
            batch: the most receipts that one transaction removes.

        Returns:
            How many receipts of request ids were removed.
        """
        hour = int(self._clock() // HOUR_SECONDS)
        removed = 0
        while True:
            swept = run(db, lambda tr: self._sweep_receipts(tr, hour, batch))
            removed += swept
            if swept < batch:
                break
        run(db, lambda tr: self._sweep_rest(tr, hour))
        return removed

    def _sweep_receipts(self, tr: Any, hour: int, batch: int) -> int:
        hour_bytes = len(pack_element(hour))
        swept = 0
        for expiry, _ in list(rows(tr, *self.keyspace.expired(hour), limit=batch)):
            tr.clear(self.keyspace.receipt_of(expiry, hour_bytes))
            tr.clear(expiry)
            swept += 1
        return swept

    def _sweep_rest(self, tr: Any, hour: int) -> None:
        tr.clear_range(*self.keyspace.own_receipts_before(hour - 1))
        self._machinery.outbox.bury(tr)
