"""What callers ask of a layer, asked of the real one and of the model, with the answers in one form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from phasm_fdb import InputRejected, PhasmError
from phasm_fdb.errors import DatabaseError, InputFailed
from phasm_fdb.layer import Layer
from phasm_fdb.receipts import Applied
from tests.simulation.torture.machine import Bug
from tests.simulation.torture.promises import Model, Outcome, Receipt, Refused, told, tracked_of, whispered
from tests.simulation.torture.steps import Do, Done, Leaf


@dataclass(frozen=True)
class Answer:
    """What a caller is told.

    Attributes:
        refused: the name of the error, or "".
        reply, tracked, untracked: as in `Applied`, without what the commit decides.
    """

    refused: str = ""
    reply: Any = None
    tracked: tuple[Any, ...] = ()
    untracked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Apply:
    """`Layer.apply`.

    Attributes:
        which: of the layers.
        at: the time of the input in milliseconds since the epoch.
        until, truly_until: up to when its receipt is kept at least, in seconds since the epoch, by the caller's clock
            and by the true one.
        has_receipt: whether one is written: not for an input without a request id in a caller's transaction.
    """

    which: int
    do: Do
    request_id: Any
    at: int
    until: float
    truly_until: float
    has_receipt: bool

    def ask(self, layer: Layer, db_or_tr: Any) -> tuple[Answer, bool]:
        """The answer of the layer, and whether it says that it is a repeat."""
        return _asked(lambda: layer.apply(db_or_tr, self.do, self.request_id))

    def expect(self, model: Model, repeated: bool) -> tuple[Answer, bool]:
        """The answer that was promised, and whether it must be a repeat.

        Args:
            repeated: what the layer said: it decides where the receipt may have expired.
        """
        receipt = None if self.request_id is None else model.receipts.get(self.request_id)
        if receipt is not None and receipt.outcome is not None and (receipt.is_kept or repeated):
            first = answer_of(receipt.outcome)
            return replace(first, untracked=()), not isinstance(receipt.outcome, Refused)  # these are handed out once
        answer = _expected(lambda: model.apply(self.do, self.at, self.has_receipt))
        if self.request_id is not None and isinstance(answer, Outcome):
            model.receipts[self.request_id] = Receipt(answer, self.until, self.truly_until)
        return answer_of(answer), False


@dataclass(frozen=True)
class Complete:
    """`Layer.complete`.

    Attributes:
        which: of the layers.
        id: as the layer knows it.
        name: as the model knows it.
    """

    which: int
    id: Any
    name: Any
    token: str
    steps: tuple[Leaf, ...]
    at: int
    has_receipt: bool

    def ask(self, layer: Layer, db_or_tr: Any) -> tuple[Answer, bool]:
        """See `Apply.ask`."""
        return _asked(lambda: layer.complete(db_or_tr, self.id, Done(self.token, self.steps)))

    def expect(self, model: Model, repeated: bool) -> tuple[Answer, bool]:
        """See `Apply.expect`."""
        return answer_of(
            _expected(lambda: model.complete(self.name, self.token, self.steps, self.at, self.has_receipt))
        ), False


Call = Apply | Complete


def _asked(ask: Callable[[], Applied]) -> tuple[Answer, bool]:
    try:
        applied = ask()
    except InputRejected as error:
        return Answer(f"InputRejected {error.kind}"), False
    except InputFailed:
        return Answer("InputFailed"), False
    except DatabaseError:
        raise
    except (PhasmError, Bug) as error:
        return Answer(type(error).__name__), False
    tracked = tuple(told(one) for one in applied.tracked)
    return Answer("", applied.reply, tracked, whispered(applied.untracked)), applied.repeated


def _expected(expect: Callable[[], Outcome]) -> Outcome | Refused:
    try:
        return expect()
    except Refused as refused:
        return refused


def answer_of(outcome: Outcome | Refused) -> Answer:
    """What the caller is told of an outcome."""
    if isinstance(outcome, Refused):
        return Answer(outcome.kind)
    return Answer("", outcome.reply, tuple(tracked_of(one) for one in outcome.tracked), outcome.untracked)
