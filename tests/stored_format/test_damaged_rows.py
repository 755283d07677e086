"""Whatever the bytes of a row become: everything else is read, and the row is named by a PhasmError."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import lzma
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasm_fdb
from phasm_fdb import Counter, Index, Layer, PhasmError, TrackedActionCompleted, Value
from phasm_fdb.database.ranges import rows
from phasm_fdb.errors import CodecError
from phasm_fdb.keys import unpack
from tests.hostile import plain_values
from tests.stored_format import make
from tests.stored_format.depot import Break, Buy, Cancel, Order, Remind, Shipped, Size, Status, Stock, Ticket, Write
from tests.stored_format.make import SUBSPACE
from tests.stored_format.test_stored_format import KEPT, LATER

HERE = Path(__file__).parent
OLD, NEW = KEPT
#: How a row may be damaged, given its value and a random generator.
Damage = Callable[[bytes, random.Random], bytes]

DEEP = b"\x91" * 5_000
DAMAGES: dict[str, Damage] = {
    "empty": lambda value, chance: b"",
    "cut": lambda value, chance: value[: chance.randrange(max(1, len(value)))],
    "longer": lambda value, chance: value + chance.randbytes(3),
    "flipped": lambda value, chance: _flipped(value, chance),
    "other bytes": lambda value, chance: chance.randbytes(chance.randrange(20)),
    "no text": lambda value, chance: b"\xa2\xff\xff",
    "no key of a map": lambda value, chance: b"\x81\x91\x01\x02",
    "too deep": lambda value, chance: DEEP,
    "a long list": lambda value, chance: b"\xdd\x7f\xff\xff\xff",
    "extension": lambda value, chance: b"\xc7\x05\x2a12345",
    "a list": lambda value, chance: b"\x98" + b"\xc0" * 8,
    "a map": lambda value, chance: b"\x81\xa1$\xa5Other",
    "other types": lambda value, chance: _with_other_types(value, chance),
}


def _flipped(value: bytes, chance: random.Random) -> bytes:
    data = bytearray(value or b"\0")
    for _ in range(chance.randint(1, 3)):
        data[chance.randrange(len(data))] ^= chance.randint(1, 255)
    return bytes(data)


def _with_other_types(value: bytes, chance: random.Random) -> bytes:
    """A list or map with one of its parts of another type, as a program that is wrong would write it."""
    try:
        content = msgpack.unpackb(value, strict_map_key=False)
        places = list(content) if isinstance(content, dict) else range(len(content))
        content[chance.choice(list(places))] = chance.choice([None, -1, 2**63, "x", b"\xff", [], {}, [[]], 1.5, True])
    except (ValueError, TypeError, IndexError):
        return b"\xc1"
    return bytes(msgpack.packb(content))


@functools.cache
def stored_rows(file: str) -> tuple[tuple[bytes, bytes], ...]:
    """All rows of a kept file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kept.phasm")
        path.write_bytes(lzma.decompress((HERE / file).read_bytes()))
        with contextlib.closing(phasm_fdb.open(f"embedded:{path}")) as db:
            return tuple((row[0], row[1]) for row in rows(db.create_transaction(), *_span()))


def _span() -> tuple[bytes, bytes]:
    span = SUBSPACE.range(())
    return span.start, span.stop


def kind_of(row: bytes) -> str:
    """The name under which the row lies; what follows it is not always a tuple."""
    return row[len(SUBSPACE.key()) + 1 :].partition(b"\0")[0].decode()


def opened(file: str, damaged: int, value: bytes) -> tuple[Layer, Any]:
    """The stored rows of a file in memory, one of them with another value."""
    db = phasm_fdb.open("memory:")
    tr = db.create_transaction()
    for number, (row, content) in enumerate(stored_rows(file)):
        tr.set(row, value if number == damaged else content)
    tr.commit().wait()
    return make.layer(lambda: LATER, random.Random(5)), db


def uses(file: str, layer: Layer, db: Any, path: Path) -> Iterator[Callable[[], Any]]:
    """Everything that reads the rows of a layer outside its workers: first what only reads."""
    for name, field in layer.machine.State.fields.items():
        method = "get" if isinstance(field, Value | Counter) else "entries" if isinstance(field, Index) else "items"
        yield lambda name=name, method=method: _listed(getattr(getattr(layer.view(db), name), method)())
    yield lambda: list(layer.view(db).by_status.items(Status.OPEN))
    yield lambda: layer.check(db)
    yield lambda: list(layer.pending(db))
    yield lambda: list(layer.pending(db.create_transaction()))
    yield lambda: layer.dead_letters(db)
    yield lambda: layer.snapshots(db)
    for since in (None, "latest"):
        yield lambda since=since: layer.replay(db, since)
        yield lambda since=since: layer.export(db, path, since)
    requests = [unpack(row)[-1] for row, _ in stored_rows(file) if kind_of(row) == "r"]
    for request in requests:
        yield lambda request=request: layer.apply(db, Stock("nut", 1), request_id=request)
        yield lambda request=request: layer.submit(db, Stock("nut", 1), request_id=request)
        yield lambda request=request: _outcome(layer, db, request)
    for payload in PAYLOADS:
        yield lambda payload=payload: layer.apply(db, payload)
        yield lambda payload=payload: layer.submit(db, payload)
    yield lambda: list(layer.restore(db))
    yield lambda: list(layer.restore(db.create_transaction()))
    for id in [unpack(row)[-1] for row, _ in stored_rows(file) if kind_of(row) == "i"]:
        yield lambda id=id: layer.apply(db, TrackedActionCompleted(id, Shipped("x")))
    letters = [unpack(row)[-1] for row, _ in stored_rows(file) if kind_of(row) == "d"]
    yield lambda: layer.requeue(db, letters[0])
    yield lambda: layer.discard(db, letters[-1])
    yield lambda: layer.resize(db, 3)
    yield lambda: layer.sweep(db)
    yield lambda: layer.migrate(db)
    yield lambda: layer.snapshot(db)
    yield lambda: layer.stop_journal(db)


PAYLOADS: list[Any] = [
    *(Stock("nut", 1), Buy(Order("nut", 1, Status.OPEN, size=Size.LARGE)), Ticket("t"), Break("b")),
    *(Write("large", "x"), Remind("later", 1.0), Cancel(2), Cancel(7)),
]


def _listed(found: Any) -> Any:
    return list(found) if isinstance(found, Iterator) else found


def _outcome(layer: Layer, db: Any, request: Any) -> None:
    with contextlib.suppress(TimeoutError):
        asyncio.run(layer.outcome(db, request, timeout=0))


def read_all(file: str, damaged: int, value: bytes, path: Path) -> list[PhasmError]:
    """Use everything of a layer with a damaged row, and give the errors that say so."""
    layer, db = opened(file, damaged, value)
    errors: list[PhasmError] = []
    for use in uses(file, layer, db, path):
        try:
            use()
        except PhasmError as error:
            errors.append(error)
        except ZeroDivisionError:  # the bug that the machine has
            pass
    return errors


@pytest.mark.parametrize(("file", "kinds"), [(OLD, 23), (NEW, 25)])
def test_the_rows_are_read_as_they_are(file: str, kinds: int, tmp_path: Path) -> None:
    errors = read_all(file, -1, b"", tmp_path / "history")
    assert not [error for error in errors if isinstance(error, CodecError)]
    assert len({kind_of(row) for row, _ in stored_rows(file)}) == kinds


@pytest.mark.parametrize("file", KEPT)
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_kind_of_row_with_each_damage(damage: str, file: str, tmp_path: Path) -> None:
    chance = random.Random(damage)
    kinds: dict[str, int] = {}
    for number in chance.sample(range(len(stored_rows(file))), len(stored_rows(file))):
        row, value = stored_rows(file)[number]
        if kinds.setdefault(kind_of(row), number) == number:
            read_all(file, number, DAMAGES[damage](value, chance), tmp_path / "history")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a history is exported to: a file of its own, since an export takes the place of what is there."""
    return tmp_path_factory.mktemp("damaged") / "history"


@given(st.data())
def test_any_row_with_any_bytes(history: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(list(KEPT)))
    number = data.draw(st.integers(0, len(stored_rows(file)) - 1))
    _, value = stored_rows(file)[number]
    damages = st.sampled_from(list(DAMAGES)).map(lambda name: DAMAGES[name](value, random.Random(number)))
    read_all(file, number, data.draw(damages | plain_values.map(msgpack.packb) | st.binary(max_size=30)), history)
