"""What the booking machine speaks. Times of day are minutes from midnight, money is integer cents."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from phasm_fdb import TransitionError

MINUTES_PER_DAY = 24 * 60
STEP_MINUTES = 15


def at(hour: int, minute: int = 0) -> int:
    """A time of day in minutes from midnight: `at(9, 30)` is 570."""
    return hour * 60 + minute


class Day(enum.Enum):
    """A day of the week."""

    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


class Treatment(enum.Enum):
    """What a patient comes for; `minutes` is how long it takes, `cents` what it costs."""

    CLEANING = "cleaning", 15, 50_00
    CHECKUP = "checkup", 30, 75_00
    FILLING = "filling", 45, 150_00
    ROOT_CANAL = "root canal", 60, 200_00

    minutes: int
    cents: int

    def __new__(cls, name: str, minutes: int, cents: int) -> Treatment:
        member = object.__new__(cls)
        member._value_ = name
        member.minutes = minutes
        member.cents = cents
        return member


LONGEST_MINUTES = max(treatment.minutes for treatment in Treatment)


@dataclass(frozen=True, order=True)
class TimeRange:
    """Part of a day, `start <= time < end`."""

    start: int
    end: int

    @property
    def is_valid(self) -> bool:
        """Whether it is not empty and lies within one day."""
        return 0 <= self.start < self.end <= MINUTES_PER_DAY

    def holds(self, minute: int, duration: int) -> bool:
        """Whether something that starts then and takes that many minutes lies in it."""
        return self.start <= minute and minute + duration <= self.end


@dataclass(frozen=True)
class Slot:
    """When a treatment starts.

    The day of the week comes first: as keys, the slots that a change of the weekly hours concerns lie in one range.

    Attributes:
        week: counted from a Monday that the practice chooses, from 0.
    """

    day: Day
    week: int
    minute: int

    @property
    def is_valid(self) -> bool:
        """Whether there is such a time."""
        return self.week >= 0 and 0 <= self.minute < MINUTES_PER_DAY


@dataclass(frozen=True)
class Patient:
    """Who comes."""

    user: int
    name: str
    email: str


# ------------------------------------------------------------------------------------------------ inputs


@dataclass(frozen=True)
class RequestSlot:
    """Book this slot; replies with the number of the request."""

    patient: Patient
    treatment: Treatment
    slot: Slot


@dataclass(frozen=True)
class RequestAuto:
    """Book the first slot that fits; replies with the number of the request.

    Attributes:
        week: in which week.
        days: the preferred days, the best one first.
        times: within which times of the day the treatment has to lie.
    """

    patient: Patient
    treatment: Treatment
    week: int
    days: tuple[Day, ...]
    times: tuple[TimeRange, ...]


@dataclass(frozen=True)
class SetHours:
    """Change the weekly schedule.

    Attributes:
        day: the day of the week.
        ranges: the working hours on it; none to close.
        from_week: the week from which they hold, until the next change.
    """

    day: Day
    ranges: tuple[TimeRange, ...]
    from_week: int = 0


Input = RequestSlot | RequestAuto | SetHours
Asked = RequestSlot | RequestAuto


# ---------------------------------------------------------------------------------------- tracked actions


@dataclass(frozen=True)
class Preauthorize:
    """Have the payment provider hold the price of a request on the patient's card."""

    request: int
    user: int
    cents: int


@dataclass(frozen=True)
class CheckStatus:
    """Ask the provider what became of a preauthorization."""

    request: int


@dataclass(frozen=True)
class Release:
    """Have the provider free the held money: the slot was taken meanwhile."""

    request: int


TrackedAction = Preauthorize | CheckStatus | Release


@dataclass(frozen=True)
class Authorized:
    """The money is held."""

    cents: int


@dataclass(frozen=True)
class Declined:
    """The card was refused."""

    reason: str


@dataclass(frozen=True)
class Released:
    """The money is not held any more."""


@dataclass(frozen=True)
class Processing:
    """The provider has not decided yet."""


@dataclass(frozen=True)
class NotFound:
    """The provider never heard of this payment."""


TrackedResult = Authorized | Declined | Released | Processing | NotFound


# -------------------------------------------------------------------------------------- untracked actions


@dataclass(frozen=True)
class Notify:
    """Tell a patient."""

    user: int
    message: str


@dataclass(frozen=True)
class Log:
    """Write a line to the practice's log."""

    event: str


UntrackedAction = Notify | Log


# ------------------------------------------------------------------------------------------------- state


class Status(enum.Enum):
    """How far a request is."""

    AWAITING_PREAUTH = "awaiting preauthorization"
    CONFIRMED = "confirmed"
    SLOT_TAKEN = "slot taken"
    PAYMENT_FAILED = "payment failed"


class PaymentStatus(enum.Enum):
    """How far a payment is; the first and the third wait for the provider."""

    REQUESTED = "requested"
    HELD = "held"
    RELEASING = "releasing"
    RELEASED = "released"
    DECLINED = "declined"


UNRESOLVED = (PaymentStatus.REQUESTED, PaymentStatus.RELEASING)


@dataclass(frozen=True)
class Request:
    """A request and what became of it.

    Attributes:
        asked: the input, as it came.
        slot: the slot that it is for.
    """

    asked: Asked
    slot: Slot
    status: Status = Status.AWAITING_PREAUTH


@dataclass(frozen=True)
class Payment:
    """The payment of a request.

    Attributes:
        cents: the price.
        asked: how often the provider was asked.
    """

    cents: int
    status: PaymentStatus = PaymentStatus.REQUESTED
    asked: int = 1


@dataclass(frozen=True)
class Booking:
    """A confirmed booking, kept under its slot.

    Attributes:
        request: the number of the request that it confirms.
        cents: the money that is held for it.
    """

    request: int
    patient: Patient
    treatment: Treatment
    cents: int


# ------------------------------------------------------------------------------------------------ errors


class InvalidRequest(TransitionError):
    """A slot, day or time range that does not exist."""


class SlotNotAvailable(TransitionError):
    """The slot is outside of the working hours, or overlaps a booking."""


class NoSlotFound(TransitionError):
    """No slot of the preferred days and times is free."""


class HoursInUse(TransitionError):
    """A booking lies where the new hours would be closed."""


class UnexpectedResult(TransitionError):
    """A result that the action cannot have."""
