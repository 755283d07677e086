"""Every State field behaves like a dict, a list or a number, in a transaction and after it, kept or dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import phasm_fdb
from phasm_fdb import Changes, Counter, Index, Log, Map, State, Subspace, Value
from phasm_fdb.errors import CodecError, MachineDefinitionError, ReadOnlyError

SPACE = Subspace(("state",))


@dataclass(frozen=True)
class Item:
    tag: str | None
    body: str = ""


class Box(State):
    title = Value(str, "untitled")
    total = Counter()
    items = Map(tuple[str, int], Item)
    by_tag = Index(items, str, lambda item: item.tag)
    events = Log(int)


SIZES = [0, 10, 10, 99_000, 100_001, 190_000]
letters = st.sampled_from("abc")
keys = st.tuples(letters, st.integers(0, 3))
items = st.builds(Item, st.none() | letters, st.sampled_from(SIZES).map(lambda size: "x" * size))


class Model:
    """The same box as plain Python values."""

    def __init__(self) -> None:
        self.title = "untitled"
        self.total = 0
        self.items: dict[tuple[str, int], Item] = {}
        self.events: list[int] = []

    def copy(self) -> Model:
        other = Model()
        other.__dict__.update(title=self.title, total=self.total, items=dict(self.items), events=list(self.events))
        return other


class FieldsAreLikePlainValues(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.db = phasm_fdb.open("memory:")
        self.committed = Model()
        self.begin()

    def begin(self) -> None:
        self.tr = self.db.create_transaction()
        self.box: Any = Box.over(self.tr, SPACE)
        self.model = self.committed.copy()

    @rule(title=st.text(max_size=5))
    def set_title(self, title: str) -> None:
        self.box.title.set(title)
        self.model.title = title

    @rule()
    def clear_title(self) -> None:
        self.box.title.clear()
        self.model.title = "untitled"

    @rule(number=st.integers(-5, 5))
    def add(self, number: int) -> None:
        self.box.total.add(number)
        self.model.total += number

    @rule()
    def take(self) -> None:
        self.model.total += 1
        assert self.box.total.take() == self.model.total

    @rule(key=keys, item=items)
    def set_item(self, key: tuple[str, int], item: Item) -> None:
        self.box.items[key] = item
        self.model.items[key] = item

    @rule(key=keys)
    def discard(self, key: tuple[str, int]) -> None:
        self.box.items.discard(key)
        self.model.items.pop(key, None)

    @rule(key=keys)
    def delete(self, key: tuple[str, int]) -> None:
        if key in self.model.items:
            del self.box.items[key]
            del self.model.items[key]
        else:
            with pytest.raises(KeyError):
                del self.box.items[key]

    @rule(letter=letters)
    def clear_prefix(self, letter: str) -> None:
        self.box.items.clear(prefix=(letter,))
        self.model.items = {key: item for key, item in self.model.items.items() if key[0] != letter}

    @rule(start=keys, stop=keys)
    def clear_range(self, start: tuple[str, int], stop: tuple[str, int]) -> None:
        self.box.items.clear(start, stop)
        self.model.items = {key: item for key, item in self.model.items.items() if not start <= key < stop}

    @rule(number=st.integers())
    def append(self, number: int) -> None:
        number %= 2**32
        self.box.events.append(number)
        self.model.events.append(number)

    @rule(start=keys | st.none(), stop=keys | st.none(), reverse=st.booleans(), limit=st.integers(0, 3))
    def scan(self, start: Any, stop: Any, reverse: bool, limit: int) -> None:
        expected = sorted(self.model.items.items(), key=lambda pair: pair[0], reverse=reverse)
        expected = [
            (key, item) for key, item in expected if (start is None or start <= key) and (stop is None or key < stop)
        ]
        expected = expected[:limit] if limit else expected
        assert list(self.box.items.items(start, stop, reverse=reverse, limit=limit)) == expected
        assert list(self.box.items.keys(start, stop, reverse=reverse, limit=limit)) == [key for key, _ in expected]

    @rule(wanted=st.lists(keys, max_size=4))
    def get_many(self, wanted: list[tuple[str, int]]) -> None:
        found = {key: self.model.items[key] for key in wanted if key in self.model.items}
        assert self.box.items.get_many(wanted) == found

    @rule(keep=st.booleans())
    def finish(self, keep: bool) -> None:
        if keep:
            self.box.flush(self.tr)
            self.tr.commit().wait()
            self.committed = self.model
        self.begin()

    @precondition(lambda self: hasattr(self, "box"))
    @invariant()
    def reads_agree(self) -> None:
        assert self.box.title.get() == self.model.title
        assert self.box.total.get() == self.model.total
        assert dict(self.box.items.items()) == self.model.items
        assert list(self.box.events) == self.model.events
        assert self.box.events.last(2) == self.model.events[::-1][:2]

    @precondition(lambda self: hasattr(self, "box"))
    @invariant()
    def the_index_agrees(self) -> None:
        tagged = sorted((item.tag, key) for key, item in self.model.items.items() if item.tag is not None)
        assert list(self.box.by_tag.entries()) == tagged
        for letter in "abc":
            assert list(self.box.by_tag.keys(letter)) == [key for tag, key in tagged if tag == letter]
            assert (letter in self.box.by_tag) == any(tag == letter for tag, _ in tagged)

    @precondition(lambda self: hasattr(self, "box"))
    @invariant()
    def nothing_is_left_over(self) -> None:
        """No parts of large values, no index entries and no rows of what is gone."""
        if not self.committed.items:
            rows = self.db.create_transaction().get_range(SPACE.range(()).start, SPACE.range(()).stop)
            assert not [row for row in rows if b"items" in row.key or b"by_tag" in row.key]


TestFieldsAreLikePlainValues = FieldsAreLikePlainValues.TestCase
TestFieldsAreLikePlainValues.settings = settings(max_examples=60, stateful_step_count=25)


@pytest.fixture
def box(memory: Any) -> Any:
    return Box.over(memory.create_transaction(), SPACE)


def test_a_value_of_the_wrong_type_names_the_field(box: Any) -> None:
    with pytest.raises(CodecError, match=r"Box\.title: 5 is not a str"):
        box.title.set(5)
    with pytest.raises(CodecError, match=r"Box\.items: Item\.tag: 7 is not one of str, None|Box\.items: Item\.tag"):
        box.items[("a", 1)] = Item(7)  # type: ignore[arg-type]
    with pytest.raises(CodecError, match=r"Box\.items: the key \('a', '1'\)"):
        box.items[("a", "1")] = Item(None)
    with pytest.raises(CodecError, match=r"Box\.total: 1\.5 is not a 64-bit int"):
        box.total.add(1.5)
    with pytest.raises(CodecError, match=r"Box\.events: 'x' is not an int"):
        box.events.append("x")
    assert box.space.staged.written_keys() == []


def test_a_key_that_is_too_long_is_refused_before_the_database_sees_it(box: Any) -> None:
    with pytest.raises(CodecError, match="FoundationDB takes 10000"):
        box.items[("a" * 10_001, 1)] = Item(None)


def test_a_field_cannot_be_assigned(box: Any) -> None:
    with pytest.raises(AttributeError, match=r"Box\.title cannot be assigned.*state\.title\.set"):
        box.title = "new"


def test_a_read_only_state_names_the_place(memory: Any) -> None:
    state: Any = Box.over(memory.create_transaction(), SPACE, read_only=True)
    assert state.total.get() == 0
    for write in (lambda: state.total.add(1), lambda: state.items.clear(), lambda: state.events.append(1)):
        with pytest.raises(ReadOnlyError, match="read-only state"):
            write()


def test_counter_add_conflicts_with_nobody_and_take_does(memory: Any) -> None:
    def transaction(change: Any) -> Any:
        tr = memory.create_transaction()
        state: Any = Box.over(tr, SPACE)
        change(state)
        state.flush(tr)
        return tr

    adds = [transaction(lambda state: state.total.add(1)) for _ in range(3)]
    for tr in adds:
        tr.commit().wait()
    takes = [transaction(lambda state: state.total.take()) for _ in range(2)]
    takes[0].commit().wait()
    with pytest.raises(phasm_fdb.FDBError) as caught:
        takes[1].commit().wait()
    assert caught.value.code == 1020
    assert Box.over(memory.create_transaction(), SPACE).total.get() == 4  # type: ignore[attr-defined]


def test_log_entries_get_growing_versionstamps(memory: Any) -> None:
    for number in range(3):
        tr = memory.create_transaction()
        state: Any = Box.over(tr, SPACE)
        state.events.append(number)
        state.events.append(number + 10)
        state.flush(tr)
        tr.commit().wait()
    state = Box.over(memory.create_transaction(), SPACE)
    stamps = [stamp for stamp, _ in state.events.items()]
    assert [value for _, value in state.events.items()] == [0, 10, 1, 11, 2, 12]
    assert stamps == sorted(stamps)
    assert all(stamp.is_complete() for stamp in stamps)
    assert [value for _, value in state.events.items(after=stamps[3])] == [2, 12]


def test_a_log_entry_larger_than_a_row_is_refused(memory: Any) -> None:
    class Notes(State):
        notes = Log(str)

    state: Any = Notes.over(memory.create_transaction(), SPACE)
    with pytest.raises(CodecError, match="takes 100005 bytes, and one row holds 100000"):
        state.notes.append("x" * 100_000)


def test_changes_tell_what_was_written(box: Any) -> None:
    box.items[("a", 1)] = Item("t")
    box.items.discard(("b", 2))
    box.total.add(1)
    changes = Changes(Box.fields, box.space.rows, box.space.staged)
    assert changes.keys("items") == [("a", 1), ("b", 2)]
    assert "total" in changes
    assert "title" not in changes
    assert not changes.cleared("items")
    with pytest.raises(MachineDefinitionError, match="no field 'item'"):
        changes.keys("item")
    with pytest.raises(MachineDefinitionError, match="only a Map has keys"):
        changes.keys("total")
    box.items.clear()
    assert Changes(Box.fields, box.space.rows, box.space.staged).cleared("items")


def test_a_state_that_is_not_well_formed_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(MachineDefinitionError, match=r"Bad\.tags: set\[str\] has no order"):

        class Bad(State):
            tags = Value(set[str])

    with pytest.raises(MachineDefinitionError, match="an Index is over a Map"):

        class Worse(State):
            by = Index(Counter(), str, lambda value: value)  # type: ignore[arg-type]

    shared = Counter()
    with pytest.raises(MachineDefinitionError, match="same field"):

        class Twice(State):
            one = shared
            two = shared

    with pytest.raises(MachineDefinitionError, match="cannot have this name"):

        class Taken(State):
            space = Counter()  # type: ignore[assignment]


def test_fields_are_inherited() -> None:
    class Larger(Box):
        extra = Counter()

    assert list(Larger.fields) == [*Box.fields, "extra"]


class Scales(State):
    weights = Map(int, float)
    by_weight = Index(weights, float, lambda weight: weight)
    seen = Map(Any, str)


def test_keys_that_python_takes_for_equal_are_told_apart() -> None:
    db = phasm_fdb.open("memory:")
    tr = db.create_transaction()
    state: Any = Scales.over(tr, SPACE)
    state.weights[1] = 0.0
    assert list(state.by_weight.keys(0.0)) == [1]
    state.weights[1] = -0.0
    assert list(state.by_weight.keys(0.0)) == []
    assert list(state.by_weight.keys(-0.0)) == [1]
    for key in (1, True, 1.0):
        state.seen[key] = type(key).__name__
    assert [state.seen[key] for key in (1, True, 1.0)] == ["int", "bool", "float"]
    assert state.seen.get_many([True, True, "x"]) == {True: "bool"}
    with pytest.raises(CodecError, match=r"Scales\.seen: True .* one by one"):
        state.seen.get_many([1, True])
