"""The machine of everything in the whole system: workers, clients, an operator, an outside world, under all faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from phasm_fdb import Actions, DuplicateAction, Handlers, InvariantViolation, TrackedActionCompleted
from phasm_fdb.errors import CodecError
from phasm_fdb.runtime import Retry
from phasm_fdb.simulation import Workload
from phasm_fdb.simulation.faults import ON_REQUEST
from tests.simulation.torture.drawing import Drawer
from tests.simulation.torture.machine import Bug, Everything
from tests.simulation.torture.not_yet import NOT_YET
from tests.simulation.torture.promises import Model, Refused, compare_view, told, tracked_of, whispered
from tests.simulation.torture.seats import SETTINGS
from tests.simulation.torture.steps import Act, Do, Done, Whispered

#: How many operations a run has.
OPS = 80


class TortureWorkload(Workload):
    """Draws inputs of all kinds, and follows every commit with the model.

    Attributes:
        done: the kinds of steps that inputs were told to do.
    """

    machine = Everything
    bugs = (Bug, DuplicateAction, CodecError)
    also = ON_REQUEST

    def __init__(self, without: frozenset[str] = NOT_YET) -> None:
        self._without = without
        self._drawer = Drawer(random.Random(0), without)
        self._kinds = ["plain"]
        self._attempts: int | None = None
        self._model = Model(knows_all=False)  # dead letters come and go
        self._heard: Counter[str] = Counter()
        self.done: set[str] = set()

    def setup(self, rng: random.Random) -> list[Do]:
        self._drawer = Drawer(random.Random(rng.random()), self._without | {"hours"})
        kinds = [kind for kind in SETTINGS if kind not in self._without]
        self._kinds = [rng.choice(kinds) for _ in range(3)]
        self._attempts = rng.choice((1, 3, 6))
        return [Do("first", ())]

    def layer_options(self, rng: random.Random) -> Mapping[str, Any]:
        return SETTINGS[rng.choice(self._kinds)]

    def next_input(self, rng: random.Random, view: Any) -> Do:
        self._drawer.rng = rng
        do = self._drawer.do(f"{rng.getrandbits(48):x}")
        self.done |= {type(step).__name__ for step in do.steps}
        return do

    def ordering_key(self, payload: Do) -> Any:
        return (None, None, "one", "two")[len(payload.steps) % 4]

    def handlers(self, call: Callable[[Any, Any], Awaitable[Any]]) -> Handlers:
        handlers = Handlers()
        handlers.on(Act, retry=Retry(max_attempts=self._attempts, first_delay=0.1, max_delay=5.0))(call)

        @handlers.on(Whispered)
        async def hear(action: Whispered, attempt: Any) -> None:
            self._heard[action.token] += 1
            if self._heard[action.token] > 1:
                raise AssertionError(f"untracked once: {action} was handed out twice")

        return handlers

    def perform(self, rng: random.Random, action: Act) -> Done:
        if rng.random() < 0.1:
            raise ConnectionError("nobody answers")
        return Done(action.token, action.then)

    # --------------------------------------------------------------------------------------- the model

    def committed(self, input: Any, reply: Any, actions: Actions) -> None:
        model = self._model
        try:
            if isinstance(input, TrackedActionCompleted):
                outcome = model.complete(input.id, input.result.token, input.result.steps, input.at or 0, False)
            else:
                outcome = model.apply(input.payload, input.at, False)
        except Refused as refused:
            raise InvariantViolation(f"the model refuses {input}: {refused.kind}", input=input) from None
        found = (reply, [told(one) for one in actions.tracked], whispered(actions.untracked))
        promised = (outcome.reply, [tracked_of(one) for one in outcome.tracked], outcome.untracked)
        if found != promised:
            raise InvariantViolation(f"the model: {input} gave {found}, and should give {promised}", input=input)

    def check(self, view: Any) -> None:
        compare_view(view, self._model)
