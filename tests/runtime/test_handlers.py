from __future__ import annotations

from typing import Any

import pytest

from phasm_fdb import HandlerError, Layer
from phasm_fdb.runtime import Handlers, Worker
from tests.runtime.machines import Done, Job, Jobs, Order, SlowJob, Tell


def test_one_function_for_several_types() -> None:
    handlers = Handlers()

    @handlers.on(Job, SlowJob)
    async def job(action: Any, attempt: Any) -> Done:
        return Done()

    assert set(handlers) == {Job, SlowJob}
    assert handlers.of(Job(1)) is handlers.of_type(SlowJob)
    assert handlers.of(Tell("x")) is None


def test_async_and_plain_functions_and_callables_are_told_apart() -> None:
    handlers = Handlers()

    class Callable_:
        async def __call__(self, action: Any, attempt: Any) -> Done:
            return Done()

    def plain(action: Any, attempt: Any) -> Done:
        return Done()

    handlers.on(Job)(Callable_())
    handlers.on(SlowJob)(plain)
    assert [handlers.of_type(one).is_async for one in (Job, SlowJob)] == [True, False]  # type: ignore[union-attr]


def test_a_second_handler_of_a_type_is_refused() -> None:
    handlers = Handlers()

    @handlers.on(Job)
    def first(action: Any, attempt: Any) -> Done:
        return Done()

    with pytest.raises(HandlerError, match=r"Job has a handler already: .*first"):
        handlers.on(Job)


@pytest.mark.parametrize(
    ("types", "message"), [((), "needs the action type"), ((Job(1),), r"Job\(id=1\) is not a class")]
)
def test_what_is_no_type_is_refused(types: Any, message: str) -> None:
    with pytest.raises(HandlerError, match=message):
        Handlers().on(*types)


def test_a_function_that_does_not_take_action_and_attempt_is_refused() -> None:
    with pytest.raises(HandlerError, match="lonely must take an action and an attempt"):

        @Handlers().on(Job)
        def lonely(action: Any) -> Done:
            return Done()


def test_a_handler_for_what_is_no_action_is_refused_by_the_worker() -> None:
    handlers = Handlers()
    handlers.on(Order)(lambda action, attempt: Done())
    with pytest.raises(HandlerError, match="Order has a handler, and Jobs does not declare it as an action; it decl"):
        Worker(None, Layer(Jobs(), ("x",)), handlers)


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"lease_seconds": 0}, {"poll_seconds": -1.0}])
def test_a_worker_refuses_numbers_that_make_no_sense(options: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        Worker(None, Layer(Jobs(), ("x",)), Handlers(), **options)
