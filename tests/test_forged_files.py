"""Whatever a snapshot's or an exported history's file holds: it replays, or one error says what is wrong with it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasm_fdb
from phasm_fdb import Layer, Subspace
from phasm_fdb.errors import ReplayError
from phasm_fdb.journal.history import history_of
from phasm_fdb.replay import Report, replay
from tests.hostile import plain_values
from tests.machines import Deposit, InsufficientFunds, Pay, Wallet

SPACE = Subspace(("forged",))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a short history."""
    db, path = phasm_fdb.open("memory:"), tmp_path_factory.mktemp("files") / "history"
    layer = Layer(Wallet(), SPACE, journal=True)
    layer.apply(db, Deposit("ann", 500), request_id="r")
    layer.apply(db, Pay("ann", 200))
    with pytest.raises(InsufficientFunds):
        layer.apply(db, Pay("bob", 1))
    layer.export(db, path)
    return path


def replayed(path: Path, data: bytes) -> Report:
    """What a replay says about a file with these bytes; the one error that it may raise says which file it is."""
    forged = path.with_name("forged")
    forged.write_bytes(data)
    return replay(Layer(Wallet(), SPACE).context, history_of(forged))


def is_refused_or_replayed(path: Path, data: bytes) -> None:
    try:
        report = replayed(path, data)
    except ReplayError as error:
        assert str(error)
    else:
        assert str(report)


def frames_of(data: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return [msgpack.unpackb(content, strict_map_key=False) for _, content in unpacker]


def checked(content: Any) -> list[Any]:
    """A frame with a checksum that is right, as somebody would make it who wants to be believed."""
    data = msgpack.packb(content)
    return [zlib.crc32(data), data]


def file_of(frames: list[Any]) -> bytes:
    return b"".join(msgpack.packb(checked(frame)) for frame in frames)


def with_open_entries(frames: list[Any]) -> list[Any]:
    """The frames with the entries of the journal taken out of their bytes."""
    opened = [[stamp, msgpack.unpackb(entry[4:], strict_map_key=False)] for stamp, entry in frames[1][1]]
    return [frames[0], ["entries", opened], *frames[2:]]


def with_closed_entries(frames: Any) -> list[Any]:
    """The frames with what looks like an entry made bytes again, with its checksum."""
    for frame in frames:
        if isinstance(frame, list) and frame[:1] == ["entries"] and len(frame) > 1 and isinstance(frame[1], list):
            frame[1] = [_closed(pair) for pair in frame[1]]
    return list(frames)


def _closed(pair: Any) -> Any:
    if not isinstance(pair, list) or len(pair) != 2 or isinstance(pair[1], bytes):
        return pair
    data = msgpack.packb(pair[1])
    return [pair[0], zlib.crc32(data).to_bytes(4, "big") + data]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in lists and maps, as the container and the key of it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in [(value, key), *places(value[key])]]


odd = st.one_of(
    plain_values,
    st.sampled_from([2**63, -1, 10**9, b"", b"\xff" * 12, "end", "entries", "rows", [], {}, None, 1.5, [[]] * 3]),
)


@given(st.data())
def test_a_file_with_right_checksums_replays_or_is_named(exported: Path, data: st.DataObject) -> None:
    frames = with_open_entries(frames_of(exported.read_bytes()))
    assert file_of(with_closed_entries(with_open_entries(frames_of(exported.read_bytes())))) == exported.read_bytes()
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(places(frames)))
        container[key] = data.draw(odd)
    is_refused_or_replayed(exported, file_of(with_closed_entries(frames)))


@given(st.data())
def test_frames_in_any_order_replay_or_are_named(exported: Path, data: st.DataObject) -> None:
    frames = frames_of(exported.read_bytes())
    chosen = data.draw(st.lists(st.sampled_from(frames) | odd, max_size=7))
    is_refused_or_replayed(exported, file_of([frames[0], *chosen]))


@given(st.binary(max_size=200))
def test_what_follows_the_first_bytes_is_named(exported: Path, data: bytes) -> None:
    whole = exported.read_bytes()
    with pytest.raises(ReplayError):
        replayed(exported, whole[:100] + data)
    with pytest.raises(ReplayError):
        replayed(exported, whole[:30] + data)


@pytest.mark.parametrize(
    "claim",
    [
        b"\xdd\x7f\xff\xff\xff",
        b"\xdf\x7f\xff\xff\xff",
        b"\xdb\x7f\xff\xff\xff",
        b"\x91" * 5_000,
        b"\xc9\xff\xff\xff\xff\x01",
    ],
)
def test_a_length_that_nobody_could_hold_is_not_believed(exported: Path, claim: bytes) -> None:
    data = msgpack.packb([zlib.crc32(claim), claim])
    whole = exported.read_bytes()
    for forged in (whole[: len(msgpack.packb(checked(frames_of(whole)[0])))] + part for part in (claim, data)):
        with pytest.raises(ReplayError, match="damaged"):
            replayed(exported, forged)


def test_a_file_of_a_later_format_is_named(exported: Path) -> None:
    frames = frames_of(exported.read_bytes())
    frames[0][1] = 3
    with pytest.raises(ReplayError, match="has format 3, and this version reads up to 2: upgrade it"):
        replayed(exported, file_of(frames))
    frames = with_open_entries(frames_of(exported.read_bytes()))
    frames[1][1][1][1][7] = 3
    with pytest.raises(ReplayError, match="a journal entry has format 3, of newer code"):
        replayed(exported, file_of(with_closed_entries(frames)))
