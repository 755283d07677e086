"""A refused input leaves nothing for the garbage collector: its error holds the transaction only while it is held."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from phasm_fdb import Layer, Subspace, aio
from tests.machines import Deposit, InsufficientFunds, Pay, Wallet
from tests.slow import Slow


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("wrapped", [lambda db: db, Slow], ids=["read at once", "speculated"])
def test_the_error_is_gone_with_its_last_reference(memory: Any, wrapped: Any) -> None:
    db = wrapped(memory)
    layer = Layer(Wallet(), Subspace(("wallets",)))
    for _ in range(2):
        layer.apply(db, Deposit("ann", 5))
    try:
        layer.apply(db, Pay("ann", 5000))
    except InsufficientFunds as error:
        gone = weakref.ref(error)
    assert gone() is None


@pytest.mark.parametrize("options", [{"verify": 1.0}, {"journal": True}], ids=["decided twice", "journaled"])
def test_also_where_more_is_made_of_it(memory: Any, options: dict[str, Any]) -> None:
    layer = Layer(Wallet(), Subspace(("wallets",)), **options)
    try:
        layer.apply(memory, Pay("ann", 5000))
    except InsufficientFunds as error:
        gone = weakref.ref(error)
    assert gone() is None


async def test_also_under_asyncio(memory: Any) -> None:
    layer = Layer(Wallet(), Subspace(("wallets",)))
    try:
        await aio.run(layer.apply, memory, Pay("ann", 5000))
    except InsufficientFunds as error:
        gone = weakref.ref(error)
    assert gone() is None
