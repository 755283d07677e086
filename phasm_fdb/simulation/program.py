"""The operations that clients execute: drawn as a run goes, or taken from a list of choices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from phasm_fdb.simulation.choices import EXECUTE, LEAVE, Choice, Choices
from phasm_fdb.simulation.settings import APPLY, CALL, SUBMIT, Settings

MODES = (APPLY, SUBMIT, CALL)


@dataclass(frozen=True, slots=True)
class Operation:
    """One input of one client.

    Attributes:
        number: of the operation; it is the request id too.
        at: when it is sent, in seconds of the run.
        mode: "apply", "submit" or "call".
        leaves: it is not sent: the client finds that the run has enough of them.
        beside: inputs that are applied with it, in one transaction of the client's own.
    """

    number: int
    at: float
    mode: str
    leaves: bool = False
    beside: tuple[Any, ...] = ()

    @property
    def who(self) -> str:
        """How choices name who executes it."""
        return f"op {self.number}"

    def request_id(self, turn: int) -> Any:
        """The request id of the input itself (0), or of one beside it."""
        return self.number if turn == 0 else (self.number, turn)


class Program:
    """The operations of all clients.

    Each client sends its next input some time after it has the answer to the one before.
    """

    def __init__(self, choices: Choices, settings: Settings) -> None:
        self._choices = choices
        self._settings = settings
        self._number = 0
        self._awaited: dict[int, Operation] = {}
        self._planned: dict[int, Iterator[Choice]] = {}
        if choices.is_played:
            planned = choices.planned_operations()
            clients = {int(choice.value["client"]) for choice in planned}
            self._planned = {
                client: iter([choice for choice in planned if choice.value["client"] == client]) for client in clients
            }

    def next(self, client: int, now: float) -> Operation | None:
        """What a client does next; None if nothing.

        Args:
            client: its number, from 1.
            now: in seconds of the run.
        """
        operation = self._plan(client) if self._choices.is_played else self._draw(now)
        if operation is not None:
            self._awaited[client] = operation
        return operation

    def started(self, operation: Operation, client: int, leaves: bool) -> None:
        """Note what a client does: it executes an operation, or finds that there have been enough."""
        del self._awaited[client]
        value = {"client": client, "at": operation.at, "mode": operation.mode}
        self._choices.take(Choice(operation.who, LEAVE if leaves else EXECUTE, 1, value))

    def end(self) -> None:
        """Note that the run ended before clients did what they were waiting to do.

        Without that they would not wait when it is played, and whoever ends instead changes the order of the others.
        """
        for client, operation in list(self._awaited.items()):
            self.started(operation, client, leaves=True)

    def _plan(self, client: int) -> Operation | None:
        choice = next(self._planned.get(client, iter(())), None)
        if choice is None:
            return None
        number = int(choice.who.rpartition(" ")[2])
        return Operation(number, float(choice.value["at"]), str(choice.value["mode"]), choice.what == LEAVE)

    def _draw(self, now: float) -> Operation:
        chance = self._choices.chance
        assert chance is not None
        self._number += 1
        gap = -math.log(1.0 - chance.random()) * self._settings.gap_seconds
        (mode,) = chance.choices(MODES, self._settings.modes)
        return Operation(self._number, round(now + gap, 6), mode)
