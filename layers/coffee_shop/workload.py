"""Members of a few shops who order, redeem, cancel and pay."""

from __future__ import annotations

import random

from layers.coffee_shop.backend import LoyaltyBackend
from layers.coffee_shop.machine import CoffeeShop, CoffeeShopState
from layers.coffee_shop.types import (
    AddToOrder,
    CancelOrder,
    Input,
    Member,
    PayOrder,
    RedeemPoints,
    Success,
    TrackedAction,
    TrackedResult,
    Undone,
)
from phasm_fdb.simulation import Workload

MEMBERS = [Member(shop, user) for shop in ("north", "south") for user in ("ann", "bob", "cem", "dot")]


class CoffeeShopWorkload(Workload):
    """Few members, so that redemptions, cancellations and results often meet."""

    machine = CoffeeShop
    completions = 0.35

    def setup(self, rng: random.Random) -> list[Input]:
        self.backend: LoyaltyBackend | None = None
        return [step for member in MEMBERS for step in (AddToOrder(member, 3_000), PayOrder(member))]

    def next_input(self, rng: random.Random, view: CoffeeShopState) -> Input:
        member = rng.choice(MEMBERS)
        kind = rng.random()
        if kind < 0.40:
            return AddToOrder(member, rng.choice((250, 300, 450, 550)))
        if kind < 0.65:
            return RedeemPoints(member, rng.choice((20, 50, 100, 400)))
        if kind < 0.75:
            return CancelOrder(member)
        return PayOrder(member)

    def perform(self, rng: random.Random, action: TrackedAction) -> TrackedResult:
        self.backend = self.backend or LoyaltyBackend(rng)
        return self.backend.call(f"{type(action).__name__} {action.member} {action.number}", action)

    def check(self, view: CoffeeShopState) -> None:
        for member, account in view.accounts.items():
            assert account.pending is None, f"redemptions resolved: {member} has {account}"

    def sometimes(self, view: CoffeeShopState) -> dict[str, bool]:
        answers = self.backend.redemptions.values() if self.backend else ()
        return {
            "redeemed": any(isinstance(answer, Success) for answer in answers),
            "undone": any(isinstance(answer, Undone) for answer in answers),
        }
