"""What the coffee shop machine speaks. Money is in integer cents."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from phasm_fdb import TransitionError

CENTS_PER_POINT = 5
CENTS_TO_EARN_A_POINT = 10


@dataclass(frozen=True, order=True)
class Member:
    """Someone at a shop: points are kept for each shop by itself."""

    shop: str
    user: str


# ------------------------------------------------------------------------------------------------- state


class Stage(enum.Enum):
    """How far a redemption is."""

    REQUESTED = "requested"  # the backend was asked to take the points
    UNDOING = "undoing"  # it was asked to give them back


@dataclass(frozen=True)
class Redemption:
    """The one redemption of a member that is in doubt.

    Attributes:
        number: the member's how-manieth redemption it is, from 1.
        points: how many points are locked for it.
        cancelled: the order was cancelled meanwhile, so the points are not wanted any more.
        asked: how often the backend was asked.
    """

    number: int
    points: int
    stage: Stage = Stage.REQUESTED
    cancelled: bool = False
    asked: int = 1


@dataclass(frozen=True)
class Account:
    """A member's points and order.

    Attributes:
        points: the balance, with the locked points in it.
        order_cents: what the current order costs.
        redemptions: how many redemptions were ever asked for; numbers the next one.
        pending: the redemption in doubt, if there is one.
    """

    points: int = 0
    order_cents: int = 0
    redemptions: int = 0
    pending: Redemption | None = None

    @property
    def available(self) -> int:
        """The points that are not locked."""
        return self.points - (self.pending.points if self.pending else 0)


# ------------------------------------------------------------------------------------------------ inputs


@dataclass(frozen=True)
class AddToOrder:
    """Put something on the order."""

    member: Member
    cents: int


@dataclass(frozen=True)
class PayOrder:
    """Pay the order, which earns a point for each 10 cents; replies with the cents paid."""

    member: Member


@dataclass(frozen=True)
class RedeemPoints:
    """Turn points into a discount of 5 cents each, once the backend has confirmed."""

    member: Member
    points: int


@dataclass(frozen=True)
class CancelOrder:
    """Drop the order; a redemption for it that is in doubt is undone."""

    member: Member


Input = AddToOrder | PayOrder | RedeemPoints | CancelOrder


# ---------------------------------------------------------------------------------------- tracked actions


@dataclass(frozen=True)
class Redeem:
    """Ask the backend to take the points."""

    member: Member
    number: int
    points: int


@dataclass(frozen=True)
class CheckStatus:
    """Ask the backend what became of a redemption."""

    member: Member
    number: int


@dataclass(frozen=True)
class Undo:
    """Have the backend give the points back, or never take them."""

    member: Member
    number: int


TrackedAction = Redeem | CheckStatus | Undo


@dataclass(frozen=True)
class Success:
    """The backend has taken the points."""

    points: int


@dataclass(frozen=True)
class Failed:
    """The backend refused."""

    reason: str


@dataclass(frozen=True)
class Pending:
    """The backend has not decided yet."""


@dataclass(frozen=True)
class Unknown:
    """The backend never heard of this redemption."""


@dataclass(frozen=True)
class Undone:
    """The backend has given the points back."""


TrackedResult = Success | Failed | Pending | Unknown | Undone


# -------------------------------------------------------------------------------------- untracked actions


@dataclass(frozen=True)
class ShowStampAnimation:
    member: Member


@dataclass(frozen=True)
class UpdatePointsDisplay:
    member: Member
    points: int


@dataclass(frozen=True)
class UpdateOrderTotal:
    member: Member
    cents: int


@dataclass(frozen=True)
class ShowSuccessMessage:
    member: Member
    message: str


@dataclass(frozen=True)
class ShowErrorMessage:
    member: Member
    message: str


@dataclass(frozen=True)
class PlaySuccessSound:
    member: Member


@dataclass(frozen=True)
class SendPushNotification:
    member: Member
    message: str


@dataclass(frozen=True)
class LogAnalytics:
    event: str


UntrackedAction = (
    ShowStampAnimation
    | UpdatePointsDisplay
    | UpdateOrderTotal
    | ShowSuccessMessage
    | ShowErrorMessage
    | PlaySuccessSound
    | SendPushNotification
    | LogAnalytics
)


# ------------------------------------------------------------------------------------------------ errors


class InvalidRequest(TransitionError):
    """An amount that is not positive, or no order to pay."""


class InsufficientPoints(TransitionError):
    """The member has fewer points than that which are not locked."""


class RedemptionAlreadyPending(TransitionError):
    """A redemption of this member is in doubt; it must be settled first."""


class UnexpectedResult(TransitionError):
    """A result that the action cannot have."""
