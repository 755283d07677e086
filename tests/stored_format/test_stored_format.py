"""A database that an earlier release wrote opens, reads the same, and goes on.

`written_at_COMMIT.phasm.xz` was written by `make.py` with the code of that commit, and holds a row of every kind of
`phasm_fdb/keyspace.py`; there is one for each format of the file. What `make.py` writes with today's code is held to
the same.
"""

from __future__ import annotations

import asyncio
import lzma
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import InputFailed, InputRejected, StaleCompletion, Tracked
from phasm_fdb.database.ranges import rows
from phasm_fdb.embedded import sqlite_format
from phasm_fdb.keys import unpack
from phasm_fdb.runtime import Worker
from tests.runtime.virtual import EPOCH, InlineExecutor, VirtualLoop
from tests.stored_format import make
from tests.stored_format.depot import (
    Break,
    Buy,
    Limit,
    Order,
    Print,
    Road,
    Sea,
    Shelf,
    Ship,
    Shipped,
    Size,
    Status,
    Stock,
)
from tests.stored_format.make import BUYER, LARGE_TEXT, PLAIN, SUBSPACE

HERE = Path(__file__).parent
#: The format of each file.
KEPT = {"written_at_80c6ef9.phasm.xz": 1, "written_at_8edc47b.phasm.xz": 2}
WRITTEN_NOW = "written now"

#: When the file is opened again: the versions of its last second can still be read then.
LATER = EPOCH + 7.5

KINDS = {
    **{"m": 1, "z": 1, "jn": 1, "s": 56, "b": 2, "a": 8, "n": 2, "t": 3, "q": 3, "d": 2, "i": 10, "v": 8, "g": 3},
    **{"x": 1, "r": 27, "e": 24, "l": 3, "w": 1, "c": 1, "k": 5, "u": 7, "j": 38, "js": 3},
}
#: What today's code writes in place of the older forms.
KINDS_NOW = {kind: rows for kind, rows in KINDS.items() if kind != "u"} | {"o": 7, "e": 23, "y": 2, "f": 2}


class Kept:
    """A copy of the file, opened with today's code, on virtual time.

    Args:
        format: of the file.
    """

    def __init__(self, path: Path, format: int) -> None:
        self.path = path
        self.format = format
        self.loop = VirtualLoop()
        self.chance = random.Random(12)
        self.depot = make.layer(self.clock, self.chance)
        self.db = self.open()

    def clock(self) -> float:
        return LATER + self.loop.time()

    def open(self, **options: Any) -> Any:
        return phasm_fdb.open(
            f"embedded:{self.path}?synchronous=normal",
            poll_seconds=None,
            wall_clock=self.clock,
            clock=self.loop.time,
            sleep=self.loop.jump,
            random=self.chance.random,
            call_later=self.loop.call_later,
            **options,
        )

    @property
    def state(self) -> Any:
        return self.depot.view(self.db)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)


@pytest.fixture(params=[*KEPT, WRITTEN_NOW])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    path = tmp_path / "kept.phasm"
    if request.param == WRITTEN_NOW:
        make.make(path)
    else:
        path.write_bytes(lzma.decompress((HERE / request.param).read_bytes()))
    kept = Kept(path, KEPT.get(request.param, sqlite_format.FORMAT_VERSION))
    yield kept
    kept.db.close()
    kept.loop.close()


def order(item: str, count: int, status: Status = Status.OPEN, way: Road | Sea | None = None, *lines: int) -> Order:
    return Order(item, count, status, way, lines)


ORDERS = {
    1: order("nut", 2, Status.SHIPPED, Road(12.5), 1, 2),
    2: order("nail", 3, Status.OPEN, Sea(("Hull", "Oslo"))),
    3: order("nail", 1),
    4: order("nut", 5, Status.SHIPPED),
    5: order("nut", 5, Status.FAILED),
    **{number: order("nut", 5) for number in (6, 7, 8)},
    **{number: order("nut", 1) for number in (9, 10, 11)},
}
EVENTS = ["500 nut", "90 bolt", "10 bolt", "7 nail", "1 queued", "2 queued", "3 queued"]


def kinds(db: Any) -> dict[str, int]:
    """How many rows there are of each kind of the keyspace."""
    tr = db.create_transaction()
    found: Counter[str] = Counter()
    prefix = bytes(SUBSPACE.key())
    for key, _ in rows(tr, prefix, prefix + b"\xff"):
        (kind,) = unpack(key[len(prefix) :].partition(b"\0")[0] + b"\0")
        found[str(kind)] += 1
    return dict(found)


def test_it_holds_a_row_of_every_kind(kept: Kept) -> None:
    assert kinds(kept.db) in (KINDS, KINDS_NOW)


def test_the_state_reads_the_same(kept: Kept) -> None:
    state = kept.state
    assert dict(state.stock.items()) == {"bolt": 100, "nail": 3, "nut": 470, "queued": 6}
    assert dict(state.shelves.items()) == {
        Shelf(1, Size.SMALL, "a"): ["bolt", "bolt"],
        Shelf(1, Size.LARGE, "b"): ["nut"],
    }
    assert dict(state.orders.items()) == ORDERS
    assert [list(state.by_status.keys(status)) for status in Status] == [[2, 3, 6, 7, 8, 9, 10, 11], [1, 4], [5]]
    assert list(state.by_item.keys(("nut", 1))) == [9, 10, 11]
    assert list(state.tickets.values()) == ["one", "two"]
    assert dict(state.keyed.items()) == {("soon", True, 1.5, None): {"soon": 1_700_000_002_000}}
    assert dict(state.documents.items()) == {"book": LARGE_TEXT, "letter": "short", "shrunk": "no longer large"}
    assert (state.limit.get(), state.last.get()) == (200, order("nut", 1))
    assert (state.next_order.get(), state.moved.get()) == (11, 613)
    assert list(state.events) == EVENTS
    kept.depot.check(kept.db)


def test_the_plain_rows_and_their_last_versions_read_the_same(kept: Kept) -> None:
    db = kept.db
    tr = db.create_transaction()
    now = tr.get_read_version().wait()
    found = [(bytes(row.key), bytes(row.value)) for row in tr.get_range_startswith(PLAIN)]
    assert found == [
        (PLAIN + b"a2", b"cleared by the next one"),
        (PLAIN + b"before", b"of the caller"),
        (PLAIN + b"history", b"2"),
    ]
    tr = db.create_transaction()
    tr.set_read_version(now - 500_000)
    assert [bytes(row.value) for row in tr.get_range_startswith(PLAIN + b"h")] == [b"1"]
    assert [bytes(row.key) for row in tr.get_range(PLAIN + b"a", PLAIN + b"b")] == [PLAIN + b"a1"]
    tr[PLAIN + b"late"] = b""
    with pytest.raises(phasm_fdb.FDBError) as caught:
        tr.commit().wait()  # the range that it read was cleared by a commit of the history
    assert caught.value.code == 1020


def test_a_repeated_request_id_gives_the_first_outcome(kept: Kept) -> None:
    depot, db = kept.depot, kept.db
    before = kinds(db)
    other = Stock("nothing", 0)
    tickets = list(kept.state.tickets.keys())

    def repeat(request_id: Any) -> Any:
        applied = depot.apply(db, other, request_id=request_id)
        assert applied.repeated
        return applied

    assert [repeat(id).reply for id in ("stock-1", ("stock", 2), b"letter", BUYER, "nails")] == [500, 90, None, None, 7]
    first = repeat("buy-1")
    assert (first.reply, first.tracked) == (1, (Tracked(1, Ship(1, "ship")),))
    assert first.untracked == (), "these are handed out once"
    assert repeat("keyed").tracked == (Tracked(10, Ship(10, "ship"), ordering_key="k"),)
    assert repeat("delayed").tracked == (Tracked(11, Ship(11, "ship"), after=600.0),)
    assert repeat("ticket-1").tracked == (Tracked(tickets[0], Print("one")),)
    assert repeat("ticket-2").tracked == (Tracked(tickets[1], Print("two")),)
    assert [repeat(("submitted", number)).reply for number in range(3)] == [1, 3, 6]
    with pytest.raises(InputRejected, match=r"Empty: .*nothing"):
        repeat("refused")
    with pytest.raises(InputFailed, match="ZeroDivisionError: a bug: early"):
        repeat("broken")
    assert kinds(db) == before
    assert dict(kept.state.stock.items()) == {"bolt": 100, "nail": 3, "nut": 470, "queued": 6}


def test_what_was_refused_to_its_caller_left_its_request_id_unused(kept: Kept) -> None:
    assert kept.depot.apply(kept.db, Stock("bolt", 1), request_id="too many").reply == 101


def test_the_pending_actions_and_dead_letters_are_the_same(kept: Kept) -> None:
    tickets = list(kept.state.tickets.keys())
    assert list(kept.depot.pending(kept.db)) == [
        Tracked(tickets[0], Print("one")),
        Tracked(6, Ship(6, "later"), ordering_key="k"),
        Tracked(7, Ship(7, "ship"), ordering_key="k"),
        Tracked(8, Ship(8, "long")),
        Tracked(9, Ship(9, "ship")),
        Tracked(10, Ship(10, "ship"), ordering_key="k"),
        Tracked(11, Ship(11, "ship"), at=1_700_000_605_100),
        Tracked(tickets[1], Print("two")),
    ]
    broken, lost = kept.depot.dead_letters(kept.db)
    assert (broken.kind, broken.id, broken.payload, broken.ordering_key) == ("input", "broken", Break("early"), None)
    assert (broken.attempts, broken.cause, broken.at) == (1, "ZeroDivisionError: a bug: early", 1_700_000_000_000)
    assert (lost.kind, lost.id, lost.payload, lost.ordering_key) == ("action", 3, Ship(3, "never"), None)
    assert (lost.attempts, lost.cause, lost.at) == (1, "OSError: there is no such road", 1_700_000_000_000)


def test_the_journal_replays_to_the_same(kept: Kept) -> None:
    for since, applied in ((None, 33), ("latest", 23)):
        report = kept.depot.replay(kept.db, since)
        assert report.differences == []
        assert (report.applied, report.refused) == (applied, 2)


def test_it_goes_on(kept: Kept) -> None:
    """Every door of the layer, then a worker that finds what one of then had left behind when it was killed."""
    depot, db = kept.depot, kept.db
    tickets = list(kept.state.tickets.keys())
    assert depot.apply(db, Stock("nut", 30), request_id="now").reply == 500
    assert depot.apply(db, Stock("nut", 30), request_id="now").repeated
    assert depot.apply(db, Buy(order("bolt", 100))).reply == 12
    depot.complete(db, 12, Shipped("#12"))
    with pytest.raises(StaleCompletion):
        depot.complete(db, 1, Shipped("#1"))
    depot.complete(db, tickets[0], Shipped("printed"))
    depot.apply(db, Limit(2000))
    for letter in depot.dead_letters(db):
        assert depot.requeue(db, letter.stamp)
    depot.complete(db, 3, Shipped("by hand"))
    kept.run(work(kept, lambda: Status.OPEN not in kept.state.by_status and len(list(kept.state.keyed)) == 3))

    state = kept.state
    assert dict(state.stock.items()) == {"bolt": 0, "nail": 3, "nut": 500, "queued": 15}
    # Order 2 was cancelled, and is open all the same: `restore` has it shipped when it is asked about what is in doubt.
    assert [list(state.by_status.keys(status)) for status in Status] == [[], [1, 2, 3, 4, *range(6, 13)], [5]]
    assert list(state.tickets.values()) == ["one Shipped(number='printed')", "two"]
    assert [key[0] for key in state.keyed] == ["late", "late and keyed", "soon"]
    assert sorted(state.events) == sorted(
        [*EVENTS, "30 nut", "4 queued", "5 queued", "mended early", "mended late"],
    )
    assert list(depot.pending(db)) == [Tracked(tickets[1], Print("two"))]
    assert depot.dead_letters(db) == []
    assert depot.apply(db, Stock("queued", 0), request_id=("submitted", 4)).reply == 15
    assert depot.apply(db, Stock("", 0), request_id="broken").reply == "mended early"
    for since in (None, "latest"):
        assert depot.replay(db, since).differences == []
    left = kinds(db)
    assert not {"z", "c", "w", "n", "t", "q", "d", "x"} & left.keys()


async def work(kept: Kept, until: Callable[[], bool]) -> None:
    """Run a worker until it has done what there is, and a sweep."""
    worker = Worker(
        *(kept.db, kept.depot, make.handlers(), "today"),
        clock=kept.clock,
        chance=random.Random(3),
        executor=InlineExecutor(),
    )
    async with worker:
        begun = kept.loop.time()
        while not until():
            assert kept.loop.time() - begun < 10_000, "the worker does not come to an end"
            await asyncio.sleep(1.0)
    kept.depot.sweep(kept.db)


def format_of(path: Path) -> int:
    """The version of the format of a closed file."""
    return int.from_bytes(path.read_bytes()[60:64], "big")


def test_it_opens_again_and_again(kept: Kept) -> None:
    """Whatever today's code makes of the file, it reads that too; and an older release reads what it had written."""
    assert format_of(kept.path) == kept.format
    for number in range(3):
        kept.depot.apply(kept.db, Stock("nut", 1), request_id=("again", number))
        kept.db.close()
        kept.loop.jump(4.0)
        kept.db = kept.open(check=True)
        assert kept.state.stock["nut"] == 471 + number
        assert kept.depot.replay(kept.db).differences == []
    assert make.layer(kept.clock, kept.chance).apply(kept.db, Stock("", 0), request_id="buy-1").reply == 1
    assert format_of(kept.path) == kept.format


def test_a_file_of_every_format_is_kept() -> None:
    assert {path.name for path in HERE.glob("*.phasm.xz")} == KEPT.keys()
    assert set(KEPT.values()) == set(sqlite_format.READ_VERSIONS)
