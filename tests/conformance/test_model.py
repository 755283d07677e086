"""Memory, SQLite and the naive model side by side: random interleaved transactions, one answer."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from phasm_fdb.errors import FDBError
from tests.conformance import memory_engine, sqlite_engine
from tests.conformance.model import KEYS, Conflict, Model, ModelTransaction, Operation

ENGINES = (memory_engine, sqlite_engine)

keys = st.sampled_from(KEYS)
values = st.binary(max_size=3)
ranges = st.tuples(st.sampled_from(KEYS), st.sampled_from([*KEYS, b"f\x00"])).map(lambda span: (min(span), max(span)))
names = st.sampled_from(["p", "q", "r"])
ATOMICS: dict[str, Operation] = {
    "add": lambda old: b"\x01" if not old else bytes([(old[0] + 1) % 256]),
    "append_if_fits": lambda old: (old or b"") + b"\x01",
    "byte_max": lambda old: b"\x01" if old is None else max(old, b"\x01"),
    "compare_and_clear": lambda old: None if old == b"\x01" else old,
}


def answer(call: Any) -> Any:
    """What a call on an engine returns, in plain bytes, or the code of the error that it raises."""
    try:
        found = call()
    except FDBError as error:
        return error.code
    return None if found is None or not found.present() else bytes(found)


class SideBySide(RuleBasedStateMachine):
    """Every rule does the same on all three and compares what they answer."""

    def __init__(self) -> None:
        super().__init__()
        self.databases = [engine.open_database() for engine in ENGINES]
        self.model = Model()
        self.open: dict[str, tuple[ModelTransaction, list[Any]]] = {}
        #: For each version of the model, its version in each database.
        self.versions: list[list[int]] = []

    def teardown(self) -> None:
        for engine, database in zip(ENGINES, self.databases, strict=True):
            engine.close_database(database)

    @initialize()
    def first_version(self) -> None:
        self.versions.append([db.create_transaction().get_read_version().wait() for db in self.databases])

    def both(self, name: str) -> tuple[ModelTransaction, list[Any]]:
        """The transaction of that name, begun if need be, in the model and in the databases."""
        if name not in self.open:
            real = [db.create_transaction() for db in self.databases]
            for tr in real:
                tr.get_read_version().wait()
            self.open[name] = self.model.begin(), real
        return self.open[name]

    @rule(name=names, key=keys, snapshot=st.booleans())
    def get(self, name: str, key: bytes, snapshot: bool) -> None:
        model, real = self.both(name)
        want = model.get(key, snapshot=snapshot)
        assert [answer(lambda tr=tr: _reader(tr, snapshot).get(key).wait()) for tr in real] == [want, want]

    @rule(
        name=names,
        span=ranges,
        limit=st.sampled_from([0, 0, 1, 2]),
        reverse=st.booleans(),
        snapshot=st.booleans(),
    )
    def get_range(self, name: str, span: tuple[bytes, bytes], limit: int, reverse: bool, snapshot: bool) -> None:
        model, real = self.both(name)
        want = model.get_range(*span, limit, reverse, snapshot=snapshot)
        for tr in real:
            rows = _reader(tr, snapshot).get_range(*span, limit=limit, reverse=reverse)
            assert [(bytes(row.key), bytes(row.value)) for row in rows] == want

    @rule(name=names, key=keys, value=values)
    def set(self, name: str, key: bytes, value: bytes) -> None:
        model, real = self.both(name)
        for tr in (model, *real):
            tr.set(key, value)

    @rule(name=names, key=keys)
    def clear(self, name: str, key: bytes) -> None:
        model, real = self.both(name)
        for tr in (model, *real):
            tr.clear(key)

    @rule(name=names, span=ranges)
    def clear_range(self, name: str, span: tuple[bytes, bytes]) -> None:
        model, real = self.both(name)
        for tr in (model, *real):
            tr.clear_range(*span)

    @rule(name=names, key=keys, operation=st.sampled_from(sorted(ATOMICS)))
    def atomic(self, name: str, key: bytes, operation: str) -> None:
        model, real = self.both(name)
        model.atomic(key, ATOMICS[operation])
        for tr in real:
            getattr(tr, operation)(key, b"\x01")

    @rule(name=names)
    def commit(self, name: str) -> None:
        model, real = self.both(name)
        del self.open[name]
        try:
            version = model.commit()
        except Conflict:
            assert [answer(tr.commit().wait) for tr in real] == [1020, 1020]
            return
        for tr in real:
            tr.commit().wait()
        committed = [tr.get_committed_version() for tr in real]
        if version is None:
            assert committed == [-1, -1]
        else:
            assert all(new > old for new, old in zip(committed, self.versions[-1], strict=True))
            self.versions.append(committed)

    @precondition(lambda self: self.open)
    @rule(name=names)
    def reset(self, name: str) -> None:
        _, real = self.both(name)
        del self.open[name]
        for tr in real:
            tr.reset()
        self.open[name] = self.model.begin(), real
        for tr in real:
            tr.get_read_version().wait()

    @rule(name=names, back=st.integers(0, 5))
    def begin_in_the_past(self, name: str, back: int) -> None:
        version = max(0, len(self.model.versions) - 1 - back)
        real = [db.create_transaction() for db in self.databases]
        for tr, number in zip(real, self.versions[version], strict=True):
            tr.set_read_version(number)
        self.open[name] = self.model.begin(version), real

    @invariant()
    def contents_are_the_same(self) -> None:
        want = sorted(self.model.versions[-1].items())
        for database in self.databases:
            rows = database.create_transaction().get_range(b"", b"\xff")
            assert [(bytes(row.key), bytes(row.value)) for row in rows] == want


def _reader(tr: Any, snapshot: bool) -> Any:
    return tr.snapshot if snapshot else tr


TestSideBySide = SideBySide.TestCase
TestSideBySide.settings = settings(max_examples=150, stateful_step_count=40)
