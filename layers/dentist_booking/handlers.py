"""How a worker talks to the payment provider."""

from __future__ import annotations

import asyncio

from layers.dentist_booking.provider import PaymentProvider, reference
from layers.dentist_booking.types import CheckStatus, Preauthorize, Release, TrackedResult
from phasm_fdb import Attempt, Handlers


def handlers(provider: PaymentProvider, latency_seconds: float = 0.0) -> Handlers:
    """The handlers of the booking machine.

    Args:
        provider: the payment provider to call.
        latency_seconds: how long a call takes on the way there and on the way back, each.
    """
    made = Handlers()

    @made.on(Preauthorize)
    async def preauthorize(action: Preauthorize, attempt: Attempt) -> TrackedResult:
        await asyncio.sleep(latency_seconds)
        answer = provider.authorize(str(attempt.idempotency_key), reference(action.request), action.cents)
        await asyncio.sleep(latency_seconds)
        return answer

    @made.on(CheckStatus)
    async def check_status(action: CheckStatus, attempt: Attempt) -> TrackedResult:
        await asyncio.sleep(latency_seconds)
        return provider.status(reference(action.request))

    @made.on(Release)
    async def release(action: Release, attempt: Attempt) -> TrackedResult:
        await asyncio.sleep(latency_seconds)
        answer = provider.release(str(attempt.idempotency_key), reference(action.request))
        await asyncio.sleep(latency_seconds)
        return answer

    return made
