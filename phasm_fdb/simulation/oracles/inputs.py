"""Exactly once: a request id is applied at most once, its client hears what came of it, and no input is given up."""

from __future__ import annotations

from typing import Any

from phasm_fdb.errors import InputRejected, InvariantViolation
from phasm_fdb.machine import Normal
from phasm_fdb.receipts import Applied
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.world.commit import Commit, StfRun
from phasm_fdb.simulation.world.inspector import Inspector


class Requests(Oracle):
    """Counts how often each request id was applied."""

    def __init__(self, inspector: Inspector) -> None:
        super().__init__(inspector)
        self._applied: dict[Any, StfRun] = {}
        self._answered: list[Any] = []

    def committed(self, commit: Commit) -> None:
        for run in commit.runs:
            if run.error is not None or not isinstance(run.input, Normal):
                continue
            request = run.input.request_id
            first = self._applied.setdefault(request, run)
            if first is not run:
                raise InvariantViolation(
                    f"exactly once: request {request!r} was applied twice, as {first.input!r} and as {run.input!r}",
                    input=run.input,
                )

    def answered(self, request: Any, applied: Applied | None, refused: Exception | None) -> None:
        if applied is not None:
            self._answered.append(request)
        run = self._applied.get(request)
        if applied is not None and run is None:
            raise InvariantViolation(f"exactly once: request {request!r} was answered {applied}, and never applied")
        if applied is not None and run is not None and applied.reply != run.reply:
            raise InvariantViolation(
                f"exactly once: request {request!r} was answered {applied.reply!r}, "
                f"and the machine replied {run.reply!r}"
            )
        if isinstance(refused, InputRejected) and run is not None:
            raise InvariantViolation(f"exactly once: request {request!r} was refused ({refused}), and applied")

    def at_rest(self) -> None:
        for request in self._answered:
            if request not in self._applied:
                raise InvariantViolation(f"exactly once: request {request!r} was answered, and never applied")


class DeadInputs(Oracle):
    """Looks at new dead letters. An action may be given up, as its handler's policy says; an input never is."""

    def committed(self, commit: Commit) -> None:
        for letter in commit.dead_letters().values():
            if letter.record.is_input:
                payload = self.inspector.definition.inputs.from_raw(letter.record.raw)
                raise InvariantViolation(
                    f"inputs are applied: {payload!r} made the machine fail: {letter.cause}", input=payload
                )
