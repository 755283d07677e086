"""Transitions a second: two reads and three writes, on every embedded database, with and without receipts.

Also where the time of one transition goes, from a profile of the same work on memory.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import phasm_fdb
from phasm_fdb import Changes, Layer, Map, Normal, State, StateMachine, Subspace, Value
from scripts.benchmarks.measure import collector_paused, count, rate, table

#: What a layer can be asked to do besides, each compared with a plain one.
OPTIONS: dict[str, dict[str, Any]] = {
    "checked": {"checked": True},
    "guard": {"guard": "error"},
    "verify 1 %": {"verify": 0.01},
    "verify all": {"verify": 1.0},
    "journal": {"journal": True},
}
TURN = 20

USERS = 1000
AIM = 15_000


@dataclass(frozen=True)
class Transfer:
    sender: str
    receiver: str
    cents: int


@dataclass(frozen=True)
class Account:
    cents: int
    transfers: int


class BankState(State):
    accounts = Map(str, Account)
    last = Map(str, str)
    limit = Value(int, 1_000_000)


class Bank(StateMachine):
    State = BankState
    Input = Transfer
    Reply = int

    def stf(self, state: Any, input: Any, actions: Any) -> int:
        match input:
            case Normal(Transfer(sender, receiver, cents)):
                one = state.accounts.get(sender) or Account(0, 0)
                other = state.accounts.get(receiver) or Account(0, 0)
                state.accounts[sender] = Account(one.cents - cents, one.transfers + 1)
                state.accounts[receiver] = Account(other.cents + cents, other.transfers + 1)
                state.last[sender] = receiver
                return one.cents - cents

    def check_changes(self, state: Any, changes: Changes) -> None:
        for user, account in state.accounts.get_many(changes.keys("accounts")).items():
            assert account.transfers > 0, f"{user} was changed by no transfer"


def transfer(n: int) -> Transfer:
    return Transfer(f"user {n % USERS}", f"user {(n * 7 + 1) % USERS}", 1)


def transitions(db: Any, place: str = "", settings: dict[str, Any] | None = None) -> dict[str, Callable[[int], object]]:
    """The ways to apply one input that are compared; each works on a subspace of its own under `place`."""
    plain = Layer(Bank(), Subspace((place, "plain")), **settings or {})
    named = Layer(Bank(), Subspace((place, "named")), **settings or {})
    bare = Layer(Bank(), Subspace((place, "bare")), **settings or {})

    @phasm_fdb.transactional
    def inside(tr: Any, payload: Transfer) -> None:
        bare.apply(tr, payload)

    return {
        "no receipt (a caller's transaction)": lambda n: inside(db, transfer(n)),
        "the layer's own receipt": lambda n: plain.apply(db, transfer(n)),
        "receipt of a request id": lambda n: named.apply(db, transfer(n), request_id=f"request {n}"),
    }


def databases(folder: Path) -> dict[str, Any]:
    return {
        "memory": phasm_fdb.open("memory:"),
        "SQLite, synchronous=normal": phasm_fdb.open(f"embedded:{folder / 'normal'}?synchronous=normal"),
        "SQLite, fsync at each commit": phasm_fdb.open(f"embedded:{folder / 'full'}?synchronous=full"),
    }


def costs(seconds: float) -> list[list[str]]:
    """What each option costs in CPU time, measured in many short turns so that whatever else runs slows all alike."""
    db = phasm_fdb.open("memory:")
    works = {name: transitions(db, name, OPTIONS.get(name))["receipt of a request id"] for name in ("plain", *OPTIONS)}
    spent = dict.fromkeys(works, 0.0)
    until = time.perf_counter() + seconds * len(works)
    n = 0
    with collector_paused():
        while time.perf_counter() < until:
            for name, work in works.items():
                started = time.thread_time()
                for one in range(n, n + TURN):
                    work(one)
                spent[name] += time.thread_time() - started
            n += TURN
    plain = spent["plain"]
    return [[name, f"{1e6 * one / n:.1f}", f"{100 * (one / plain - 1):+.1f} %"] for name, one in spent.items()]


def where_the_time_goes(seconds: float) -> list[tuple[str, str]]:
    """The share of each part in a profile; a profile slows small functions most, so read it as an order."""
    work = transitions(phasm_fdb.open("memory:"))["receipt of a request id"]
    profile = cProfile.Profile()
    profile.enable()
    rate(work, seconds)
    profile.disable()
    parts: dict[str, float] = dict.fromkeys(("engine", "codec", "keys", "layer", "stf and state", "other"), 0.0)
    stats: Any = pstats.Stats(profile)
    for (file, _, function), (_, _, own_seconds, _, _) in stats.stats.items():
        parts[part_of(file, function)] += own_seconds
    whole = sum(parts.values())
    return [(part, f"{100 * spent / whole:.0f} %") for part, spent in parts.items()]


def part_of(file: str, function: str) -> str:
    for part, marks in {
        "engine": ("phasm_fdb/embedded/",),
        "codec": ("codec.py", "converter.py", "msgpack", "cattrs"),
        "keys": ("keys.py", "keyspace.py", "fdb/tuple"),
        "stf and state": ("benchmarks/core.py", "phasm_fdb/fields/", "state.py"),
        "layer": ("phasm_fdb/",),
    }.items():
        if any(mark in file or mark in function for mark in marks):
            return part
    return "other"


def run(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/benchmark.py core", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each measurement runs")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        body = []
        for name, db in databases(Path(folder)).items():
            for way, work in transitions(db).items():
                measured, _ = rate(work, options.seconds)
                body.append([name, way, count(measured), f"{1e6 / measured:.0f}", f"{measured / AIM:.2f}"])
    header = ["database", "receipt", "transitions/s", "us each", f"of {AIM:,}/s"]
    table("Transitions of two reads and three writes, one at a time", header, body)
    table("What the safeguards cost (memory)", ["safeguard", "us of CPU each", "more"], costs(options.seconds))
    table(
        "Where the time of a transition goes (memory, profiled)",
        ["part", "share"],
        where_the_time_goes(options.seconds),
    )
