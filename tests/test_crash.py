"""The dentist is killed at 50 moments, and in the end everything was done, once."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import phasm_fdb
from layers.dentist_booking import BookingSystem
from layers.dentist_booking.audit import check_books
from layers.dentist_booking.clinic import PRACTICE
from layers.dentist_booking.patients import Patients
from layers.dentist_booking.provider import PaymentProvider
from phasm_fdb import Layer
from phasm_fdb.keyspace import Keyspace
from tests.conformance import cluster_engine

KILLS = 50
LIVES = 100
ARRIVING = 6


def moment(rng: random.Random) -> Callable[[str], bool]:
    """Says when to kill a life: at its so manieth line, or at its so manieth call of the payment provider."""
    word, number = rng.choice([("", rng.randint(1, 12)), ("called", rng.randint(1, 10)), ("answered", 3)])
    remaining = iter(range(number - 1, -1, -1))
    return lambda line: line.startswith(word) and next(remaining, None) == 0


@pytest.fixture(params=["sqlite", pytest.param("cluster", marks=pytest.mark.cluster)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database in which no practice is yet."""
    if request.param == "sqlite":
        yield f"embedded:{tmp_path / 'practice.sqlite'}"
        return
    url = f"fdb:{request.getfixturevalue('cluster_file')}"
    if not cluster_engine.is_scratch():
        pytest.skip("the processes of the practice keep it where a practice of yours would be: use a scratch cluster")
    practice = slice(Keyspace((PRACTICE,)).prefix, Keyspace((PRACTICE,)).end)
    db = phasm_fdb.open(url)
    del db[practice]
    yield url
    del db[practice]


def test_fifty_kills_lose_nothing(database: str, tmp_path: Path) -> None:
    books = tmp_path / "provider.sqlite"
    patients = Patients(database, books, seed=5, practice=PRACTICE)
    layer = Layer(BookingSystem(), (PRACTICE,))
    rng = random.Random(50)
    kills, in_doubt = 0, 0
    db = phasm_fdb.open(database)
    for _ in range(LIVES):
        if kills == KILLS:
            break
        kills += patients.ask(ARRIVING, moment(rng)).killed
        in_doubt += len(layer.restore(db).tracked)
        layer.check(db)
    assert not patients.ask(ARRIVING).killed

    assert kills == KILLS
    assert in_doubt > KILLS, "the kills missed the payments"
    assert len(patients.booked) + len(patients.refused) == patients.asked
    view = layer.view(db)
    assert sorted(patients.booked.values()) == list(view.requests.keys())
    with contextlib.closing(PaymentProvider(books)) as provider:
        check_books(view, provider.books())
    assert list(layer.pending(db)) == []
    layer.check(db)
    if hasattr(db, "close"):  # a cluster's connection has none
        db.close()
