"""A keyspace belongs to one machine of one format: everything else is refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from phasm_fdb import (
    KeyspaceError,
    Layer,
    Subspace,
)
from tests.machines import (
    Deposit,
    Job,
    Queue,
    Wallet,
)
from tests.reading import everything


def test_two_layers_on_overlapping_subspaces_are_refused(db: Any, subspace: Subspace) -> None:
    outer, inner = Layer(Wallet(), subspace["a"]), Layer(Queue(), subspace["a"]["b"])
    outer.apply(db, Deposit("ann", 1))
    with pytest.raises(KeyspaceError, match="lies inside that of the layer Wallet"):
        inner.apply(db, Job("x"))
    outer, inner = Layer(Wallet(), subspace["c"]), Layer(Queue(), subspace["c"]["d"])
    inner.apply(db, Job("x"))
    with pytest.raises(KeyspaceError, match="holds data that is not this layer's"):
        outer.apply(db, Deposit("ann", 1))


def test_a_keyspace_of_another_machine_is_refused(db: Any, subspace: Subspace) -> None:
    Layer(Wallet(), subspace).apply(db, Deposit("ann", 1))
    before = everything(db, subspace)
    for use in (
        lambda layer: layer.apply(db, Job("x")),
        lambda layer: list(layer.pending(db)),
        lambda layer: layer.view(db),
    ):
        with pytest.raises(KeyspaceError, match="belongs to the machine Wallet, and was opened for Queue"):
            use(Layer(Queue(), subspace))
    assert everything(db, subspace) == before


def test_a_keyspace_that_something_else_wrote_is_refused(db: Any, subspace: Subspace) -> None:
    db[subspace.pack(("m",))] = b"something"
    with pytest.raises(KeyspaceError, match="something else uses it"):
        Layer(Wallet(), subspace).apply(db, Deposit("ann", 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2, "new": "field"}, "has format 2, and this version of phasm-fdb reads up to 1: upgrade"),
        ({"schema": 2}, "has schema version 2, and this Wallet has 1: upgrade this process"),
    ],
)
def test_a_newer_format_or_schema_is_refused(db: Any, subspace: Subspace, change: Any, message: str) -> None:
    import msgpack

    layer = Layer(Wallet(), subspace)
    layer.apply(db, Deposit("ann", 1))
    meta = subspace.pack(("m",))
    db[meta] = msgpack.packb({**msgpack.unpackb(bytes(db[meta])), **change})
    with pytest.raises(KeyspaceError, match=message):
        layer.apply(db, Deposit("ann", 1))


def test_reading_an_empty_keyspace_creates_nothing(db: Any, wallets: Layer, subspace: Subspace) -> None:
    assert list(wallets.pending(db)) == []
    assert wallets.view(db).balance.get("ann") is None
    wallets.check(db)
    assert everything(db, subspace) == {}
