"""A transition is decided while the meta row and the receipt are on their way; what they say counts all the same."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from phasm_fdb import KeyspaceError, Layer, StaleCompletion, Subspace
from tests.machines import Charged, Crash, Deposit, InsufficientFunds, Pay, Wallet
from tests.reading import everything
from tests.slow import Slow

SPACE = Subspace(("wallets",))


@pytest.fixture
def slow(memory: Any) -> Slow:
    return Slow(memory)


@pytest.fixture
def layer(slow: Slow) -> Layer:
    """A layer that has seen its meta row once, and so can guess it."""
    layer = Layer(Wallet(), SPACE)
    layer.apply(slow, Deposit("ann", 500))
    layer.apply(slow, Deposit("ann", 500))
    return layer


def test_no_read_of_the_layer_is_awaited_before_those_of_the_machine(slow: Slow, layer: Layer) -> None:
    slow.waits.clear()
    layer.apply(slow, Deposit("ann", 1), request_id="r")
    assert slow.waits[0] == layer.view(slow).balance._row("ann")


def test_a_repeat_is_found_though_the_machine_decided_it_again(slow: Slow, layer: Layer, memory: Any) -> None:
    first = layer.apply(slow, Pay("ann", 600), request_id="r")
    before = everything(memory, SPACE)
    again = layer.apply(slow, Pay("ann", 600), request_id="r")
    assert (again.reply, again.tracked, again.repeated) == (first.reply, first.tracked, True)
    assert everything(memory, SPACE) == before


def test_a_repeat_is_found_though_the_machine_now_refuses(slow: Slow, layer: Layer) -> None:
    first = layer.apply(slow, Pay("ann", 1000), request_id="r")
    assert layer.apply(slow, Pay("ann", 1000), request_id="r").reply == first.reply
    with pytest.raises(InsufficientFunds):
        layer.apply(slow, Pay("ann", 1000), request_id="other")


def test_refusals_bugs_and_stale_results_are_raised_and_leave_nothing(slow: Slow, layer: Layer, memory: Any) -> None:
    before = everything(memory, SPACE)
    for payload, error in ((Pay("ann", 5000), InsufficientFunds), (Crash("ann"), ZeroDivisionError)):
        with pytest.raises(error):
            layer.apply(slow, payload, request_id="r")
    with pytest.raises(StaleCompletion):
        layer.complete(slow, 7, Charged("x"))
    assert everything(memory, SPACE) == before


def test_a_meta_row_that_has_changed_counts(slow: Slow, layer: Layer, memory: Any) -> None:
    row = SPACE.pack(("m",))
    meta = msgpack.unpackb(bytes(memory[row]))
    memory[row] = msgpack.packb({**meta, "lanes": 3})
    layer.apply(slow, Pay("ann", 1))
    assert len(list(layer.pending(slow))) == 1
    assert layer.view(slow).balance["ann"] == 999, "the first decision was dropped with all that it staged"
    memory[row] = msgpack.packb({**meta, "schema": 2})
    before = everything(memory, SPACE)
    for payload in (Deposit("ann", 1), Pay("ann", 5000), Crash("ann")):
        with pytest.raises(KeyspaceError, match="schema version 2"):
            layer.apply(slow, payload)
    assert everything(memory, SPACE) == before


def test_an_empty_keyspace_is_noticed(slow: Slow, layer: Layer, memory: Any) -> None:
    del memory[SPACE.range(())]
    assert layer.apply(slow, Deposit("ann", 1)).reply == 1
    assert SPACE.pack(("m",)) in everything(memory, SPACE)
