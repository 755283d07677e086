"""Long work leaves no threads, descriptors and memory behind; `scripts/resources.py` does 200 times as much of it."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from scripts import resources
from scripts.resources import STORES, Place, Work, check

COUNTS = {"applies": 1_000, "opens": 40, "workers": 8}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", COUNTS)
def test_work_leaves_nothing_behind(name: str, store: str) -> None:
    grown, _ = check(name, store, COUNTS[name])
    assert grown == []


class Leaking:
    """Leaves something behind, each time."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.kept: list[Any] = []
        self.over = threading.Event()

    def work(self, place: Place) -> Work:
        def one() -> None:
            if self.kind == "thread":
                self.kept.append(threading.Thread(target=self.over.wait, name="forgotten"))
                self.kept[-1].start()
            elif self.kind == "file":
                self.kept.append((place.folder / "forgotten").open("w"))
            else:
                self.kept.append(bytes(10_000 if self.kind == "memory" else 17))

        return lambda count: [one() for _ in range(count)] and None

    def end(self) -> None:
        self.over.set()
        for one in self.kept:
            if self.kind == "thread":
                one.join()
            elif self.kind == "file":
                one.close()


@pytest.fixture(params=["thread", "file", "memory"])
def leaking(request: pytest.FixtureRequest) -> Iterator[Leaking]:
    made = Leaking(request.param)
    yield made
    made.end()


def test_what_is_left_behind_is_found(leaking: Leaking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(resources.WORKS, "leaks", (leaking.work, 1))
    (grown, *_), _ = check("leaks", "memory", 100)
    expected = {"thread": "100 more of forgotten", "file": "/forgotten", "memory": "bytes more in memory"}
    assert grown.endswith(expected[leaking.kind])


def test_fifty_bytes_each_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    leaking = Leaking("a little memory")
    monkeypatch.setitem(resources.WORKS, "leaks", (leaking.work, 1))
    (grown,), _ = check("leaks", "memory", 10_000)
    assert sys.getsizeof(leaking.kept[0]) == 50
    assert grown.endswith("bytes more in memory")


def test_what_the_database_holds_is_found_wherever_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are in the log alone, and those for which a file has room."""

    def fill(place: Place) -> Work:
        db = place.open("fill")
        numbers = itertools.count()
        db[b"room"] = bytes(90_000)

        def work(count: int) -> None:
            db.clear(b"room")
            for number in itertools.islice(numbers, count):
                db[b"%d" % number] = bytes(2_000)

        return work

    monkeypatch.setitem(resources.WORKS, "fill", (fill, 1))
    (grown,), _ = check("fill", "file", 200)
    assert grown.endswith("bytes more on disk")


@pytest.mark.parametrize("turn", [1, 2])
def test_what_happens_once_is_no_growth(turn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is made larger, in whichever half."""
    kept: list[Any] = []

    def once(place: Place) -> Work:
        turns = itertools.count()
        return lambda count: kept.append(bytes(2_000_000 if next(turns) == turn else 0))

    monkeypatch.setitem(resources.WORKS, "once", (once, 1))
    grown, memory = check("once", "memory", 100)
    assert grown == []
    assert memory > 2_000_000


@pytest.mark.parametrize(("threads", "expected"), [(1, []), (2, ["2 more of phasm-commit"])])
def test_a_helper_may_come_late_but_one_alone(
    threads: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    over, helpers = threading.Event(), list[threading.Thread]()

    def work(place: Place) -> Work:
        turns = itertools.count()

        def start(count: int) -> None:
            for _ in range(threads if next(turns) == 1 else 0):
                helpers.append(threading.Thread(target=over.wait, name="phasm-commit"))
                helpers[-1].start()

        return start

    monkeypatch.setitem(resources.WORKS, "late", (work, 1))
    grown, _ = check("late", "memory", 1)
    over.set()
    for helper in helpers:
        helper.join()
    assert grown == expected


def test_the_script_says_how_it_went(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(resources, "WORKS", {"nothing": (lambda place: lambda count: None, 1_000)})
    assert resources.main(["--share", "0.01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["10", "nothing", store] for store in STORES]
    assert all("nothing left behind" in line for line in lines)
    leaking = Leaking("memory")
    monkeypatch.setattr(resources, "WORKS", {"leaks": (leaking.work, 100)})
    assert resources.main([]) == 1
    assert "bytes more" in capsys.readouterr().out
