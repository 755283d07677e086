"""A process of the practice: it answers requests and runs their payments.

    python -m layers.dentist_booking.clinic DATABASE BOOKS --seed N < requests

It reads the numbers of requests from its standard input, a line each, answers them as a server would, and ends when
all are answered and no payment is open. Each line that it prints tells of something that has just happened:

    opened                      requests are taken from now on
    answered 17 5               request 17 of the input is request 5 of the practice
    refused 17 SlotNotAvailable
    called authorize request-5  the provider has done it; the practice does not know it yet
    done

It can be killed at any of them. Whoever asks then asks again, under the same request id.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
from typing import Any

from layers.dentist_booking.handlers import handlers
from layers.dentist_booking.machine import BookingSystem
from layers.dentist_booking.provider import PaymentProvider
from layers.dentist_booking.schedule import WORKDAYS, default_schedule
from layers.dentist_booking.types import (
    Input,
    Patient,
    RequestAuto,
    RequestSlot,
    Slot,
    TimeRange,
    TrackedResult,
    Treatment,
    at,
)
from phasm_fdb import Layer, TransitionError, Worker, aio, open

#: What a practice is called where nothing else is said; its data lie in the subspace of that name.
PRACTICE = "dentist"
CLIENTS = 8
CALLS = 8
REQUESTS_A_WEEK = 40
LATENCY_SECONDS = 0.002
#: A killed worker keeps its lanes for so long; the next one waits.
LEASE_SECONDS = 0.25
POLL_SECONDS = 0.1


def make_request(seed: int, number: int) -> Input:
    """The request that a patient makes; the same one whenever it is made again."""
    rng = random.Random(f"{seed} {number}")
    patient = Patient(number, f"User{number}", f"user{number}@example.com")
    treatment = rng.choice(list(Treatment))
    week = number // REQUESTS_A_WEEK
    if rng.random() < 0.5:
        return RequestSlot(patient, treatment, Slot(rng.choice(WORKDAYS), week, at(rng.randrange(9, 16))))
    return RequestAuto(patient, treatment, week, (rng.choice(WORKDAYS),), (TimeRange(at(9), at(17)),))


class ReportingProvider(PaymentProvider):
    """Says when the provider has done something, which is before the practice can know it."""

    def authorize(self, key: str, reference: str, cents: int) -> TrackedResult:
        answer = super().authorize(key, reference, cents)
        report("called authorize", reference)
        return answer

    def release(self, key: str, reference: str) -> TrackedResult:
        answer = super().release(key, reference)
        report("called release", reference)
        return answer

    def status(self, reference: str) -> TrackedResult:
        answer = super().status(reference)
        report("called status", reference)
        return answer


class Clinic:
    """One life of the process.

    Args:
        db: the practice's database.
        provider: the payment provider.
        seed: of the requests.
        practice: the name of the practice, of which a database may hold many.
    """

    def __init__(self, db: Any, provider: PaymentProvider, seed: int, practice: str = PRACTICE) -> None:
        self._db = db
        self._seed = seed
        self._layer = Layer(BookingSystem(), (practice,))
        calls = handlers(provider, LATENCY_SECONDS)
        self._worker = Worker(
            db, self._layer, calls, concurrency=CALLS, lease_seconds=LEASE_SECONDS, poll_seconds=POLL_SECONDS
        )

    async def serve(self, requests: list[int]) -> None:
        """Answer these requests, and return when all payments are settled."""
        for number, change in enumerate(default_schedule()):
            await aio.run(self._layer.apply, self._db, change, f"hours {number}")
        async with self._worker:
            report("opened")
            waiting = iter(requests)
            await asyncio.gather(*(self._client(waiting) for _ in range(CLIENTS)))
            while await aio.run(self._is_payment_open):
                await asyncio.sleep(0.01)
        report("done")

    async def _client(self, waiting: Any) -> None:
        for number in waiting:
            payload = make_request(self._seed, number)
            try:
                applied = await aio.run(self._layer.apply, self._db, payload, f"request {number}")
            except TransitionError as refusal:
                report("refused", number, type(refusal).__name__)
            else:
                report("answered", number, applied.reply)

    def _is_payment_open(self) -> bool:
        return next(self._layer.pending(self._db), None) is not None


def report(*words: object) -> None:
    """Print a line at once, so that it is not lost when the process is killed."""
    print(*words, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m layers.dentist_booking.clinic", description=__doc__.split("\n")[0])
    parser.add_argument("database", help="URL of the practice's database, such as embedded:clinic.sqlite")
    parser.add_argument("books", help="file of the payment provider")
    parser.add_argument("--seed", type=int, default=0, help="decides what the requests ask for")
    parser.add_argument("--practice", default=PRACTICE, help=f"name of the practice (default {PRACTICE})")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # that other lives have ended badly is expected here
    requests = [int(line) for line in sys.stdin]
    # The servers of a cluster may be starting again too.
    patience = {"connect_timeout_seconds": 60.0} if options.database.startswith("fdb:") else {}
    db = open(options.database, **patience)
    clinic = Clinic(db, ReportingProvider(options.books), options.seed, options.practice)
    asyncio.run(clinic.serve(requests))


if __name__ == "__main__":
    main()
