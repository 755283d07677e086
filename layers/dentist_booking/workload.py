"""Patients of a dentist, their cards, and a practice that changes its hours now and then.

40 % of the operations complete a payment, 35 % ask for a certain slot and 25 % for any that fits; 85 % of the cards
are good. The weeks that are asked for move on with the requests, so that there is always contention and always room.
"""

from __future__ import annotations

import random

from layers.dentist_booking.audit import check_books
from layers.dentist_booking.machine import BookingSystem
from layers.dentist_booking.provider import PaymentProvider, reference
from layers.dentist_booking.schedule import WORKDAYS, default_schedule
from layers.dentist_booking.state import BookingState
from layers.dentist_booking.types import (
    STEP_MINUTES,
    CheckStatus,
    Input,
    Patient,
    PaymentStatus,
    Preauthorize,
    Processing,
    RequestAuto,
    RequestSlot,
    SetHours,
    Slot,
    Status,
    TimeRange,
    TrackedAction,
    TrackedResult,
    Treatment,
    at,
)
from phasm_fdb.simulation import Workload


class BookingWorkload(Workload):
    """The mix of PHASM's own dentist simulation.

    Attributes:
        good_cards: the share of payments that succeed.
        certain_slots: the share of requests that ask for a certain slot.
        changes: the share of inputs that change the working hours.
        slow_answers: the share of status checks that the provider answers with "processing".
        weeks_open: how many weeks can be asked for at a time.
        requests_a_week: after so many requests the first of them is over, and another begins.
        days: those that are asked for.
        treatments: those that are asked for, each as often as it is named.
        most_days, longest_wish_minutes: how much a request for any slot that fits leaves open.
    """

    machine = BookingSystem
    completions = 0.40
    good_cards = 0.85
    certain_slots = 35 / 60
    changes = 0.005
    slow_answers = 0.1
    weeks_open = 2
    requests_a_week = 100
    days = WORKDAYS
    treatments = tuple(Treatment)
    most_days = 3
    longest_wish_minutes = 240

    def setup(self, rng: random.Random) -> list[SetHours]:
        self.requests = 0
        self.provider: PaymentProvider | None = None
        return default_schedule()

    def next_input(self, rng: random.Random, view: BookingState) -> Input:
        week = self.requests // self.requests_a_week + rng.randrange(self.weeks_open)
        if rng.random() < self.changes:
            return SetHours(rng.choice(self.days), _hours(rng), week)
        self.requests += 1
        patient = Patient(self.requests, f"User{self.requests}", f"user{self.requests}@example.com")
        treatment = rng.choice(self.treatments)
        if rng.random() < self.certain_slots:
            return RequestSlot(patient, treatment, Slot(rng.choice(self.days), week, _quarter(rng)))
        days = tuple(rng.choice(self.days) for _ in range(rng.randint(1, self.most_days)))
        return RequestAuto(patient, treatment, week, days, _times(rng, self.longest_wish_minutes))

    def perform(self, rng: random.Random, action: TrackedAction) -> TrackedResult:
        if self.provider is None:
            self.provider = PaymentProvider(declines=lambda _: rng.random() >= self.good_cards)
        payment = reference(action.request)
        if isinstance(action, Preauthorize):
            return self.provider.authorize(f"hold {payment}", payment, action.cents)
        if isinstance(action, CheckStatus):
            return Processing() if rng.random() < self.slow_answers else self.provider.status(payment)
        return self.provider.release(f"release {payment}", payment)

    def close(self) -> None:
        if self.provider is not None:
            self.provider.close()

    def check(self, view: BookingState) -> None:
        check_books(view, self.provider.books() if self.provider else {})

    def sometimes(self, view: BookingState) -> dict[str, bool]:
        statuses = {request.status for request in view.requests.values()}
        payments = {payment.status for payment in view.payments.values()}
        return {
            "booked": Status.CONFIRMED in statuses,
            "slot taken": Status.SLOT_TAKEN in statuses,
            "card declined": PaymentStatus.DECLINED in payments,
            "payment released": PaymentStatus.RELEASED in payments,
        }


def _quarter(rng: random.Random) -> int:
    return at(9) + STEP_MINUTES * rng.randrange(8 * 60 // STEP_MINUTES)


def _times(rng: random.Random, longest_minutes: int) -> tuple[TimeRange, ...]:
    starts = [_quarter(rng) for _ in range(rng.randint(1, 2))]
    ranges = (TimeRange(start, start + rng.randrange(60, longest_minutes)) for start in starts)
    return tuple(range_ for range_ in ranges if range_.end <= at(18)) or (TimeRange(at(9), at(17)),)


def _hours(rng: random.Random) -> tuple[TimeRange, ...]:
    noon = rng.choice((at(12), at(12, 30), at(13)))
    return TimeRange(rng.choice((at(8), at(9))), noon), TimeRange(noon + 30, rng.choice((at(16), at(18))))
