"""Long work leaves no threads, descriptors and memory behind; `scripts/resources.py` does 200 times as much of it."""

from __future__ import annotations

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
                self.kept.append(bytes(10_000))

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
