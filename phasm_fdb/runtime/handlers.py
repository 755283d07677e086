"""Which function runs which action type."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from phasm_fdb.definition import Definition
from phasm_fdb.errors import HandlerError
from phasm_fdb.runtime.limit import Limit
from phasm_fdb.runtime.retry import Retry
from phasm_fdb.storable import UNIONS, name_of

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered function.

    Attributes:
        function: takes the action and the `Attempt`.
        is_async: whether it is a coroutine function; a plain one runs in the worker's executor.
        retry: what happens when it raises.
        limit: how many run at once, or are started a second, across all workers.
    """

    function: Callable[[Any, Any], Any]
    is_async: bool
    retry: Retry
    limit: Limit | None = None


class Handlers:
    """The outside calls of a machine: one function for each action type.

        handlers = Handlers()

        @handlers.on(Charge, retry=Retry(max_attempts=5))
        async def charge(action, attempt):
            return Charged(await bank.charge(action.cents, attempt.idempotency_key))

    A handler of a tracked action returns a declared result or raises; what a handler of an untracked action
    returns is dropped.
    """

    def __init__(self) -> None:
        self._handlers: dict[type, Handler] = {}

    def on(self, *action_types: type, retry: Retry | None = None, limit: Limit | None = None) -> Callable[[F], F]:
        """Register the decorated function, `async def` or `def`, for these types.

        Args:
            retry: the retry policy; the default tries for ever, with growing delays up to a minute. Untracked
                actions are not retried.
            limit: a limit for each of these types, across all workers; tracked actions only.

        Raises:
            HandlerError: a type is not a class, or has a handler already; the function does not take an action and
                an attempt.
        """
        if not action_types:
            raise HandlerError("on() needs the action type that the function handles, as in @handlers.on(Charge)")
        for action_type in action_types:
            self._refuse(action_type)

        def register(function: F) -> F:
            _refuse_signature(function)
            handler = Handler(function, _is_async(function), retry or Retry(), limit)
            for action_type in action_types:
                self._refuse(action_type)
                self._handlers[action_type] = handler
            return function

        return register

    def of(self, action: Any) -> Handler | None:
        """The handler of an action, if there is one."""
        return self._handlers.get(type(action))

    def of_type(self, action_type: Any) -> Handler | None:
        """The handler of an action type, if there is one."""
        return self._handlers.get(action_type)

    def check(self, definition: Definition) -> None:
        """Raise a HandlerError if a type is registered that the machine does not declare as an action."""
        declared = [*members(definition.tracked.type), *members(definition.untracked.type)]
        for action_type in self._handlers:
            if action_type not in declared:
                known = ", ".join(map(name_of, declared)) or "none"
                raise HandlerError(
                    f"{action_type.__name__} has a handler, and {definition.name} does not declare it as an action; "
                    f"it declares {known}"
                )

    def __iter__(self) -> Iterator[type]:
        return iter(self._handlers)

    def _refuse(self, action_type: Any) -> None:
        if not isinstance(action_type, type):
            raise HandlerError(f"{action_type!r} is not a class: pass the action types, as in @handlers.on(Charge)")
        earlier = self._handlers.get(action_type)
        if earlier is not None:
            name = getattr(earlier.function, "__qualname__", repr(earlier.function))
            raise HandlerError(f"{action_type.__name__} has a handler already: {name}")


def members(type_: Any) -> list[Any]:
    """The types that a declared type, which may be a union or None, stands for."""
    if type_ is None:
        return []
    if typing.get_origin(type_) in UNIONS:
        return list(typing.get_args(type_))
    return [type_]


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _refuse_signature(function: Any) -> None:
    try:
        inspect.signature(function).bind(object(), object())
    except TypeError as error:
        name = getattr(function, "__qualname__", repr(function))
        raise HandlerError(f"{name} must take an action and an attempt: {error}") from None
    except ValueError:  # a built-in whose signature is not known
        return
