"""The outside world of the coffee shops: a loyalty backend, faked, that answers as a real one would."""

from __future__ import annotations

import random

from layers.coffee_shop.types import (
    CheckStatus,
    Failed,
    Member,
    Pending,
    Redeem,
    Success,
    TrackedAction,
    TrackedResult,
    Undo,
    Undone,
    Unknown,
)

Answer = Success | Failed | Undone


class LoyaltyBackend:
    """Takes points at most once for each redemption, however often it is asked.

    Args:
        random: decides what is refused and what takes its time.
        refused: the share of redemptions that it refuses.
        slow: the share of calls that it answers with `Pending`.
    """

    def __init__(self, random: random.Random, refused: float = 0.15, slow: float = 0.1) -> None:
        self._random = random
        self._refused = refused
        self._slow = slow
        self._answers: dict[str, TrackedResult] = {}
        self.redemptions: dict[tuple[Member, int], Answer] = {}

    def call(self, key: str, action: TrackedAction) -> TrackedResult:
        """Answer a call.

        Args:
            key: the idempotency key; a repeated one gets the first answer and has no effect. A `Pending` answer is
                not kept, since it is no answer yet.
        """
        if key in self._answers and not isinstance(action, CheckStatus):
            return self._answers[key]
        answer = self._answer(action)
        if not isinstance(answer, Pending):
            self._answers[key] = answer
        return answer

    def taken(self, member: Member) -> int:
        """How many points it has taken from a member."""
        return sum(
            answer.points
            for (whose, _), answer in self.redemptions.items()
            if whose == member and isinstance(answer, Success)
        )

    def _answer(self, action: TrackedAction) -> Answer | Pending | Unknown:
        reference = (action.member, action.number)
        if isinstance(action, Undo):
            # An undone redemption that was never made is remembered too: a late `Redeem` finds it and takes nothing.
            self.redemptions[reference] = Undone()
            return Undone()
        if isinstance(action, Redeem) and reference not in self.redemptions:
            refused = self._random.random() < self._refused
            self.redemptions[reference] = Failed("card not known") if refused else Success(action.points)
        if self._random.random() < self._slow:
            return Pending()
        return self.redemptions.get(reference, Unknown())
