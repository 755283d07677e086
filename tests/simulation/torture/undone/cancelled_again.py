"""Remembers what a transaction has emitted beside its writes, where a dropped attempt leaves it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb import outbox
from phasm_fdb.database.staged import Staged
from phasm_fdb.keys import INCOMPLETE, pack_element
from phasm_fdb.outbox import Outbox, TransactionStamps

NET = "callers"

_emit, _remove = Outbox.emit, Outbox.remove


def holds(self: TransactionStamps, read_version: int) -> bool:
    return self._read_version == read_version


def emit(
    self: Outbox, staged: Staged, stamps: TransactionStamps, action: Any, raw: Any, lanes: int, now_ms: Any = None
) -> None:
    _emit(self, staged, stamps, action, raw, lanes, now_ms)
    packed = pack_element(action.id)
    place = staged.read(self._keys.id_row(packed))
    if place is not None:
        stamps.__dict__.setdefault("before", {})[packed] = outbox.place_of(place)[:2]


def remove(self: Outbox, staged: Staged, stamps: TransactionStamps, id: Any) -> bool:
    packed = pack_element(id)
    place = staged.read(self._keys.id_row(packed))
    if place is not None and stamps.__dict__.get("before", {}).get(packed) == outbox.place_of(place)[:2]:
        staged._reads[self._keys.location_row(packed)] = INCOMPLETE
    return _remove(self, staged, stamps, id)


@contextmanager
def undone() -> Iterator[None]:
    with (
        mock.patch.object(TransactionStamps, "holds", holds),
        mock.patch.object(Outbox, "emit", emit),
        mock.patch.object(Outbox, "remove", remove),
    ):
        yield
