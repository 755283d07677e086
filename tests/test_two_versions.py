"""Two versions of an application's code in two processes on one file, as they run side by side during a deploy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: The application. `#new` is in the text of the later version alone.
SHOP = """
import asyncio, enum, sys
from dataclasses import dataclass, field

import phasm_fdb
from phasm_fdb import Handlers, Layer, Map, NewerValue, State, StateMachine, Tracked, TrackedActionCompleted, Worker

class Kind(enum.Enum):
    PLAIN = "plain"
    LARGE = "large"  #new

@dataclass(frozen=True)
class Order:
    item: str
    kind: Kind = Kind.PLAIN
    gift: bool = False  #new
    tags: list[str] = field(default_factory=list)  #new

@dataclass(frozen=True)  #new
class Refund:  #new
    id: int  #new

@dataclass(frozen=True)
class Ship:
    id: int
    express: bool = False  #new

@dataclass(frozen=True)
class Shipped:
    pass

class ShopState(State):
    orders = Map(int, Order)
    shipped = Map(int, str)

class Shop(StateMachine):
    State, TrackedAction, TrackedResult = ShopState, Ship, Shipped
    Input = Order
    Input = Order | Refund  #new

    def stf(self, state, input, actions):
        if isinstance(input, TrackedActionCompleted):
            state.shipped[input.id] = state.orders[input.id].item
            return
        id = 1 + sum(1 for _ in state.orders)
        if isinstance(input.payload, Refund): return "refunded"  #new
        state.orders[id] = input.payload
        actions.add(Tracked(id, Ship(id)))
        return id

shop = Layer(Shop(), ("shop",), lanes=1)
db = phasm_fdb.open("embedded:" + sys.argv[1])
handlers = Handlers()

@handlers.on(Ship)
async def ship(action, attempt):  # on the loop: threads would mix their prints
    print("ships", action)
    return Shipped()

async def work(until):
    async with Worker(db, shop, handlers):
        while not until():
            await asyncio.sleep(0.02)

def try_to(act):
    try:
        print(act())
    except NewerValue as error:
        print("NewerValue:", str(error).rpartition(": ")[2])
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str, str], list[str]]:
    """Runs some lines with the old or the new code, in a process of its own; what it prints."""
    new = SHOP.replace("  #new", "")
    old = "".join(line for line in SHOP.splitlines(keepends=True) if "#new" not in line)
    texts = {"old": old, "new": new}

    def run(version: str, lines: str) -> list[str]:
        script = tmp_path / f"{version}.py"
        script.write_text(texts[version] + lines)
        done = subprocess.run(
            [sys.executable, script, tmp_path / "shop.phasm"], capture_output=True, text=True, cwd=ROOT, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_a_new_field_is_deployed_first_and_set_later(run: Callable[[str, str], list[str]]) -> None:
    assert run("old", "print(shop.apply(db, Order('tea'), request_id='r').reply)") == ["1"]
    # First the new field, which nothing sets: both read what either writes.
    assert run("new", "print(shop.view(db).orders[1], shop.apply(db, Order('milk')).reply)") == [
        "Order(item='tea', kind=<Kind.PLAIN: 'plain'>, gift=False, tags=[]) 2"
    ]
    assert run("old", "print(shop.view(db).orders[2].item, [one.action for one in shop.pending(db)])") == [
        "milk [Ship(id=1), Ship(id=2)]"
    ]
    done = "\nasyncio.run(work(lambda: len(list(shop.view(db).shipped)) == 2))"
    assert run("old", done) == ["ships Ship(id=1)", "ships Ship(id=2)"]
    # Then what sets it, which old code leaves alone.
    assert run("new", "print(shop.apply(db, Order('cake', gift=True)).reply)") == ["3"]
    refuses = "try_to(lambda: shop.view(db).orders[3])\ntry_to(lambda: shop.view(db).orders[2].item)"
    assert run("old", refuses) == ["NewerValue: Order has no field 'gift'", "milk"]
    assert run("new", "\nasyncio.run(work(lambda: 3 in shop.view(db).shipped))\nprint(shop.dead_letters(db))") == [
        "ships Ship(id=3, express=False)",
        "[]",
    ]


def test_a_new_member_and_a_new_type_are_left_to_new_code(run: Callable[[str, str], list[str]]) -> None:
    assert run("new", "shop.submit(db, Order('cake', Kind.LARGE), request_id='large')") == []
    assert run("new", "shop.submit(db, Refund(1), request_id='refund')") == []
    works = "shop.submit(db, Order('tea'), request_id='tea')\nasyncio.run(work(lambda: 1 in shop.view(db).shipped))"
    assert run("old", works + "\nprint(shop.dead_letters(db))") == ["ships Ship(id=1)", "[]"]
    waits = "print(sorted(one.item for one in shop.view(db).orders.values()))"
    assert run("old", waits) == ["['tea']"]
    works = "asyncio.run(work(lambda: len(list(shop.view(db).orders)) == 2))\nprint(shop.view(db).orders[2].kind)"
    assert "Kind.LARGE" in run("new", works)
