"""How a worker talks to the loyalty backend."""

from __future__ import annotations

from layers.coffee_shop.backend import LoyaltyBackend
from layers.coffee_shop.types import CheckStatus, Redeem, TrackedResult, Undo
from phasm_fdb import Attempt, Handlers


def handlers(backend: LoyaltyBackend) -> Handlers:
    """The handlers of the coffee shop machine.

    Args:
        backend: the loyalty backend to call.
    """
    made = Handlers()

    @made.on(Redeem)
    async def redeem(action: Redeem, attempt: Attempt) -> TrackedResult:
        return backend.call(str(attempt.idempotency_key), action)

    @made.on(CheckStatus)
    async def check_status(action: CheckStatus, attempt: Attempt) -> TrackedResult:
        return backend.call(str(attempt.idempotency_key), action)

    @made.on(Undo)
    async def undo(action: Undo, attempt: Attempt) -> TrackedResult:
        return backend.call(str(attempt.idempotency_key), action)

    return made
