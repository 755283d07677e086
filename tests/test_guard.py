"""The guard: machine code finds every way out closed, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb import (
    Index,
    Layer,
    MachineDefinitionError,
    Map,
    NondeterminismError,
    Normal,
    State,
    StateMachine,
    Subspace,
    Tracked,
    aio,
)
from phasm_fdb.guard import NondeterminismWarning, set_default_mode
from tests import guarded_calls
from tests.guarded_calls import CLOSED, CLOSED_SOMEHOW, OPEN

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Do:
    """Makes the machine call the function of this number."""

    number: int = 0


@dataclass(frozen=True)
class Row:
    number: int


class OutState(State):
    rows = Map(int, Row)
    by_number = Index(rows, int, lambda row: _in_the_index(row))
    done = Map(int, int)


def _in_the_index(row: Row) -> int:
    return int(random.random()) if row.number == 13 else row.number


class Out(StateMachine):
    """Calls what a test gives it, in each of its functions."""

    State = OutState
    Input = Do
    TrackedAction = Do
    TrackedResult = Do
    Reply = str
    schema_version = 1

    def __init__(self, **functions: Callable[[], object]) -> None:
        self.functions = functions

    def call(self, name: str) -> object:
        return self.functions.get(name, int)()

    def stf(self, state: Any, input: Any, actions: Any) -> str:
        state.done.get(1)
        result = self.call("stf")
        state.done[1] = 1
        return type(result).__name__

    def restore(self, state: Any, actions: Any) -> None:
        self.call("restore")

    def check_invariants(self, state: Any) -> None:
        self.call("check_invariants")

    def migrate(self, state: Any, from_version: int) -> bool:
        self.call("migrate")
        return False


class Newer(Out):
    name = "Out"
    schema_version = 2


class AsyncOut(Out):
    async def stf(self, state: Any, input: Any, actions: Any) -> str:
        return await self.deeper(state)

    async def deeper(self, state: Any) -> str:
        state.done.get(1)
        return type(self.call("stf")).__name__


def guarded(machine: StateMachine, mode: Any = "error", **settings: Any) -> Layer:
    return Layer(machine, Subspace(("guarded",)), guard=mode, **settings)


CASES = [(does, function) for does, functions in CLOSED.items() for function in functions]


@pytest.mark.parametrize(("does", "function"), CASES, ids=[f"{does} {n}" for n, (does, _) in enumerate(CASES)])
def test_each_way_out_is_closed(memory: Any, does: str, function: Callable[[], object]) -> None:
    layer = guarded(Out(stf=function))
    with pytest.raises(NondeterminismError, match=does) as caught:
        layer.apply(memory, Do())
    line = function.__code__.co_firstlineno
    assert str(caught.value).startswith("Out.stf calls ")
    assert f"at {guarded_calls.__file__}:" in str(caught.value)
    if function.__name__ == "<lambda>" and does != "starts what runs beside it":
        assert f"{guarded_calls.__file__}:{line}," in str(caught.value) or "Ticket" in function.__code__.co_names
    assert list(layer.view(memory).done) == [], "nothing was written"


@pytest.mark.parametrize("function", CLOSED_SOMEHOW)
def test_ways_out_that_begin_with_another(memory: Any, function: Callable[[], object]) -> None:
    with pytest.raises(NondeterminismError):
        guarded(Out(stf=function)).apply(memory, Do())


@pytest.mark.parametrize("function", OPEN)
def test_what_follows_from_its_arguments_stays_open(memory: Any, function: Callable[[], object]) -> None:
    assert guarded(Out(stf=function)).apply(memory, Do()).reply == type(function()).__name__


def test_the_random_numbers_of_the_input_stay_open(memory: Any) -> None:
    class Dice(Out):
        def stf(self, state: Any, input: Normal[Do], actions: Any) -> str:
            generator = input.random()
            return f"{generator.random()} {generator.choice([1, 2, 3])} {generator.sample(range(99), 3)}"

    one = guarded(Dice()).apply(memory, Do(), request_id="dice").reply
    assert one == Layer(Dice(), Subspace(("other",))).apply(memory, Do(), request_id="dice").reply


@pytest.mark.parametrize("name", ["stf", "restore", "check_invariants", "migrate"])
def test_every_function_of_the_machine_is_guarded(memory: Any, name: str) -> None:
    Layer(Out(), Subspace(("guarded",))).apply(memory, Do())
    layer = guarded(Newer(**{name: time.time_ns}) if name == "migrate" else Out(**{name: time.time_ns}), checked=True)
    with pytest.raises(NondeterminismError, match=rf"{name} calls time.time_ns\(\)"):
        layer.migrate(memory)
        layer.restore(memory)
        layer.check(memory)
        layer.apply(memory, Do())


def test_the_key_function_of_an_index_is_guarded(memory: Any) -> None:
    class Indexing(Out):
        def stf(self, state: Any, input: Any, actions: Any) -> str:
            state.rows[1] = Row(input.payload.number)
            return ""

    layer = guarded(Indexing())
    layer.apply(memory, Do(12))
    with pytest.raises(NondeterminismError, match=r"random.random\(\)"):
        layer.apply(memory, Do(13))


def test_check_changes_is_guarded(memory: Any) -> None:
    class Checking(Out):
        def check_changes(self, state: Any, changes: Any) -> None:
            self.call("check_changes")

    with pytest.raises(NondeterminismError, match=r"Checking.check_changes calls uuid.uuid4\(\)"):
        guarded(Checking(check_changes=uuid.uuid4), checked=True).apply(memory, Do())


def test_coroutine_machines_are_guarded(memory: Any) -> None:
    with pytest.raises(NondeterminismError, match=r"datetime.datetime.now\(\)"):
        guarded(AsyncOut(stf=lambda: datetime.datetime.now())).apply(memory, Do())


def test_the_engine_may_use_clocks_and_files(db: Any, subspace: Subspace) -> None:
    """State reads go to the database from inside `stf`, on every engine."""

    class Reading(Out):
        def stf(self, state: Any, input: Any, actions: Any) -> str:
            if isinstance(input, Normal):
                state.done[input.payload.number] = 1
                actions.add(Tracked(input.payload.number, Do()))
            else:
                del state.done[input.id]
            return str(sum(state.done.values()) + len(list(state.done.keys(limit=2))))

    layer = Layer(Reading(), subspace, guard="error", checked=True)
    assert [layer.apply(db, Do(number)).reply for number in range(3)] == ["2", "4", "5"]
    layer.complete(db, 1, Do(9))
    layer.restore(db)
    layer.check(db)


# ------------------------------------------------------------------------------------------------- the others


def test_other_threads_go_on(memory: Any) -> None:
    """While a machine is in the middle of its transition, the clock of another thread is open."""
    inside, looked = threading.Event(), threading.Event()
    seen: list[float] = []

    def wait_inside() -> None:
        inside.set()
        assert looked.wait(10)

    def look() -> None:
        assert inside.wait(10)
        seen.extend((time.time(), random.random(), datetime.datetime.now().timestamp()))
        with Path(__file__).open() as file:
            seen.append(len(file.readline()))
        looked.set()

    other = threading.Thread(target=look)
    other.start()
    guarded(Out(stf=wait_inside)).apply(memory, Do())
    other.join()
    assert len(seen) == 4


async def test_other_tasks_go_on(memory: Any) -> None:
    """Under aio.run a machine waits for the database in the middle of `stf`; the loop's other tasks run then."""
    reads = SlowReads(memory)
    seen: list[float] = []

    async def look() -> None:
        await reads.begun.wait()
        seen.extend((time.time(), random.random()))
        reads.future.set()

    class Waiting(Out):
        def stf(self, state: Any, input: Any, actions: Any) -> str:
            state.done.get(1)
            return super().stf(state, input, actions)

    machine = Waiting(stf=lambda: seen.append(-1) or time.time())
    looking = asyncio.create_task(look())
    with pytest.raises(NondeterminismError, match=r"time.time\(\)"):
        await aio.run(guarded(machine).apply, reads, Do())
    await looking
    assert len(seen) == 3
    assert seen[-1] == -1, "the machine went on after the other task, still guarded"


class SlowFuture:
    """A future that is ready when it is told to be."""

    def __init__(self, begun: asyncio.Event) -> None:
        self._begun = begun
        self._ready: list[Callable[[Any], None]] = []
        self._is_ready = False

    def is_ready(self) -> bool:
        return self._is_ready

    def on_ready(self, callback: Callable[[Any], None]) -> None:
        self._ready.append(callback)
        self._begun.set()

    def set(self) -> None:
        self._is_ready = True
        for callback in self._ready:
            callback(self)

    def wait(self) -> None:
        return None

    def cancel(self) -> None:
        self.set()


class SlowReads:
    """A database of which the first read of the machine's state waits for a future."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.begun = asyncio.Event()
        self.future = SlowFuture(self.begun)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def create_transaction(self) -> Any:
        tr = self._database.create_transaction()
        get = tr.get

        def slow_get(key: bytes) -> Any:
            return get(key) if self.future.is_ready() or b"done" not in key else self.future

        return Patched(tr, get=slow_get)


class Patched:
    """A transaction with one method replaced."""

    def __init__(self, tr: Any, **methods: Any) -> None:
        self.__dict__.update(methods, _tr=tr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tr, name)


def test_after_the_transition_all_is_open_again(memory: Any) -> None:
    layer = guarded(Out(stf=time.time))
    with pytest.raises(NondeterminismError):
        layer.apply(memory, Do())
    assert time.time() > 0
    assert datetime.datetime.now().year >= 2024
    assert random.choice([1]) == 1
    assert uuid.uuid4() != uuid.uuid4()
    assert os.environ.get("HOME") == os.getenv("HOME")
    assert len(random.Random().getstate()) == 3


# -------------------------------------------------------------------------------------------------- the modes


def test_off_is_the_default_and_lets_everything_through(memory: Any) -> None:
    assert Layer(Out(stf=time.time), Subspace(("a",))).apply(memory, Do()).reply == "float"
    assert guarded(Out(stf=time.time), "off").apply(memory, Do()).reply == "float"


def test_warn_names_the_place_and_goes_on(memory: Any) -> None:
    layer = guarded(Out(stf=lambda: time.time()), "warn")
    with pytest.warns(NondeterminismWarning, match=r"Out.stf calls time.time\(\)") as caught:
        assert layer.apply(memory, Do()).reply == "float"
    assert Path(caught[0].filename) == Path(__file__)


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(MachineDefinitionError, match='"error", "warn" or "off"'):
        guarded(Out(), "on")
    with pytest.raises(MachineDefinitionError, match='"error", "warn" or "off"'):
        set_default_mode("on")  # type: ignore[arg-type]


@contextlib.contextmanager
def default_mode(mode: Any) -> Iterator[None]:
    before = set_default_mode(mode)
    try:
        yield
    finally:
        set_default_mode(before)


def test_the_default_of_the_process_can_be_set(memory: Any) -> None:
    with default_mode("error"):
        layer = Layer(Out(stf=time.time), Subspace(("guarded",)))
        with pytest.raises(NondeterminismError):
            layer.apply(memory, Do())
        assert guarded(Out(stf=time.time), "off").apply(memory, Do()).reply == "float"
    assert Layer(Out(stf=time.time), Subspace(("guarded",))).apply(memory, Do()).reply == "float"


def test_a_process_without_a_guarded_layer_is_untouched() -> None:
    code = """
import datetime, os, random, sys, time
real = time.time, random.random, os.urandom, random.Random.__init__, datetime.datetime.__dict__["now"]
import phasm_fdb
from tests.test_guard import Out
phasm_fdb.Layer(Out(), ("a",))
now = time.time, random.random, os.urandom, random.Random.__init__, datetime.datetime.__dict__["now"]
assert all(one is other for one, other in zip(real, now))
phasm_fdb.Layer(Out(), ("b",), guard="error")
assert time.time is not real[0] and datetime.datetime.__dict__["now"] is not real[4]
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_closed_doors_look_as_before(tmp_path: Path) -> None:
    guarded(Out())
    assert time.time.__name__ == "time"
    assert isinstance(datetime.datetime.now(), datetime.datetime)
    assert type(datetime.datetime.now(datetime.UTC)) is datetime.datetime
    assert type(guarded_calls.Later.now()) is guarded_calls.Later
    assert guarded_calls.Later.today().year == datetime.date.today().year
    assert random.Random(3).random() == random.Random(3).random()
    assert random.SystemRandom().random() < 1
    link, copy = tmp_path / "link", tmp_path / "copy"
    link.symlink_to(__file__)
    shutil.copy2(link, copy, follow_symlinks=False)  # asks `os` whether its `stat` can look at a link
    assert copy.is_symlink()
