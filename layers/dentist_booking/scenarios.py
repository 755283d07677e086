"""The situations of PHASM's own dentist simulation, by name: `python scripts/simulate.py contention --seeds 20`."""

from __future__ import annotations

from layers.dentist_booking.types import Day, Treatment
from layers.dentist_booking.workload import BookingWorkload
from phasm_fdb.simulation import Scenario


class Contention(BookingWorkload):
    """Everybody wants a certain slot of one Friday, while it is free and while others pay for it."""

    weeks_open = 1
    requests_a_week = 60
    days = (Day.FRIDAY,)
    certain_slots = 0.95


class PaymentFailures(BookingWorkload):
    """Most cards are declined, and the provider is often not done when it is asked."""

    good_cards = 0.3
    slow_answers = 0.5


class AutoSelection(BookingWorkload):
    """Nobody asks for a certain slot: the machine chooses."""

    certain_slots = 0.0


class Sparse(BookingWorkload):
    """Few requests for many weeks: hardly any meets another, and the hours change often."""

    weeks_open = 20
    requests_a_week = 20
    changes = 0.05


class Preferences(BookingWorkload):
    """Patients name several days and short times, long treatments are wanted most, and the hours change often."""

    certain_slots = 0.1
    most_days = 5
    longest_wish_minutes = 120
    treatments = (Treatment.ROOT_CANAL, Treatment.ROOT_CANAL, Treatment.FILLING, Treatment.CLEANING)
    changes = 0.03


def _scenario(workload: type[BookingWorkload], **settings: object) -> Scenario:
    return Scenario(f"{workload.__module__}:{workload.__qualname__}", **settings)  # type: ignore[arg-type]


SCENARIOS = {
    "mixed": _scenario(BookingWorkload),
    "contention": _scenario(Contention),
    "payment-failures": _scenario(PaymentFailures),
    "auto-selection": _scenario(AutoSelection),
    "sparse": _scenario(Sparse),
    "long": _scenario(BookingWorkload, ops=10_000),
    "stress": _scenario(Contention, workers=4, faults="heavy"),
    "preferences": _scenario(Preferences),
}
