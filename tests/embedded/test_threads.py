"""One transaction used by several threads at once, which FoundationDB's client allows: nothing is lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from phasm_fdb.embedded import open_memory

THREADS, ROUNDS = 8, 60


@pytest.fixture
def often() -> Iterator[None]:
    """Let the interpreter change threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("often")
def test_threads_share_a_transaction() -> None:
    db = open_memory()
    for number in range(ROUNDS):
        db[b"old%02d" % number] = b""
    tr = db.create_transaction()
    failures: list[BaseException] = []
    begin = threading.Barrier(THREADS)

    def work(thread: int) -> None:
        begin.wait()
        try:
            for number in range(ROUNDS):
                _use(tr, thread, number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for started in threads:
        started.start()
    for started in threads:
        started.join()
    assert not failures
    tr.commit().wait()
    assert len(db[b"new":b"nex"]) == THREADS * ROUNDS
    assert int.from_bytes(db[b"sum"], "little") == THREADS * ROUNDS
    assert db[b"old":b"ole"] == []


def _use(tr: Any, thread: int, number: int) -> None:
    key = b"new%d-%02d" % (thread, number)
    tr[key] = b"x"
    tr.add(b"sum", b"\1\0\0\0")
    assert tr[key].value == b"x"
    if number % 5 == 0:
        assert len(list(tr.get_range(b"new%d" % thread, b"new%d" % (thread + 1)))) == number + 1
    tr.clear_range(b"old%02d" % number, b"old%02d" % (number + 1))
    tr.add_read_conflict_key(key)
    tr.snapshot.get(b"other%d" % number)


@pytest.mark.usefixtures("often")
def test_threads_read_one_snapshot() -> None:
    db = open_memory()
    db[b"n"] = b"0"
    for number in range(50):
        tr = db.create_transaction()
        begin = threading.Barrier(3)
        seen: list[int] = []

        def read(tr: Any = tr, begin: threading.Barrier = begin, seen: list[int] = seen) -> None:
            begin.wait()
            seen.append(tr.get_read_version().wait())

        def write(begin: threading.Barrier = begin, number: int = number) -> None:
            begin.wait()
            db[b"n"] = b"%d" % number

        threads = [threading.Thread(target=target) for target in (read, write, read)]
        for started in threads:
            started.start()
        for started in threads:
            started.join()
        assert len(set(seen)) == 1
