"""Values and bytes that nobody should pass, and that somebody will: strategies for the tests of bad input."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fdb.tuple import Versionstamp
from hypothesis import strategies as st


class Loud:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class NoHash:
    """Cannot be a key of a dict, nor compared."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


class Text(str):
    pass


class Number(int):
    pass


class Pieces(bytes):
    pass


class Pair(tuple[Any, ...]):
    pass


class Listed(enum.Enum):
    LIST = (1, [2])


@dataclass
class Box:
    value: Any = None


def itself() -> list[Any]:
    """A list that holds itself."""
    held: list[Any] = []
    held.append(held)
    return held


def deep(depth: int) -> Any:
    """A list in so many lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def deep_tuple(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value,)
    return value


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | st.integers(0, 9), inner)
    ),
    max_leaves=6,
)

odd_ones: list[Any] = [
    *(10**400, 10**5000, -(2**63) - 1, 2**64, 2**2041, math.nan, math.inf, -0.0, 1e300),
    *("\ud800", "a\0b", "", "x" * 20_000, b"", b"\xff" * 20_000, bytearray(b"x"), memoryview(b"x")),
    *(Loud(), NoHash(), object(), Loud, int, len, ..., NotImplemented, 1j, range(3)),
    *(Text("a"), Number(1), Pieces(b"a"), Pair((1,)), Listed.LIST, Box(), Box(Box(Loud()))),
    *({1, 2}, frozenset({1}), {"$": "Order"}, {(1, 2): 3}, {None: Loud()}, {1: NoHash()}),
    *(itself(), deep(98), deep(150), deep(5_000), deep_tuple(98), deep_tuple(150), deep_tuple(5_000)),
    *(UUID(int=1), Versionstamp(b"0123456789", 7), Versionstamp.incomplete(3), ValueError("x"), type("New", (), {})()),
]

#: Any Python object: plain ones, odd ones, and containers of both.
anything = st.recursive(
    plain_values | st.sampled_from(range(len(odd_ones))).map(lambda number: odd_ones[number]) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(0, 2) | st.text(max_size=2), inner, max_size=2)
        | inner.map(Box)
    ),
    max_leaves=4,
)
