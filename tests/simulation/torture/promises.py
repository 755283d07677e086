"""What the layer promises about the machine of everything, in plain Python: the answer key of every run.

A `Model` is a whole layer as a caller sees it: the state, what is pending, the receipts. It decides an input by the
docs alone (docs/02_invariants.md, README): exactly once for each request id, a refused input changes nothing, what is
cancelled is cancelled. It holds plain values, and is copied wherever the real thing has a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb import InvariantViolation, Tracked, Untracked
from tests.simulation.torture.machine import MOST_ACTIONS, TOO_LARGE, card, order_of
from tests.simulation.torture.steps import (
    COLOURS,
    IDS,
    KEYS,
    PLACES,
    Act,
    Add,
    Afterwards,
    Boast,
    Cancel,
    Card,
    ClearWord,
    Colour,
    Deal,
    Do,
    Drop,
    DropRange,
    Emit,
    Fail,
    Leaf,
    Look,
    Mint,
    Overfill,
    Place,
    Put,
    Refuse,
    SetWord,
    Step,
    TakeCard,
    TakeNumber,
    Tell,
    Whisper,
    Whispered,
    text,
)

#: No row of an action holds so many characters.
TOO_LARGE_AN_ACTION = 90_000


@dataclass(frozen=True)
class Minted:
    """Stands for an id from `new_id()`, whose value the commit decides."""

    token: str


class Refused(Exception):
    """The input is not applied.

    Attributes:
        kind: the name of the error that the caller gets.
    """

    def __init__(self, kind: str, reason: str = "") -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True)
class Waiting:
    """A pending action, or an input for later.

    Attributes:
        holds: the `Act`, or the `Do` of an input for later.
        due: milliseconds since the epoch before which it does not begin; None for at once.
        after: the seconds that it was emitted with.
    """

    id: Any
    holds: Act | Do
    order: Any
    due: int | None
    after: float | None = None

    @property
    def is_input(self) -> bool:
        return isinstance(self.holds, Do)


@dataclass(frozen=True)
class Outcome:
    """What came of an input that was applied."""

    reply: list[Any]
    tracked: tuple[Waiting, ...]
    untracked: tuple[str, ...]


@dataclass
class Receipt:
    """What is known under a request id.

    Attributes:
        outcome: what came of it; a `Refused` for a submitted input that was refused, or made the machine fail; None
            while it is queued.
        until: seconds since the epoch, by the clock of whoever wrote it, up to which it is kept at least.
        truly_until: the same by the true time, which is the database's.
        is_kept: whether it is there for sure; once somebody swept later than that it may be.
    """

    outcome: Outcome | Refused | None
    until: float
    truly_until: float
    is_kept: bool = True


@dataclass
class Model:
    """One layer.

    Attributes:
        knows_all: it was told of everything that begins or ends an action. Else it does not say what is stale or there
            already.
    """

    knows_all: bool = True
    word: str = "nothing"
    texts: dict[str, str] = field(default_factory=dict)
    cards: dict[Place, Card] = field(default_factory=dict)
    minted: tuple[str, ...] = ()
    story: tuple[str, ...] = ()
    total: int = 0
    numbers: int = 0
    results: int = 0
    pending: dict[Any, Waiting] = field(default_factory=dict)
    receipts: dict[Any, Receipt] = field(default_factory=dict)

    def copy(self) -> Model:
        """The same, to be changed apart."""
        return replace(
            self,
            texts=dict(self.texts),
            cards=dict(self.cards),
            pending=dict(self.pending),
            receipts={id: replace(receipt) for id, receipt in self.receipts.items()},
        )

    def sweep(self, now: float, true_now: float, knows_pending: bool = True) -> None:
        """Somebody sweeps, by whose clock it is `now`: what has expired by both clocks need not be there any more.

        Args:
            knows_pending: nothing is committed that the model was not told of yet.
        """
        pending = {name_of(waiting.id) for waiting in self.pending.values() if not waiting.is_input}
        for receipt in self.receipts.values():
            emitted = receipt.outcome.tracked if isinstance(receipt.outcome, Outcome) else ()
            is_needed = knows_pending and any(name_of(one.id) in pending for one in emitted)
            if receipt.until <= now and receipt.truly_until <= true_now and not is_needed:
                receipt.is_kept = False

    # ------------------------------------------------------------------------------------------- inputs

    def apply(self, do: Do, at: int, has_receipt: bool = True) -> Outcome:
        """Apply an input; raises Refused, and is as before then."""
        return self._decide(do.token, do.steps, _Decision(self.copy(), at, has_receipt))

    def complete(self, id: Any, token: str, steps: tuple[Leaf, ...], at: int, has_receipt: bool = True) -> Outcome:
        """Apply the result of a pending action; raises Refused, and is as before then."""
        waiting = self.pending.get(name_of(id))
        if self.knows_all and (waiting is None or waiting.is_input):
            raise Refused("StaleCompletion")
        decision = _Decision(self.copy(), at, has_receipt, id)
        decision.model.results += 1
        return self._decide(f"{token}!", steps, decision)

    def _decide(self, token: str, steps: Iterable[Step], decision: _Decision) -> Outcome:
        for number, step in enumerate(steps):
            decision.do(step, f"{token}.{number}")
        outcome = decision.end()
        self.__dict__.update(decision.model.__dict__)
        return outcome


class _Decision:
    """One run of the machine on a model that is thrown away if it fails.

    Args:
        at: the time of the input.
        has_receipt: the reply has to fit in one.
        completed: the id of the action whose result this is.
    """

    def __init__(self, model: Model, at: int, has_receipt: bool, completed: Any = None) -> None:
        self.model = model
        self._at = at
        self._has_receipt = has_receipt
        self._completed = completed
        self._replies: list[Any] = []
        self._actions: dict[Any, Waiting | str] = {}
        self._cancelled: list[Any] = []

    def end(self) -> Outcome:
        """Take what was emitted and cancelled into account."""
        pending = self.model.pending
        for id in (*([] if self._completed is None else [self._completed]), *self._cancelled):
            pending.pop(name_of(id), None)
        for action in self._actions.values():
            if isinstance(action, str):
                continue
            if self.model.knows_all and name_of(action.id) in pending:
                raise Refused("DuplicateAction")
            if isinstance(action.holds, Act) and len(action.holds.text) >= TOO_LARGE_AN_ACTION:
                raise Refused("CodecError")
            pending[name_of(action.id)] = action
        if self._has_receipt and any(isinstance(reply, str) and len(reply) >= TOO_LARGE for reply in self._replies):
            raise Refused("CodecError")
        tracked = tuple(one for one in self._actions.values() if isinstance(one, Waiting) and not one.is_input)
        untracked = tuple(one for one in self._actions.values() if isinstance(one, str))
        return Outcome(self._replies, tracked, untracked)

    def do(self, step: Step, token: str) -> None:
        """Do a step."""
        model = self.model
        match step:
            case SetWord(size):
                model.word = text(token, size)
            case ClearWord():
                model.word = "nothing"
            case Put(key, size):
                model.texts[KEYS[key]] = text(token, size)
            case Drop(key):
                model.texts.pop(KEYS[key], None)
            case DropRange(first, last):
                for key in [one for one in model.texts if KEYS[first].encode() <= one.encode() < KEYS[last].encode()]:
                    del model.texts[key]
            case Deal(place, colour, points):
                model.cards[PLACES[place]] = card(token, COLOURS[colour], points)
            case TakeCard(place):
                if model.cards.pop(PLACES[place], None) is None:
                    raise Refused("NoCard", f"{PLACES[place]} is empty")
            case Tell(size):
                model.story += (text(token, size),)
            case Add(number):
                model.total += number
            case TakeNumber():
                model.numbers += 1
                self._replies.append(model.numbers)
            case Look(key):
                self._look(KEYS[key])
            case _:
                self._act(step, token)

    def _look(self, key: str) -> None:
        model = self.model
        found = model.texts.get(key)
        red = [place.row for place, one in model.cards.items() if one.colour is Colour.RED]
        self._replies += [
            None if found is None else [len(found), found[:40]],
            model.word[:40],
            [len(one) for one in sorted(model.texts, key=str.encode)],
            sorted(red),
            model.total,
        ]

    def _act(self, step: Step, token: str) -> None:
        match step:
            case Cancel(id):
                self._cancel(IDS[id])
            case Whisper():
                self._add(object(), token)
            case Mint(tracked, order):
                self.model.minted += (token,)
                if tracked:
                    id = Minted(token)
                    self._add(name_of(id), Waiting(id, Act(token, "", ()), order_of(order), None))
            case Emit(id, renew, order, after, size, then):
                if renew:
                    self._cancel(IDS[id])
                act = Act(token, text(token, size), then)
                self._add(name_of(IDS[id]), Waiting(IDS[id], act, order_of(order), self._due(after), after))
            case Afterwards(id, renew, after, order, then):
                if renew:
                    self._cancel(IDS[id])
                do = Do(f"{token}~", then)
                self._add(name_of(IDS[id]), Waiting(IDS[id], do, order_of(order), self._due(after), after))
            case Refuse():
                raise Refused("Unwilling", token)
            case Fail():
                raise Refused("Bug", token)
            case Overfill():
                for _ in range(MOST_ACTIONS + 1):
                    self._add(object(), token)
            case Boast():
                self._replies.append("!" * TOO_LARGE)

    def _due(self, after: float | None) -> int | None:
        return None if after is None else self._at + round(after * 1000)

    def _add(self, name: Any, action: Waiting | str) -> None:
        if len(self._actions) >= MOST_ACTIONS:
            raise Refused("ActionsFull")
        if name in self._actions:
            raise Refused("DuplicateAction")
        self._actions[name] = action

    def _cancel(self, id: Any) -> None:
        if self._actions.pop(name_of(id), None) is None:
            self._cancelled.append(id)


def name_of(id: Any) -> Any:
    """What tells an id from others: 2 and 2.0 are two keys."""
    return (type(id).__name__, repr(id))


def tracked_of(waiting: Waiting) -> tuple[Any, Act, Any]:
    """What a caller is told of a tracked action, without its id where the commit decides that."""
    assert isinstance(waiting.holds, Act)
    return (None if isinstance(waiting.id, Minted) else name_of(waiting.id), waiting.holds, waiting.order)


def told(tracked: Tracked[Any]) -> tuple[Any, Act, Any]:
    """The same of what the layer says."""
    id = None if isinstance(tracked.id, Versionstamp) else name_of(tracked.id)
    return (id, tracked.action, tracked.ordering_key)


def whispered(untracked: Iterable[Untracked[Any]]) -> tuple[str, ...]:
    """The tokens of untracked actions."""
    for one in untracked:
        assert isinstance(one.action, Whispered)
    return tuple(one.action.token for one in untracked)


def compare_view(view: Any, model: Model) -> None:
    """Raise an InvariantViolation if the state is not that of the model."""
    have = {
        "word": view.word.get(),
        "texts": dict(view.texts.items()),
        "cards": dict(view.cards.items()),
        "minted": tuple(view.minted.values()),
        "story": tuple(view.story),
        "total": view.total.get(),
        "numbers": view.numbers.get(),
        "results": view.results.get(),
    }
    for name, value in have.items():
        want = getattr(model, name)
        if value != want:
            raise InvariantViolation(f"state: {name} is {short(value)}, and should be {short(want)}")


def short(value: Any) -> str:
    """A value as text, without its middle where that is long."""
    text = repr(value)
    return text if len(text) < 600 else f"{text[:300]}...{text[-300:]}"
