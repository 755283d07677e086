"""How an attempt at an action ended, and what was recorded of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from phasm_fdb.receipts import Applied
from phasm_fdb.records import Progress
from phasm_fdb.runtime.causes import ResultTooLarge
from phasm_fdb.runtime.retry import Retry
from phasm_fdb.runtime.work import Work


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended.

    Attributes:
        result: what the handler returned; of a work whose result is kept it is that, and none is given here.
        error: what the handler raised; None if it returned.
        delay_seconds: how long to wait if the action, or the transition of its result, is tried again; drawn
            beforehand, so that a retried transaction does the same again.
        too_large: what the result leads to did not fit in a transaction.
    """

    work: Work
    retry: Retry
    result: Any
    error: BaseException | None
    delay_seconds: float
    too_large: ResultTooLarge | None = None


class Verdict(enum.Enum):
    """What became of an action whose attempt has ended."""

    COMPLETED = "its result was applied"
    RETRIED = "it is tried again later"
    KEPT = "its result is kept and applied again later"
    BURIED = "it was moved to the dead letters"
    GONE = "it is not pending any more"
    STALE = "its lane is lost"
    LEFT = "it is left to newer code, which wrote its result"


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of an attempt, as it was recorded.

    Attributes:
        in_place: where the action waits for its next attempt in its lane, how far it has come.
        error: what the machine has failed with.
        refusal: why it did not take the result.
    """

    verdict: Verdict
    applied: Applied | None = None
    in_place: Progress | None = None
    error: BaseException | None = None
    refusal: BaseException | None = None
