"""More pending work than one page: nothing is missed, the order holds, and what only the state knows is found."""

from __future__ import annotations

from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import FDBError, Layer, Subspace, Tracked
from phasm_fdb.database.paging import PagedReader, pages
from phasm_fdb.database.staged import Staged
from tests.machines import Charge, CheckCharge, Deposit, Pay, Wallet


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a few rows, so that a small state has many."""
    from phasm_fdb.outbox import Outbox

    monkeypatch.setattr(Outbox.page, "__defaults__", (20,))
    monkeypatch.setattr(Outbox.timers_page, "__defaults__", (3,))
    monkeypatch.setattr(PagedReader.__init__, "__defaults__", (7,))


@pytest.fixture
def wallets(db: Any, subspace: Subspace) -> Layer:
    layer = Layer(Wallet(), subspace)
    layer.apply(db, Deposit("ann", 10_000))
    for _ in range(120):
        layer.apply(db, Pay("ann", 1))
    return layer


def test_many_pending_actions_come_in_order_over_all_pages(db: Any, wallets: Layer, small_pages: None) -> None:
    assert [one.id for one in wallets.pending(db)] == list(range(1, 121))


def test_restore_over_many_pages(db: Any, wallets: Layer, small_pages: None) -> None:
    assert list(wallets.restore(db)) == [Tracked(id, CheckCharge(id)) for id in range(1, 121)]
    assert next(iter(wallets.pending(db))) == Tracked(1, Charge("ann", 1))


def test_a_page_that_fails_is_read_again_from_its_cursor(memory: Any) -> None:
    for number in range(10):
        memory[b"%d" % number] = b"x"
    failed = set()

    def read(tr: Any, /, *, cursor: bytes | None) -> tuple[list[bytes], bytes | None]:
        rows = [row.key for row in tr.get_range(b"" if cursor is None else cursor + b"\0", b"\xff", limit=3)]
        if cursor not in failed:
            failed.add(cursor)
            raise FDBError(1007)
        return rows, rows[-1] if len(rows) == 3 else None

    assert list(pages(memory, read)) == [b"%d" % number for number in range(10)]
    assert len(failed) == 4


def test_a_scan_outlives_a_transaction() -> None:
    """Each page is a transaction of its own, so a scan may take longer than the five seconds of one."""
    now = [100.0]
    db = phasm_fdb.open("memory:", clock=lambda: now[0])
    for number in range(20):
        db[b"%02d" % number] = b"x"

    def scan(rows: Any) -> list[bytes]:
        seen = []
        for key, _ in rows:
            seen.append(key)
            now[0] += 1.0
        return seen

    expected = [b"%02d" % number for number in range(20)]
    assert scan(Staged(PagedReader(db, 3)).rows(b"", b"\xff")) == expected
    assert scan(Staged(PagedReader(db, 3)).rows(b"", b"\xff", reverse=True)) == expected[::-1]
    assert scan(Staged(PagedReader(db, 3)).rows(b"", b"\xff", limit=7)) == expected[:7]
    tr = db.create_transaction()
    tr.get(b"00").wait()
    now[0] += 6
    with pytest.raises(FDBError) as caught:
        tr.get(b"01").wait()
    assert caught.value.code == 1007, "which is why"
