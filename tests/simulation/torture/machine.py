"""The machine of everything: it does what its inputs, results and timers say, over every kind of field."""

from __future__ import annotations

from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb import (
    Actions,
    Counter,
    Index,
    InvariantViolation,
    Log,
    Map,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Untracked,
    Value,
)
from tests.simulation.torture.steps import (
    COLOURS,
    IDS,
    KEYS,
    ORDERS,
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
    Done,
    Drop,
    DropRange,
    Emit,
    Fail,
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

#: The most actions of one transition.
MOST_ACTIONS = 12
#: No receipt holds a reply of so many characters.
TOO_LARGE = 120_000


class NoCard(TransitionError):
    """There is no card in that place."""


class Unwilling(TransitionError):
    """The machine was told to refuse."""


class Bug(Exception):
    """The machine was told to have a bug."""


class EverythingState(State):
    """Every kind of field."""

    word = Value(str, "nothing")
    texts = Map(str, str)
    cards = Map(Place, Card)
    by_colour = Index(cards, Colour, lambda card: card.colour)
    minted = Map(Versionstamp, str)
    story = Log(str)
    total = Counter()
    numbers = Counter()
    results = Counter()


class Everything(StateMachine):
    """Does the steps one after the other; the reply is what they found."""

    State = EverythingState
    Input = Do
    TrackedAction = Act
    TrackedResult = Done
    UntrackedAction = Whispered
    max_actions = MOST_ACTIONS

    def stf(self, state: EverythingState, input: Any, actions: Actions) -> Any:
        if isinstance(input, TrackedActionCompleted):
            state.results.add(1)
            token, steps = f"{input.result.token}!", input.result.steps
        else:
            token, steps = input.payload.token, input.payload.steps
        replies: list[Any] = []
        for number, step in enumerate(steps):
            self._do(state, actions, step, f"{token}.{number}", replies)
        return replies

    def _do(self, state: EverythingState, actions: Actions, step: Step, token: str, replies: list[Any]) -> None:
        match step:
            case SetWord(size):
                state.word.set(text(token, size))
            case ClearWord():
                state.word.clear()
            case Put(key, size):
                state.texts[KEYS[key]] = text(token, size)
            case Drop(key):
                state.texts.discard(KEYS[key])
            case DropRange(first, last):
                state.texts.clear(KEYS[first], KEYS[last])
            case Deal(place, colour, points):
                state.cards[PLACES[place]] = card(token, COLOURS[colour], points)
            case TakeCard(place):
                if PLACES[place] not in state.cards:
                    raise NoCard(f"{PLACES[place]} is empty")
                del state.cards[PLACES[place]]
            case Tell(size):
                state.story.append(text(token, size))
            case Add(number):
                state.total.add(number)
            case TakeNumber():
                replies.append(state.numbers.take())
            case Look(key):
                replies += self._look(state, KEYS[key])
            case _:
                self._act(state, actions, step, token, replies)

    def _look(self, state: EverythingState, key: str) -> list[Any]:
        found = state.texts.get(key)
        return [
            None if found is None else [len(found), found[:40]],
            state.word.get()[:40],
            [len(one) for one in state.texts],
            [place.row for place in state.by_colour.keys(Colour.RED)],
            state.total.get(),
        ]

    def _act(self, state: EverythingState, actions: Actions, step: Step, token: str, replies: list[Any]) -> None:
        match step:
            case Cancel(id):
                actions.cancel(IDS[id])
            case Whisper():
                actions.add(Untracked(Whispered(token)))
            case Mint(tracked, order):
                minted = actions.new_id()
                state.minted[minted] = token
                if tracked:
                    actions.add(Tracked(minted, Act(token, "", ()), order_of(order)))
            case Emit(id, renew, order, after, size, then):
                if renew:
                    actions.cancel(IDS[id])
                actions.add(Tracked(IDS[id], Act(token, text(token, size), then), order_of(order), after))
            case Afterwards(id, renew, after, order, then):
                if renew:
                    actions.cancel(IDS[id])
                actions.later(IDS[id], Do(f"{token}~", then), after=after, ordering_key=order_of(order))
            case Refuse():
                raise Unwilling(token)
            case Fail():
                raise Bug(token)
            case Overfill():
                for _ in range(MOST_ACTIONS + 1):
                    actions.add(Untracked(Whispered(token)))
            case Boast():
                replies.append("!" * TOO_LARGE)

    def check_invariants(self, state: EverythingState) -> None:
        by_colour = sorted((place.row, place.colour.value) for _, place in state.by_colour.entries())
        coloured = sorted((place.row, place.colour.value) for place, one in state.cards.items() if one.colour)
        if by_colour != coloured:
            raise InvariantViolation(f"index: it holds {by_colour}, and the cards are {coloured}")


def order_of(order: int | None) -> Any:
    """The ordering key of this number."""
    return None if order is None else ORDERS[order]


def card(token: str, colour: Colour | None, points: int) -> Card:
    """A card made of every storable type."""
    under = Card(None, -points, 0.5, None, b"", (), {}, IDS[5])
    return Card(colour, points, points / 7, token, token.encode(), (token, ""), {token: points}, IDS[5], under)
