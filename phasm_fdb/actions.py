"""What a transition emits: tracked and untracked actions, in a container with a bound.

An action describes an outside call; it is never the call itself (PHASM's invariant 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fdb.tuple import Versionstamp

from phasm_fdb.errors import ActionsFull, CodecError, DuplicateAction, InputError, shown
from phasm_fdb.keys import is_incomplete, pack_element
from phasm_fdb.machine import check_time

A = TypeVar("A")

DEFAULT_CAPACITY = 10_000
#: How far away a time may be that counts from an input's: some 35,000 years.
MAX_AFTER_SECONDS = 2**40


@dataclass(frozen=True, slots=True)
class Tracked(Generic[A]):
    """An outside call whose result comes back as an input; stored in the outbox until then.

    Attributes:
        id: any tuple-layer value, unique among the pending actions of the layer, chosen by the machine
            deterministically (PHASM's invariant 4).
        action: a value of the machine's declared `TrackedAction`.
        ordering_key: actions with the same key (a tuple-layer value) are done strictly one after another.
        after: seconds from the time of the input (`Normal.at`) before which the action is not started.
        at: the same as a point in time, in integer milliseconds since the epoch.
    """

    id: Any
    action: A
    ordering_key: Any = None
    after: float | None = None
    at: int | None = None

    def completed(self, versionstamp: bytes) -> Tracked[A]:
        """The same with its id from `new_id()` made complete, now that the commit's versionstamp is known."""
        if not is_incomplete(self.id):
            return self
        return Tracked(self.id.completed(versionstamp), self.action, self.ordering_key, self.after, self.at)


@dataclass(frozen=True, slots=True)
class Untracked(Generic[A]):
    """Fire and forget: handed to the caller after the commit, never stored."""

    action: A


@dataclass(frozen=True, slots=True)
class Later(Generic[A]):
    """An input that the machine sends itself, delivered once when it is due. Made by `Actions.later`.

    Attributes:
        id: shares its names with the tracked actions: unique among the pending, and what `cancel` takes.
        payload: a value of the machine's declared `Input`.
        after, at: when it is due, as for `Tracked`.
        ordering_key: inputs with the same key (a tuple-layer value) are applied in the order they fell due.
    """

    id: Any
    payload: A
    after: float | None = None
    at: int | None = None
    ordering_key: Any = None


def due_ms(action: Tracked[Any] | Later[Any], now_ms: int | None) -> int | None:
    """When an action is due, in milliseconds since the epoch; None for at once.

    Args:
        now_ms: the time of the input that emits it.
    """
    if action.at is not None:
        return action.at
    if action.after is None:
        return None
    if now_ms is None:
        raise InputError(f"{shown(action)} is due some time after its input, and that has no time: set Normal.at")
    # An input that was stored before times were checked may have a float, and no timer is due at one.
    return int(now_ms) + round(action.after * 1000)


class Actions:
    """The container that a transition fills: bounded, as PHASM's fallible container is.

    Iterating gives the actions in the order they were added.

    Args:
        capacity: the most actions it takes.
        encode: gives what an action holds as it is stored; raises if its type is not declared by the machine.
        next_user_version: gives the next free number for `new_id` in this transaction.
    """

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        encode: Callable[[Tracked[Any] | Untracked[Any] | Later[Any]], Any] | None = None,
        next_user_version: Callable[[], int] | None = None,
    ) -> None:
        if capacity < 0:
            raise ValueError(f"capacity is {capacity}, and must not be negative")
        self.capacity = capacity
        self._encode = encode
        self._next_user_version = next_user_version
        self._actions: dict[Any, tuple[Tracked[Any] | Untracked[Any] | Later[Any], Any]] = {}
        self._cancelled: list[Any] = []

    @classmethod
    def with_capacity(cls, capacity: int) -> Actions:
        """An empty container that takes at most `capacity` actions."""
        return cls(capacity)

    def add(self, action: Tracked[Any] | Untracked[Any]) -> None:
        """Emit an action.

        Raises:
            ActionsFull: the container is at its capacity.
            DuplicateAction: a tracked action with this id is in the container already.
            InputError: it is not a `Tracked` or `Untracked`, or what it holds is not of a declared type.
        """
        if not isinstance(action, (Tracked, Untracked)):
            raise InputError(f"{shown(action)} is not an action: wrap it in Tracked(id, action) or Untracked(action)")
        self._add(action)

    def later(
        self, id: Any, payload: Any, *, after: float | None = None, at: int | None = None, ordering_key: Any = None
    ) -> None:
        """Have the machine's own input `payload` delivered, exactly once, when it is due; `cancel(id)` takes it back.

        Args:
            id: as the id of a tracked action, and not that of a pending one.
            after: in how many seconds, counted from the time of this input.
            at: or when, in integer milliseconds since the epoch.
            ordering_key: inputs with the same key are applied in the order they fell due.

        Raises:
            ActionsFull, DuplicateAction: as for `add`.
            InputError: the payload is not of a declared type; or not exactly one of `after` and `at` is given.
        """
        if after is None and at is None:
            raise InputError(f"later({shown(id)}, ...) does not say when: give after= (seconds) or at= (milliseconds)")
        self._add(Later(id, payload, after, at, ordering_key))

    def _add(self, action: Tracked[Any] | Untracked[Any] | Later[Any]) -> None:
        raw = None if self._encode is None else self._encode(action)
        if len(self._actions) >= self.capacity:
            raise ActionsFull(self.capacity)
        if isinstance(action, Untracked):
            self._actions[object()] = action, raw
            return
        if action.after is not None or action.at is not None:
            _refuse_due(action)
        entry = action, raw
        if self._actions.setdefault(_identity(action.id), entry) is not entry:
            raise DuplicateAction(action.id)

    def cancel(self, id: Any) -> None:
        """Take a pending tracked action back: its result, should one still come, will be stale.

        Cancelling an action that was added to this container removes it; cancelling one that is not pending any
        more does nothing. Whether the outside call was already made is unknown; emit another action to undo it.
        """
        if self._actions.pop(_identity(id), None) is None:
            self._cancelled.append(id)

    def clear(self) -> None:
        """Drop everything that was added and cancelled."""
        self._actions.clear()
        self._cancelled.clear()

    def new_id(self) -> Versionstamp:
        """An id that no other transaction will ever have and that conflicts with none: a versionstamp.

        It is incomplete until the commit, so it can be a `Map` key and the id of a `Tracked`, but not part of a
        value. `Applied.tracked` has it complete when the layer made the transaction itself.

        Raises:
            InputError: the container does not belong to a transition (there are no ids in `restore`).
        """
        if self._next_user_version is None:
            raise InputError("new_id() works in `stf` alone: `restore` names actions that the state knows already")
        return Versionstamp.incomplete(self._next_user_version())

    @property
    def tracked(self) -> tuple[Tracked[Any], ...]:
        """The tracked actions, in the order they were added."""
        return tuple([action for action, _ in self._actions.values() if isinstance(action, Tracked)])

    @property
    def untracked(self) -> tuple[Untracked[Any], ...]:
        """The untracked actions, in the order they were added."""
        return tuple([action for action, _ in self._actions.values() if isinstance(action, Untracked)])

    @property
    def delayed(self) -> tuple[Later[Any], ...]:
        """The inputs for later, in the order they were added."""
        return tuple([action for action, _ in self._actions.values() if isinstance(action, Later)])

    @property
    def encoded(self) -> list[tuple[Tracked[Any] | Untracked[Any] | Later[Any], Any]]:
        """Everything that was added, in that order, each with what it held then as it is stored."""
        return list(self._actions.values())

    @property
    def cancelled(self) -> tuple[Any, ...]:
        """The ids that were cancelled and are not in this container."""
        return tuple(self._cancelled)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added and nothing cancelled."""
        return not self._actions and not self._cancelled

    def __iter__(self) -> Iterator[Tracked[Any] | Untracked[Any] | Later[Any]]:
        return (action for action, _ in self._actions.values())

    def __len__(self) -> int:
        return len(self._actions)

    def __repr__(self) -> str:
        return f"Actions({list(self)!r}, capacity={self.capacity})"


def _refuse_due(action: Tracked[Any] | Later[Any]) -> None:
    after, at = action.after, action.at
    if after is not None and at is not None:
        raise InputError(f"{shown(action)} is due twice: give after= (seconds) or at= (milliseconds), not both")
    if after is not None and not (type(after) in (int, float) and 0 <= after < MAX_AFTER_SECONDS):
        raise InputError(f"{shown(action)}: after is {shown(after)}, and must be a number of seconds, not negative")
    if at is not None:
        check_time(at, f"{shown(action)}: at")


def _identity(id: Any) -> bytes:
    """What makes two ids the same: their bytes in the tuple layer, since 1 == True == 1.0 but they are three keys."""
    try:
        return pack_element(id)
    except CodecError as error:
        raise InputError(f"the id of an action: {error}") from None
