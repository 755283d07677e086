"""Money, declared as a float."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lint.speaking import Shop


@dataclass(frozen=True)
class Pay:
    user: str
    amount: float | None  # found: float


class Planted(Shop):
    Input = Pay
