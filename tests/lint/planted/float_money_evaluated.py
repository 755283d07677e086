"""Money as floats, where annotations are no strings: Python evaluates them at once, or, from 3.14 on, when asked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lint.speaking import Shop

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Bill:
    price: float  # found: float


@dataclass(frozen=True)
class Reminder(Bill):
    days: int


def double(price: "Decimal") -> float:
    return price * 2.0  # found: float


class Planted(Shop):
    Input = Reminder

    def stf(self, state, input, actions):
        state.spent["ann"] = int(double(input.payload.price))
