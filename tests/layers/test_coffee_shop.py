"""The coffee shop: points locked, taken, freed or given back, whatever the backend answers and whenever."""

from __future__ import annotations

from typing import Any

import pytest

from layers.coffee_shop import (
    Account,
    AddToOrder,
    CancelOrder,
    CheckStatus,
    CoffeeShop,
    Failed,
    InsufficientPoints,
    InvalidRequest,
    LogAnalytics,
    Member,
    PayOrder,
    Pending,
    PlaySuccessSound,
    Redeem,
    RedeemPoints,
    Redemption,
    RedemptionAlreadyPending,
    SendPushNotification,
    ShowErrorMessage,
    ShowStampAnimation,
    ShowSuccessMessage,
    Stage,
    Success,
    Undo,
    Undone,
    UnexpectedResult,
    Unknown,
    UpdateOrderTotal,
    UpdatePointsDisplay,
)
from phasm_fdb import Applied, Layer, Subspace, Tracked, TransitionError

ANN = Member("north", "ann")
FIRST = ("north", "ann", 1, "requested")
FIRST_UNDO = ("north", "ann", 1, "undoing")


@pytest.fixture
def shop(db: Any, subspace: Subspace) -> Layer:
    """A shop where Ann has 150 points and an order of 5.50."""
    layer = Layer(CoffeeShop(), subspace, checked=True)
    layer.apply(db, AddToOrder(ANN, 1_500))
    layer.apply(db, PayOrder(ANN))
    layer.apply(db, AddToOrder(ANN, 550))
    return layer


def account(db: Any, shop: Layer) -> Account:
    result: Account = shop.view(db).accounts[ANN]
    return result


def shown(applied: Applied) -> list[Any]:
    return [untracked.action for untracked in applied.untracked]


def test_paying_an_order_earns_points(db: Any, shop: Layer) -> None:
    paid = shop.apply(db, PayOrder(ANN))
    assert paid.reply == 550
    assert account(db, shop) == Account(points=205)
    assert shown(paid) == [UpdatePointsDisplay(ANN, 205), UpdateOrderTotal(ANN, 0)]


def test_a_redemption_locks_points(db: Any, shop: Layer) -> None:
    asked = shop.apply(db, RedeemPoints(ANN, 100))
    assert asked.reply == 1
    assert asked.tracked == (Tracked(FIRST, Redeem(ANN, 1, 100)),)
    assert shown(asked) == [ShowStampAnimation(ANN), LogAnalytics("redemption_requested:100")]
    assert (account(db, shop).points, account(db, shop).available) == (150, 50)


def test_success_takes_the_points_and_lowers_the_order(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 100))
    confirmed = shop.complete(db, FIRST, Success(100))
    assert account(db, shop) == Account(points=50, order_cents=50, redemptions=1)
    assert shown(confirmed) == [
        UpdatePointsDisplay(ANN, 50),
        UpdateOrderTotal(ANN, 50),
        ShowSuccessMessage(ANN, "Redeemed 100 points! Saved 5.00"),
        PlaySuccessSound(ANN),
        SendPushNotification(ANN, "Your reward has been applied!"),
    ]


def test_a_discount_is_at_most_the_order(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 150))
    shop.complete(db, FIRST, Success(150))
    assert account(db, shop) == Account(points=0, order_cents=0, redemptions=1)


def test_failure_frees_the_points(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 100))
    failed = shop.complete(db, FIRST, Failed("card not known"))
    assert account(db, shop) == Account(points=150, order_cents=550, redemptions=1)
    assert shown(failed) == [ShowErrorMessage(ANN, "Redemption failed: card not known")]


def test_pending_keeps_them_locked_and_asks_again_later(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 100))
    again = shop.complete(db, FIRST, Pending())
    assert again.tracked == (Tracked(FIRST, CheckStatus(ANN, 1), after=5.0),)
    assert account(db, shop).pending == Redemption(1, 100, asked=2)
    shop.complete(db, FIRST, Success(100))
    assert account(db, shop).points == 50


def test_an_unknown_redemption_is_made_again(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 100))
    again = shop.complete(db, FIRST, Unknown())
    assert again.tracked == (Tracked(FIRST, Redeem(ANN, 1, 100)),)


def test_one_redemption_at_a_time(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 100))
    with pytest.raises(RedemptionAlreadyPending):
        shop.apply(db, RedeemPoints(ANN, 10))
    with pytest.raises(RedemptionAlreadyPending):
        shop.apply(db, PayOrder(ANN))
    other = Member("south", "ann")
    shop.apply(db, AddToOrder(other, 1_000))
    shop.apply(db, PayOrder(other))
    assert shop.apply(db, RedeemPoints(other, 10)).reply == 1


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (RedeemPoints(ANN, 200), InsufficientPoints),
        (RedeemPoints(ANN, 0), InvalidRequest),
        (AddToOrder(ANN, -5), InvalidRequest),
        (PayOrder(Member("north", "nobody")), InvalidRequest),
    ],
)
def test_a_refusal_changes_nothing(db: Any, shop: Layer, payload: Any, error: type[TransitionError]) -> None:
    before = account(db, shop)
    with pytest.raises(error):
        shop.apply(db, payload)
    assert account(db, shop) == before
    assert list(shop.pending(db)) == []


def test_restore_asks_what_became_of_it(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 100))
    assert list(shop.restore(db)) == [Tracked(FIRST, CheckStatus(ANN, 1))]
    shop.complete(db, FIRST, Success(100))
    assert list(shop.restore(db)) == []


class TestCancelled:
    """An order that is cancelled while its redemption is in doubt."""

    @pytest.fixture
    def cancelled(self, db: Any, shop: Layer) -> Layer:
        shop.apply(db, RedeemPoints(ANN, 100))
        assert shown(shop.apply(db, CancelOrder(ANN))) == [UpdateOrderTotal(ANN, 0)]
        assert account(db, shop).pending == Redemption(1, 100, cancelled=True)
        return shop

    @pytest.mark.parametrize("result", [Success(100), Unknown()])
    def test_points_that_may_be_taken_are_given_back(self, db: Any, cancelled: Layer, result: Any) -> None:
        undoing = cancelled.complete(db, FIRST, result)
        assert undoing.tracked == (Tracked(FIRST_UNDO, Undo(ANN, 1)),)
        assert account(db, cancelled).available == 50
        assert list(cancelled.restore(db)) == [Tracked(FIRST_UNDO, Undo(ANN, 1))]
        undone = cancelled.complete(db, FIRST_UNDO, Undone())
        assert shown(undone) == [LogAnalytics("redemption_undone:100")]
        assert account(db, cancelled) == Account(points=150, redemptions=1)

    def test_a_failed_one_needs_no_undoing(self, db: Any, cancelled: Layer) -> None:
        assert cancelled.complete(db, FIRST, Failed("no")).tracked == ()
        assert account(db, cancelled) == Account(points=150, redemptions=1)

    def test_a_slow_undo_is_asked_for_again(self, db: Any, cancelled: Layer) -> None:
        cancelled.complete(db, FIRST, Success(100))
        again = cancelled.complete(db, FIRST_UNDO, Pending())
        assert again.tracked == (Tracked(FIRST_UNDO, Undo(ANN, 1), after=5.0),)
        pending = account(db, cancelled).pending
        assert pending is not None and pending.stage is Stage.UNDOING


def test_the_wrong_number_of_points_is_undone(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 100))
    assert shop.complete(db, FIRST, Success(99)).tracked == (Tracked(FIRST_UNDO, Undo(ANN, 1)),)


def test_a_result_that_answers_something_else_is_refused(db: Any, shop: Layer) -> None:
    shop.apply(db, RedeemPoints(ANN, 100))
    with pytest.raises(UnexpectedResult):
        shop.complete(db, FIRST, Undone())
    assert [tracked.id for tracked in shop.pending(db)] == [FIRST]
