"""Remembers what a transaction has emitted beside its writes, where a dropped attempt leaves it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.keys import INCOMPLETE, pack_element
from phasm_fdb.outbox import IdRow, Outbox, StampedWrites, TransactionStamps

NET = "callers"

_emit, _remove = Outbox.emit, Outbox.remove


def holds(self: TransactionStamps, read_version: int) -> bool:
    return self._read_version == read_version


def emit(self: Outbox, at: StampedWrites, action: Any, raw: Any, lanes: int, now_ms: Any = None) -> None:
    _emit(self, at, action, raw, lanes, now_ms)
    packed = pack_element(action.id)
    place = at.staged.read(self._keys.id_row(packed))
    if place is not None:
        at.stamps.__dict__.setdefault("before", {})[packed] = IdRow.decode(place)[:2]


def remove(self: Outbox, at: StampedWrites, id: Any) -> bool:
    packed = pack_element(id)
    place = at.staged.read(self._keys.id_row(packed))
    if place is not None and at.stamps.__dict__.get("before", {}).get(packed) == IdRow.decode(place)[:2]:
        at.staged._reads[self._keys.location_row(packed)] = INCOMPLETE
    return _remove(self, at, id)


@contextmanager
def undone() -> Iterator[None]:
    with (
        mock.patch.object(TransactionStamps, "holds", holds),
        mock.patch.object(Outbox, "emit", emit),
        mock.patch.object(Outbox, "remove", remove),
    ):
        yield
