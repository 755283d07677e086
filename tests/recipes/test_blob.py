"""The blob recipe: a large value in chunks, at keys that are its offsets, so that parts can be read and written."""

from __future__ import annotations

import random
from typing import Any

import pytest

from phasm_fdb.database.transactional import transactional

CHUNK = 1000


class Blob:
    def __init__(self, space: Any) -> None:
        self.space = space

    @transactional
    def write(self, tr: Any, offset: int, data: bytes) -> None:
        """Replace the bytes from `offset` on; chunks that it cuts keep what is outside."""
        end = offset + len(data)
        self._split(tr, offset)
        self._split(tr, end)
        tr.clear_range(self.space.pack((offset,)), self.space.pack((end,)))
        for start in range(0, len(data), CHUNK):
            tr[self.space.pack((offset + start,))] = data[start : start + CHUNK]

    @transactional
    def read(self, tr: Any, offset: int, length: int) -> bytes:
        """The bytes from `offset` on, fewer where the blob ends; a gap reads as zeros."""
        end = min(offset + length, self.size(tr))
        result = bytearray(max(0, end - offset))
        for start, chunk in self._chunks(tr, offset, end):
            low, high = max(start, offset), min(start + len(chunk), end)
            if low < high:
                result[low - offset : high - offset] = chunk[low - start : high - start]
        return bytes(result)

    @transactional
    def size(self, tr: Any) -> int:
        span = self.space.range()
        for row in tr.get_range(span.start, span.stop, limit=1, reverse=True):
            return int(self.space.unpack(bytes(row.key))[0]) + len(row.value)
        return 0

    def _chunks(self, tr: Any, offset: int, end: int) -> list[tuple[int, bytes]]:
        """The chunks that have bytes of the span; a chunk that began before it is no longer than CHUNK."""
        begin = max(0, offset - CHUNK + 1)
        rows = tr.get_range(self.space.pack((begin,)), self.space.pack((end,)))
        return [(self.space.unpack(bytes(row.key))[0], bytes(row.value)) for row in rows]

    def _split(self, tr: Any, offset: int) -> None:
        """Let no chunk have bytes on both sides of `offset`."""
        for start, chunk in self._chunks(tr, offset, offset):
            if start < offset < start + len(chunk):
                tr[self.space.pack((start,))] = chunk[: offset - start]
                tr[self.space.pack((offset,))] = chunk[offset - start :]


@pytest.fixture
def blob(space: Any) -> Blob:
    return Blob(space)


def test_a_large_value_comes_back(database: Any, blob: Blob) -> None:
    data = random.Random(1).randbytes(250_000)
    blob.write(database, 0, data)
    assert blob.size(database) == len(data)
    assert blob.read(database, 0, len(data)) == data
    assert blob.read(database, 123_456, 7_890) == data[123_456 : 123_456 + 7_890]


def test_an_append_and_a_read_past_the_end(database: Any, blob: Blob) -> None:
    blob.write(database, 0, b"a" * 1500)
    blob.write(database, blob.size(database), b"b" * 1500)
    assert blob.read(database, 1490, 20) == b"a" * 10 + b"b" * 10
    assert blob.read(database, 2990, 100) == b"b" * 10
    assert blob.read(database, 5000, 1) == b""


def test_random_writes_match_a_bytearray(database: Any, blob: Blob) -> None:
    rng, model = random.Random(2), bytearray()
    for _ in range(60):
        offset = rng.randrange(6000)
        data = rng.randbytes(rng.randrange(1, 2500))
        blob.write(database, offset, data)
        model.extend(bytes(max(0, offset + len(data) - len(model))))
        model[offset : offset + len(data)] = data
        low, length = rng.randrange(9000), rng.randrange(3000)
        assert blob.read(database, low, length) == model[low : low + length]
    assert blob.read(database, 0, 100_000) == model
