"""The outside world of the dentist: a payment provider, faked, that behaves as a real one does.

It has a database of its own and outlives the processes that call it. It keeps its answers by idempotency key: a
repeated call gets the first answer and has no effect. It keeps one hold for each reference: a call that comes late,
under another key, finds the one that is there.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from layers.dentist_booking.types import Authorized, Declined, NotFound, Released, TrackedResult

HELD, DECLINED, RELEASED = "held", "declined", "released"

_SCHEMA = """
create table if not exists holds (
    reference text primary key, cents integer, status text, authorized integer, released integer
);
create table if not exists answers (key text primary key, status text, cents integer);
create table if not exists calls (number integer primary key, what text, key text, reference text);
"""


@dataclass(frozen=True)
class Hold:
    """What the provider's books say about one reference.

    Attributes:
        cents: the amount.
        status: `held`, `declined` or `released`.
        authorized, released: how often money was really held and freed.
    """

    cents: int
    status: str
    authorized: int
    released: int


def reference(request: int) -> str:
    """What the provider knows the payment of a request by."""
    return f"request-{request}"


def declines_some(reference: str) -> bool:
    """The default judgement of cards: about 15 of 100 are declined, always the same ones."""
    return hashlib.sha256(reference.encode()).digest()[0] >= 256 * 0.85


class PaymentProvider:
    """Holds money on cards and frees it.

    Args:
        path: the file of its database, shared by all processes that call it; in memory if left out.
        declines: whether the card behind a reference is declined; asked once for each.
    """

    def __init__(self, path: str | Path = ":memory:", declines: Callable[[str], bool] = declines_some) -> None:
        self._declines = declines
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.executescript(f"pragma journal_mode = wal; pragma synchronous = off; {_SCHEMA}")

    def close(self) -> None:
        """Close its database."""
        self._db.close()

    # ------------------------------------------------------------------------------------------- calls

    def authorize(self, key: str, reference: str, cents: int) -> TrackedResult:
        """Hold money, once for each reference.

        Args:
            key: the idempotency key of the call.
            reference: the caller's own name for the payment.
        """
        with self._call("authorize", key, reference) as answered:
            if answered is not None:
                return answered
            if self._hold(reference) is None:
                status = DECLINED if self._declines(reference) else HELD
                self._db.execute(
                    "insert into holds values (?, ?, ?, ?, 0)", (reference, cents, status, int(status == HELD))
                )
            return self._answer(key, reference)

    def release(self, key: str, reference: str) -> TrackedResult:
        """Free what is held for a reference; after that nothing can be held for it any more."""
        with self._call("release", key, reference) as answered:
            if answered is not None:
                return answered
            self._db.execute("insert or ignore into holds values (?, 0, ?, 0, 0)", (reference, RELEASED))
            self._db.execute(
                "update holds set status = ?, released = released + 1 where reference = ? and status = ?",
                (RELEASED, reference, HELD),
            )
            return self._answer(key, reference)

    def status(self, reference: str) -> TrackedResult:
        """What became of a reference."""
        with self._call("status", "", reference):
            return _result(self._hold(reference))

    @contextmanager
    def _call(self, what: str, key: str, reference: str) -> Iterator[TrackedResult | None]:
        """One transaction of the provider; gives the answer of the key's first call, if this is not the first."""
        self._db.execute("begin immediate")
        try:
            self._db.execute("insert into calls (what, key, reference) values (?, ?, ?)", (what, key, reference))
            row = self._db.execute("select status, cents from answers where key = ?", (key,)).fetchone()
            yield None if row is None else _result(Hold(row[1], row[0], 0, 0))
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def _answer(self, key: str, reference: str) -> TrackedResult:
        hold = self._hold(reference)
        assert hold is not None, f"the call {key!r} left nothing for {reference!r}"
        self._db.execute("insert into answers values (?, ?, ?)", (key, hold.status, hold.cents))
        return _result(hold)

    def _hold(self, reference: str) -> Hold | None:
        row = self._db.execute(
            "select cents, status, authorized, released from holds where reference = ?", (reference,)
        ).fetchone()
        return None if row is None else Hold(*row)

    # ------------------------------------------------------------------------------------------- books

    def books(self) -> dict[str, Hold]:
        """All holds by reference."""
        rows = self._db.execute("select reference, cents, status, authorized, released from holds order by reference")
        return {reference: Hold(*rest) for reference, *rest in rows}

    def calls(self) -> int:
        """How often it was called, repetitions included."""
        return int(self._db.execute("select count(*) from calls").fetchone()[0])


def _result(hold: Hold | None) -> TrackedResult:
    if hold is None:
        return NotFound()
    if hold.status == HELD:
        return Authorized(hold.cents)
    return Declined("insufficient funds") if hold.status == DECLINED else Released()
