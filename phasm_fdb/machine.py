"""What a machine is: `stf`, `restore`, `check_invariants`, and the types they speak.

A machine is pure: everything it decides follows from its state and its input, and everything it wants done in the
outside world it describes as an action. The names are PHASM's own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from phasm_fdb.errors import InputError, MachineDefinitionError, shown

if TYPE_CHECKING:
    from phasm_fdb.actions import Actions
    from phasm_fdb.state import Changes, State

P = TypeVar("P")
R = TypeVar("R")

#: Times are below this, some 285,000 years after the epoch: so a float holds each of them exactly.
MAX_TIME_MS = 2**53


def check_time(at: Any, what: str) -> None:
    """Raise an InputError that names it as `what` unless this is a time in integer milliseconds since the epoch.

    Nothing else will do: a timer is a key, and a float sorts behind all ints there, so it would never be due.
    """
    if type(at) is not int or not 0 <= at < MAX_TIME_MS:
        raise InputError(
            f"{what} is {shown(at)}, and must be integer milliseconds since the epoch, such as int(time.time() * 1000)"
        )


@dataclass(frozen=True, slots=True)
class Normal(Generic[P]):
    """An input from outside: a user's request, an event, a timer.

    Attributes:
        payload: a value of the machine's declared `Input`.
        at: when it came, in integer milliseconds since the epoch; filled in from the layer's clock where None, and
            refused with an InputError where it is anything else. A machine reads time from here and nowhere else
            (PHASM's invariant 10).
        request_id: the idempotency key that it came with; filled in by the layer where the caller gives none.
    """

    payload: P
    at: int | None = None
    request_id: Any = field(default=None, compare=False)

    def random(self) -> random.Random:
        """A generator seeded by the request id: the same numbers on every attempt and in every replay."""
        return random.Random(repr(("phasm", self.request_id)))


@dataclass(frozen=True, slots=True)
class TrackedActionCompleted(Generic[R]):
    """The result of a tracked action, fed back to the machine that emitted it.

    Attributes:
        id: the action's id.
        result: a value of the machine's declared `TrackedResult`.
        at: when it came, in integer milliseconds since the epoch; as for `Normal`.
    """

    id: Any
    result: R
    at: int | None = None


#: What `stf` gets.
Input: TypeAlias = Normal[Any] | TrackedActionCompleted[Any]


class StateMachine:
    """Base of all machines: subclass it, declare the types, write `stf`.

    Class attributes:
        State: the `State` subclass with the machine's fields.
        Input: the payload type, or a union of payload types, of `Normal` inputs.
        TrackedAction, TrackedResult, UntrackedAction: types or unions; None where the machine has none.
        Reply: the type that `stf` returns; left out, a reply is a plain value (None, bool, int, float, str, bytes,
            list, dict, tuple).
        name: how the keyspace names the machine; the class name if left out.
        schema_version: the version of the state's layout, from 1.
        max_actions: how many actions one transition, or one page of `restore`, may emit.
    """

    State: ClassVar[type[State]]
    Input: ClassVar[Any] = None
    TrackedAction: ClassVar[Any] = None
    TrackedResult: ClassVar[Any] = None
    UntrackedAction: ClassVar[Any] = None
    Reply: ClassVar[Any] = Any
    name: ClassVar[str]
    schema_version: ClassVar[int] = 1
    max_actions: ClassVar[int] = 10_000

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        """The state transition function: change `state`, add to `actions`, return the reply; `def` or `async def`.

        It is deterministic and atomic: raise a `TransitionError` and nothing of it remains. It may run more than
        once for one input (a conflict, an unknown commit), so it keeps nothing outside `state`.
        """
        raise MachineDefinitionError(f"{type(self).__name__} has no `stf`: a machine is its state transition function")

    def restore(self, state: Any, actions: Actions) -> Any:
        """Name the tracked actions to resume after a crash, reading `state` alone; `def` or `async def`.

        For an id added here, this action runs in place of the original one; a pending id that is left out runs as
        it was; an id that only the state knows becomes pending. The default resumes everything as it was.
        """

    def migrate(self, state: Any, from_version: int) -> Any:
        """Do a bounded part of moving the state from `from_version` to the next; return True while more is left.

        Each call is a transaction of its own, so a migration can be interrupted anywhere and goes on there: move
        rows out of an old field, or keep a cursor in a `Value` of the state. `def` or `async def`.
        """
        raise MachineDefinitionError(
            f"{type(self).__name__} has schema_version {self.schema_version} and no `migrate`, and its state is at "
            f"version {from_version}: write `migrate(state, from_version)`"
        )

    def check_invariants(self, state: Any) -> None:
        """Raise `InvariantViolation` (or fail an `assert`) if the state is not valid. Reads only."""

    def check_changes(self, state: Any, changes: Changes) -> None:
        """The incremental form of `check_invariants`: look only at what `changes` says was written.

        Given a valid state before, it must find whatever `check_invariants` would find. The default checks all.
        """
        self.check_invariants(state)
