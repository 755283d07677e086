"""What the machine of everything is told to do: an input, and a result, is a list of steps.

Steps name ids, keys and places by small numbers, so that inputs meet. What is stored is named by a token, which no
other step has, so that it can be told where a value came from.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from uuid import UUID

#: Ids of tracked actions and timers, of every type that the tuple layer has.
IDS = (
    "ann",
    2,
    ("three", 3),
    b"four",
    5.5,
    UUID("00000000-0000-0000-0000-000000000006"),
    -7,
    ("eight", None, b"\0"),
    # Equal in Python, and other keys.
    2.0,
    ("three", 3.0),
    0.0,
    -0.0,
    False,
)
#: The numbers of ids that are equal in Python.
EQUAL_IDS = ((1, 8), (2, 9), (10, 11, 12))
#: Keys of texts: prefixes of each other, with zero bytes, and one that is long.
KEYS = ("", "a", "a\0", "a\0b", "ab", "b", "é", "z" * 300)
#: The numbers of keys whose bytes begin with those of others.
LIKE_KEYS = (1, 2, 3)
ORDERS = ("first", 2, ("third",))


class Colour(enum.Enum):
    """What cards are indexed by."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


COLOURS = (None, *Colour)


@dataclass(frozen=True)
class Place:
    """A key of two elements."""

    row: int
    colour: Colour


PLACES = (Place(0, Colour.RED), Place(0, Colour.BLUE), Place(1, Colour.RED), Place(-1, Colour.GREEN))


@dataclass(frozen=True)
class Card:
    """A value that holds every storable type."""

    colour: Colour | None
    points: int
    weight: float
    note: str | None
    data: bytes
    tags: tuple[str, ...]
    counts: dict[str, int]
    owner: UUID
    above: Card | None = None


# ------------------------------------------------------------------------------------------------- the state


@dataclass(frozen=True)
class SetWord:
    """Set the single value to a text of so many characters."""

    size: int


@dataclass(frozen=True)
class ClearWord:
    """Set the single value back to its default."""


@dataclass(frozen=True)
class Put:
    """Store a text of so many characters under a key; from 100,000 on it is split over several rows."""

    key: int
    size: int


@dataclass(frozen=True)
class Drop:
    """Remove a text."""

    key: int


@dataclass(frozen=True)
class DropRange:
    """Remove the texts from one key to before another."""

    first: int
    last: int


@dataclass(frozen=True)
class Deal:
    """Put a card into a place."""

    place: int
    colour: int
    points: int


@dataclass(frozen=True)
class TakeCard:
    """Remove the card of a place, by the machine's `del`; refused with NoCard if there is none."""

    place: int


@dataclass(frozen=True)
class Tell:
    """Append a text of so many characters to the log."""

    size: int


@dataclass(frozen=True)
class Add:
    """Add to a counter without reading it."""

    number: int


@dataclass(frozen=True)
class TakeNumber:
    """Take the next number of a counter; it is part of the reply."""


@dataclass(frozen=True)
class Look:
    """Read a text, all keys and the cards of a colour; what was found is part of the reply."""

    key: int


# ----------------------------------------------------------------------------------------------- the actions


@dataclass(frozen=True)
class Cancel:
    """Take a pending action or timer back."""

    id: int


@dataclass(frozen=True)
class Whisper:
    """Emit an untracked action."""


@dataclass(frozen=True)
class Mint:
    """Store a row under an id from `new_id()`, and emit a tracked action with it if that is wanted."""

    tracked: bool
    order: int | None = None


# --------------------------------------------------------------------------------------------------- failing


@dataclass(frozen=True)
class Refuse:
    """Raise a TransitionError."""


@dataclass(frozen=True)
class Fail:
    """Have a bug."""


@dataclass(frozen=True)
class Overfill:
    """Emit more than the container takes."""


@dataclass(frozen=True)
class Boast:
    """Reply with more than a receipt holds."""


Leaf = (
    SetWord
    | ClearWord
    | Put
    | Drop
    | DropRange
    | Deal
    | TakeCard
    | Tell
    | Add
    | TakeNumber
    | Look
    | Cancel
    | Whisper
    | Mint
    | Refuse
    | Fail
    | Overfill
    | Boast
)


@dataclass(frozen=True)
class Emit:
    """Emit a tracked action.

    Attributes:
        renew: cancel the id first.
        order: which ordering key it has.
        after: seconds until it is due.
        size: of a text that the action holds; from 90,000 on it fits in no row.
        then: what its result tells the machine to do.
    """

    id: int
    renew: bool = False
    order: int | None = None
    after: float | None = None
    size: int = 0
    then: tuple[Leaf, ...] = ()


@dataclass(frozen=True)
class Afterwards:
    """Have an input of one's own delivered later."""

    id: int
    renew: bool
    after: float
    order: int | None
    then: tuple[Leaf, ...]


Step = Leaf | Emit | Afterwards


@dataclass(frozen=True)
class Do:
    """Input: do these steps; `token` begins the tokens of all that they store."""

    token: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Act:
    """Tracked action: have these steps done by its result."""

    token: str
    text: str
    then: tuple[Leaf, ...]


@dataclass(frozen=True)
class Whispered:
    """Untracked action."""

    token: str


@dataclass(frozen=True)
class Done:
    """Result of an `Act`: it was done; the machine goes on with these steps."""

    token: str
    steps: tuple[Leaf, ...]


def text(token: str, size: int) -> str:
    """A text of so many characters that begins with a token, as far as there is room."""
    return (token + "." * size)[:size]
