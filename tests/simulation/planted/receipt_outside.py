"""Writes the receipt in a transaction of its own, after that of the input: what comes in between finds none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.actions import Actions
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import run
from phasm_fdb.receipts import Applied, Receipt, Receipts
from phasm_fdb.transition.retrying import OwnTransaction
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "exactly once"

Planted = TheatreWorkload
_run, _write = OwnTransaction.run, Receipts.write


def run_and_write(self: OwnTransaction, db: Any) -> Applied:
    applied = _run(self, db)
    if self._request.check_receipt and not applied.repeated:
        run(db, lambda tr: write_receipt(self._context.receipts, tr, self._request.receipt, applied))
    return applied


def write_receipt(receipts: Receipts, tr: Any, receipt: Receipt | None, applied: Applied) -> None:
    assert receipt is not None, "an input in a transaction of its own has one"
    staged = Staged(tr)
    actions = Actions(encode=receipts._definition.encode_action)
    for action in (*applied.tracked, *applied.untracked):
        actions.add(action)
    _write(receipts, staged, receipt, applied.reply, actions)
    staged.flush(tr)


def write(self: Receipts, staged: Staged, receipt: Receipt, reply: Any, actions: Actions) -> None:
    """Writes nothing: it is done later."""


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(Receipts, "write", write), mock.patch.object(OwnTransaction, "run", run_and_write):
        yield
