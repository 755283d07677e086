"""What a handler is told about the call that it makes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

from fdb.tuple import Versionstamp


class Attempt:
    """One attempt at an action. Handlers get it beside the action.

    Attributes:
        number: which attempt this is, from 1; it goes on counting over restarts and takeovers.
        idempotency_key: the same on every attempt at this action, and of no other action: give it to the outside
            system, so that a repeated call has one effect.
        id: the tracked action's id; None for an untracked one.
        layer: the name of the machine whose action this is.
    """

    __slots__ = ("_deadline", "_extend", "id", "idempotency_key", "layer", "number")

    def __init__(
        self,
        number: int,
        idempotency_key: str,
        id: Any,
        layer: str,
        deadline: float | None = None,
        extend: Callable[[], float | None] | None = None,
    ) -> None:
        self.number = number
        self.idempotency_key = idempotency_key
        self.id = id
        self.layer = layer
        self._deadline = deadline
        self._extend = extend

    @property
    def deadline(self) -> float | None:
        """When the worker gives this attempt up, in seconds since the epoch by the worker's clock; None for never."""
        return self._deadline

    def heartbeat(self) -> None:
        """Say that the call is still making progress: its timeout starts anew. Works from any thread.

        The total deadline of the retry policy does not move.
        """
        if self._extend is not None:
            self._deadline = self._extend()

    def __repr__(self) -> str:
        return f"Attempt(number={self.number}, id={self.id!r}, idempotency_key={self.idempotency_key!r})"


def idempotency_key(layer: str, prefix: bytes, stamp: Versionstamp) -> str:
    """The key of the action that was emitted at `stamp` in the keyspace under `prefix`: no other action has it."""
    return f"{layer}-{_digest(prefix)}-{stamp.tr_version.hex()}{stamp.user_version:04x}"


@functools.lru_cache(maxsize=64)
def _digest(prefix: bytes) -> str:
    return hashlib.blake2b(prefix, digest_size=4).hexdigest()
