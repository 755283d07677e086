"""What a user writes to have a machine simulated: its workload; and how one is found by its name, `MODULE:WORKLOAD`."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from phasm_fdb.naming import Loadable
from phasm_fdb.simulation.settings import DEFAULT_OPS

if TYPE_CHECKING:
    from phasm_fdb.actions import Actions
    from phasm_fdb.runtime import Handlers


class Workload:
    """Clients and outside world of a machine: subclass it and say what they do.

    Every seed gets a workload of its own, so it may keep what it likes in attributes. It decides by the `rng` that
    it is given and by nothing else: no clock, no `random` module, no order of a set.

    Attributes:
        machine: the machine's class, or a function that makes one.
        old_machine: an older version of it, which some workers run beside the new one; None for none.
        restores_all: whether the machine's `restore`, if it has one, names everything that is pending.
        completions: the share of operations that complete a pending action, as far as there are enough of them.
        bugs: what the machine raises on purpose, beside TransitionErrors: a run goes on behind it.
        also: kinds of `phasm_fdb.simulation.faults.KINDS` that happen to workloads which name them here alone:
            callers' transactions with several inputs, upkeep by an operator, clocks that jump by hours.
    """

    machine: Any
    old_machine: Any = None
    restores_all: ClassVar[bool] = True
    completions: ClassVar[float] = 0.40
    bugs: ClassVar[tuple[type[Exception], ...]] = ()
    also: ClassVar[tuple[str, ...]] = ()

    def setup(self, rng: random.Random) -> Iterable[Any]:
        """The payloads that are applied before the run."""
        return ()

    def next_input(self, rng: random.Random, view: Any) -> Any:
        """One payload, or None for nothing now; `view` is the machine's state, to be read only."""
        raise NotImplementedError(f"{type(self).__name__} has no `next_input`")

    def perform(self, rng: random.Random, action: Any) -> Any:
        """The outside world: do a tracked action and return a declared result; raise, and it is tried again later.

        It may be called more than once for one action, as the outside world of a worker is. With a third parameter
        it is given the `Attempt` too, which has the idempotency key.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `perform`, and its machine emitted {action!r}")

    def handlers(self, call: Callable[[Any, Any], Awaitable[Any]]) -> Handlers | None:
        """The handlers of a worker, to simulate those of the application; None for one an action that only calls.

        Args:
            call: `await call(action, attempt)` is one call to the outside world, which `perform` answers.
        """
        return None

    def ordering_key(self, payload: Any) -> Any:
        """The key under which inputs are applied in the order they were submitted; None for no order."""
        return None

    def layer_options(self, rng: random.Random) -> Mapping[str, Any]:
        """What the `Layer` of a new process is told beside the defaults, such as `{"cache": 100}`: no two are alike."""
        return {}

    def committed(self, input: Any, reply: Any, actions: Actions) -> None:
        """An input or a result was applied and committed, in the order of commits: raise if that is wrong.

        A model of the machine that follows this is compared with the state in `check`.
        """

    def check(self, view: Any) -> None:
        """At rest, when nothing is pending any more: raise (an `assert` will do) if something is wrong."""

    def close(self) -> None:
        """The run is over, however it ended: give back what the workload has opened, such as a database in memory."""

    def sometimes(self, view: Any) -> Mapping[str, bool]:
        """At rest: properties that have to hold in at least one run, so that one which does nothing is noticed."""
        return {}


def _is_workload(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Workload) and value is not Workload


def _makes_a_workload(value: Any) -> bool:
    """Whether it is a workload's class, or a function, which may return one."""
    return _is_workload(value) or (callable(value) and not isinstance(value, type))


WORKLOAD = Loadable("workload", "my_app.workload:MyWorkload", _is_workload, _makes_a_workload)


def load_workload(name: str) -> Callable[[], Workload]:
    """Load the class, or function, that makes the workload.

    Args:
        name: `MODULE:WORKLOAD`; the module may lie in the current folder.

    Raises:
        NameNotFound: there is none.
    """
    _, found = WORKLOAD.load(name)
    return found  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a name on the command line of the simulator stands for.

    Attributes:
        workload: its name, `MODULE:WORKLOAD`.
        ops: operations of each run.
        workers: how many; None for as the seed says.
        faults: "none", "default", "heavy", or the probability of each kind.
    """

    workload: str
    ops: int = DEFAULT_OPS
    workers: int | None = None
    faults: str | Mapping[str, float] = "default"
