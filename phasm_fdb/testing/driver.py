"""Drives one machine by single steps, as a property test does it, and holds every step to what the layer promises.

Nothing here knows of Hypothesis: a step is a plain method, and what it finds wrong is an InvariantViolation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phasm_fdb.actions import Tracked
from phasm_fdb.database.ranges import rows
from phasm_fdb.embedded import open_memory
from phasm_fdb.errors import InvariantViolation, StaleCompletion, TransitionError
from phasm_fdb.guard import Mode
from phasm_fdb.keys import pack_element
from phasm_fdb.layer import Layer
from phasm_fdb.machine import StateMachine
from phasm_fdb.receipts import Applied

#: Where a run begins, in seconds since the epoch: 1 January 2024.
BEGINNING = 1_704_067_200.0


class Driver:
    """A machine on an empty memory database, in which time passes only when a step says so.

    Every transition runs twice and is checked before its commit, under the guard.

    Args:
        machine: makes the machine, anew after each crash.
        guard: what happens when machine code reaches for the clock, chance or the outside world.

    Attributes:
        now: the time in seconds since the epoch.
        pending: the actions to complete, as `restore` wants them; replaced by every step.
    """

    def __init__(self, machine: Callable[[], StateMachine], guard: Mode = "error") -> None:
        self._machine = machine
        self._guard: Mode = guard
        self._tokens = 0
        self._answers: list[tuple[Any, Any, Applied]] = []
        self._instead: dict[bytes, Tracked[Any]] = {}
        self.now = BEGINNING
        self.db = open_memory(clock=self._clock, sleep=self.sleep, random=lambda: 0.5)
        self.layer = self._new_layer()
        self.pending: list[Tracked[Any]] = []

    # --------------------------------------------------------------------------------------------- steps

    def apply(self, payload: Any) -> Applied | None:
        """Apply an input under a request id of its own; None if the machine refused it.

        Raises:
            InvariantViolation: an invariant is broken, or a refused input changed something.
        """
        request_id = len(self._answers) + 1
        before = self._dump()
        try:
            applied = self.layer.apply(self.db, payload, request_id)
        except TransitionError as refusal:
            self._expect_unchanged(before, f"{payload!r} was refused ({refusal!r})")
            self._answers.append((None, payload, Applied()))
            return None
        self._answers.append((request_id, payload, applied))
        self._look()
        return applied

    def repeat(self, number: int) -> None:
        """Apply one of the inputs so far again, under its request id: nothing happens, and the answer is the same.

        Args:
            number: which of those that were applied, modulo how many there are.
        """
        answered = [answer for answer in self._answers if answer[0] is not None]
        if not answered:
            return
        request_id, payload, first = answered[number % len(answered)]
        before = self._dump()
        again = self.layer.apply(self.db, payload, request_id)
        if (again.reply, again.tracked, again.untracked) != (first.reply, first.tracked, ()):
            raise InvariantViolation(f"exactly once: {payload!r} repeated gave {again}, and at first {first}")
        self._expect_unchanged(before, f"{payload!r} was repeated")

    def complete(self, number: int, result: Any) -> Applied | None:
        """Bring the result of a pending action, and then bring it again, which must be stale.

        Args:
            number: which of the pending actions, modulo how many there are; there must be one.

        Returns:
            The outcome; None if the machine refused the result.
        """
        action = self.pending[number % len(self.pending)]
        before = self._dump()
        try:
            applied = self.layer.complete(self.db, action.id, result)
        except TransitionError as refusal:
            self._expect_unchanged(before, f"{result!r} was refused ({refusal!r})")
            return None
        self._instead.pop(pack_element(action.id), None)
        self._look()
        if action.id not in [one.id for one in self.pending]:
            self._expect_stale(action.id, result)
        return applied

    def crash(self) -> None:
        """Lose everything in memory and restore, as a worker does when it takes over.

        Raises:
            InvariantViolation: `restore` left the layer without an action that it should run.
        """
        known = {pack_element(action.id) for action in self.layer.pending(self.db)}
        self.layer = self._new_layer()
        restored = {pack_element(action.id): action for action in self.layer.restore(self.db).tracked}
        self._instead = {key: action for key, action in restored.items() if key in known}
        self._look()

    def wait(self, seconds: float) -> None:
        """Let time pass; inputs are stamped with it."""
        self.sleep(seconds)

    def check(self) -> None:
        """Check the invariants on the whole state."""
        self.layer.check(self.db)

    def sleep(self, seconds: float) -> None:
        """The database's way to wait."""
        self.now += seconds

    # ------------------------------------------------------------------------------------------- looking

    def _look(self) -> None:
        """See what is pending now; an action that `restore` gave stands in place of the original."""
        self.pending = [self._instead.get(pack_element(one.id), one) for one in self.layer.pending(self.db)]

    def _expect_stale(self, id: Any, result: Any) -> None:
        before = self._dump()
        try:
            self.layer.complete(self.db, id, result)
        except StaleCompletion:
            self._expect_unchanged(before, f"the result of {id!r} came twice")
        else:
            raise InvariantViolation(f"exactly once: the result of {id!r} was applied twice")

    def _expect_unchanged(self, before: dict[bytes, bytes], why: str) -> None:
        after = self._dump()
        if after != before:
            keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
            raise InvariantViolation(f"nothing changes: {why}, and {len(keys)} rows changed: {keys}")

    def _dump(self) -> dict[bytes, bytes]:
        """Every row of the layer."""
        keyspace = self.layer.keyspace
        return dict(rows(self.db.create_transaction(), keyspace.prefix, keyspace.end))

    def _new_layer(self) -> Layer:
        return Layer(
            self._machine(),
            ("driven",),
            checked=True,
            verify=1.0,
            guard=self._guard,
            clock=self._clock,
            token_bytes=self._token,
        )

    def _clock(self) -> float:
        return self.now

    def _token(self, size: int) -> bytes:
        self._tokens += 1
        return self._tokens.to_bytes(size, "big")
