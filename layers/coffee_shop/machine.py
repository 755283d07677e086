"""Loyalty points: a redemption locks points, and the backend's answer takes or frees them.

At most one redemption of a member is in doubt. Its id is `(shop, user, number, stage)`, counted in the member's own
account, so that members never conflict with each other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from layers.coffee_shop import types
from layers.coffee_shop.types import (
    CENTS_PER_POINT,
    CENTS_TO_EARN_A_POINT,
    Account,
    AddToOrder,
    CancelOrder,
    CheckStatus,
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
from phasm_fdb import (
    Actions,
    Changes,
    Index,
    InvariantViolation,
    Map,
    Normal,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    Untracked,
)

Id = tuple[str, str, int, str]

#: How long to wait before a backend that has not decided is asked again.
RECHECK_SECONDS = 5.0


class CoffeeShopState(State):
    accounts = Map(Member, Account)
    in_doubt = Index(accounts, bool, lambda account: True if account.pending else None)


class CoffeeShop(StateMachine):
    """Replies: the order's cents to `AddToOrder`, the cents paid to `PayOrder`, the number to `RedeemPoints`."""

    State = CoffeeShopState
    Input = types.Input
    TrackedAction = types.TrackedAction
    TrackedResult = types.TrackedResult
    UntrackedAction = types.UntrackedAction
    Reply = int | None

    def stf(
        self, state: CoffeeShopState, input: Normal[Any] | TrackedActionCompleted[Any], actions: Actions
    ) -> int | None:
        match input:
            case Normal(AddToOrder(member, cents)):
                return _add_to_order(state, actions, member, cents)
            case Normal(PayOrder(member)):
                return _pay_order(state, actions, member)
            case Normal(RedeemPoints(member, points)):
                return _redeem(state, actions, member, points)
            case Normal(CancelOrder(member)):
                _cancel_order(state, actions, member)
            case TrackedActionCompleted((shop, user, number, stage), result):
                _settle(state, actions, Member(shop, user), number, Stage(stage), result)
        return None

    def restore(self, state: CoffeeShopState, actions: Actions) -> None:
        """Ask what became of every redemption in doubt, and give back again what was being given back."""
        for member, account in state.in_doubt.items(True):
            redemption = _pending(account)
            again = Undo if redemption.stage is Stage.UNDOING else CheckStatus
            actions.add(Tracked(_id(member, redemption), again(member, redemption.number)))

    def check_invariants(self, state: CoffeeShopState) -> None:
        for member, account in state.accounts.items():
            _check_account(member, account)

    def check_changes(self, state: CoffeeShopState, changes: Changes) -> None:
        if changes.cleared("accounts"):
            return self.check_invariants(state)
        for member, account in state.accounts.get_many(changes.keys("accounts")).items():
            _check_account(member, account)
        return None


# ------------------------------------------------------------------------------------------------ inputs


def _add_to_order(state: CoffeeShopState, actions: Actions, member: Member, cents: int) -> int:
    if cents <= 0:
        raise InvalidRequest(f"{cents} cents cannot be put on an order")
    account = _account(state, member)
    total = account.order_cents + cents
    state.accounts[member] = replace(account, order_cents=total)
    actions.add(Untracked(UpdateOrderTotal(member, total)))
    return total


def _pay_order(state: CoffeeShopState, actions: Actions, member: Member) -> int:
    account = _account(state, member)
    if account.pending is not None:
        raise RedemptionAlreadyPending(
            f"{member} waits for redemption {account.pending.number}, then the total is known"
        )
    if account.order_cents == 0:
        raise InvalidRequest(f"{member} has no order to pay")
    points = account.points + account.order_cents // CENTS_TO_EARN_A_POINT
    state.accounts[member] = replace(account, points=points, order_cents=0)
    actions.add(Untracked(UpdatePointsDisplay(member, points)))
    actions.add(Untracked(UpdateOrderTotal(member, 0)))
    return account.order_cents


def _redeem(state: CoffeeShopState, actions: Actions, member: Member, points: int) -> int:
    account = _account(state, member)
    if points <= 0:
        raise InvalidRequest(f"{points} points cannot be redeemed")
    if account.pending is not None:
        raise RedemptionAlreadyPending(f"redemption {account.pending.number} of {member} is not settled")
    if account.available < points:
        raise InsufficientPoints(f"{member} has {account.available} points, and asked to redeem {points}")
    redemption = Redemption(account.redemptions + 1, points)
    state.accounts[member] = replace(account, redemptions=redemption.number, pending=redemption)
    actions.add(Tracked(_id(member, redemption), Redeem(member, redemption.number, points)))
    actions.add(Untracked(ShowStampAnimation(member)))
    actions.add(Untracked(LogAnalytics(f"redemption_requested:{points}")))
    return redemption.number


def _cancel_order(state: CoffeeShopState, actions: Actions, member: Member) -> None:
    account = _account(state, member)
    # The backend may have taken the points already, so a redemption in doubt is not forgotten: its answer decides.
    pending = replace(account.pending, cancelled=True) if account.pending else None
    state.accounts[member] = replace(account, order_cents=0, pending=pending)
    actions.add(Untracked(UpdateOrderTotal(member, 0)))


# ----------------------------------------------------------------------------------------------- results


def _settle(
    state: CoffeeShopState, actions: Actions, member: Member, number: int, stage: Stage, result: types.TrackedResult
) -> None:
    account = _account(state, member)
    redemption = _pending(account)
    assert (redemption.number, redemption.stage) == (number, stage), f"{redemption} does not wait for {number} {stage}"
    wanted = stage is Stage.REQUESTED and not redemption.cancelled
    match result:
        case Success(points) if wanted and points == redemption.points:
            _deduct(state, actions, member, account)
        case Unknown() if wanted:
            _ask_again(state, actions, member, account, Redeem(member, number, redemption.points))
        case Success() | Unknown() if stage is Stage.REQUESTED:
            _undo(state, actions, member, account)
        case Failed(reason) if stage is Stage.REQUESTED:
            state.accounts[member] = replace(account, pending=None)
            actions.add(Untracked(ShowErrorMessage(member, f"Redemption failed: {reason}")))
        case Undone() | Unknown() if stage is Stage.UNDOING:
            state.accounts[member] = replace(account, pending=None)
            actions.add(Untracked(LogAnalytics(f"redemption_undone:{redemption.points}")))
        case Pending():
            question = Undo(member, number) if stage is Stage.UNDOING else CheckStatus(member, number)
            _ask_again(state, actions, member, account, question, RECHECK_SECONDS)
        case _:
            raise UnexpectedResult(f"{result} is no answer to a redemption that is {stage.value}")


def _deduct(state: CoffeeShopState, actions: Actions, member: Member, account: Account) -> None:
    """The backend has taken the points: so does the account, and the order becomes cheaper."""
    redeemed = _pending(account).points
    discount = min(redeemed * CENTS_PER_POINT, account.order_cents)
    points, total = account.points - redeemed, account.order_cents - discount
    state.accounts[member] = replace(account, points=points, order_cents=total, pending=None)
    saved = f"{discount // 100}.{discount % 100:02}"
    for action in (
        UpdatePointsDisplay(member, points),
        UpdateOrderTotal(member, total),
        ShowSuccessMessage(member, f"Redeemed {redeemed} points! Saved {saved}"),
        PlaySuccessSound(member),
        SendPushNotification(member, "Your reward has been applied!"),
    ):
        actions.add(Untracked(action))


def _undo(state: CoffeeShopState, actions: Actions, member: Member, account: Account) -> None:
    """Have the points given back; they stay locked until the backend has said that it did."""
    redemption = replace(_pending(account), stage=Stage.UNDOING)
    state.accounts[member] = replace(account, pending=redemption)
    actions.add(Tracked(_id(member, redemption), Undo(member, redemption.number)))


def _ask_again(
    state: CoffeeShopState,
    actions: Actions,
    member: Member,
    account: Account,
    action: types.TrackedAction,
    after: float | None = None,
) -> None:
    redemption = _pending(account)
    redemption = replace(redemption, asked=redemption.asked + 1)
    state.accounts[member] = replace(account, pending=redemption)
    actions.add(Tracked(_id(member, redemption), action, after=after))


def _account(state: CoffeeShopState, member: Member) -> Account:
    return state.accounts.get(member, Account())


def _pending(account: Account) -> Redemption:
    assert account.pending is not None, f"{account} has no redemption in doubt"
    return account.pending


def _id(member: Member, redemption: Redemption) -> Id:
    return (member.shop, member.user, redemption.number, redemption.stage.value)


# -------------------------------------------------------------------------------------------- invariants


def _check_account(member: Member, account: Account) -> None:
    _require(account.points >= 0, "points not negative", member, account)
    _require(account.order_cents >= 0, "order not negative", member, account)
    redemption = account.pending
    if redemption is not None:
        _require(0 < redemption.points <= account.points, "locked points are there", member, account)
        _require(redemption.number == account.redemptions, "the last redemption is the one in doubt", member, account)


def _require(holds: bool, name: str, member: Member, account: Account) -> None:
    if not holds:
        raise InvariantViolation(f"{name}: {member} has {account}")
