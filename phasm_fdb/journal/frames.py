"""The bytes of snapshots and of exported histories: a stream of MessagePack values, each with its checksum.

Every value of the stream is a frame, `[crc32, content]`, where the content is MessagePack again and the checksum is
that of its bytes. The content is a list that begins with its kind:

    ["phasm history", 1, {"machine", "schema", "version", "large", "sum"}]   the first frame: a state, and its format
    ["rows", [[key, value], ...]]       rows of that state, keys without the layer's prefix, in key order
    ["entries", [[stamp, entry], ...]]  journal entries behind it, in order of their versionstamps (12 bytes)
    ["state", {...}]                    the state that they led to, as the first frame says it; its "rows" follow
    ["end", number]                     the last frame, with the number of those before it

A snapshot has no entries and no second state.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgpack

from phasm_fdb.errors import DamagedHistory, ReplayError

MAGIC = "phasm history"
FORMAT = 1
#: So near to the beginning the magic word is.
FIRST_BYTES = 32


class FrameWriter:
    """Writes frames.

    Args:
        write: takes the bytes.
    """

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write
        self._frames = 0

    def add(self, kind: str, *content: Any) -> None:
        """Write a frame."""
        data = msgpack.packb([kind, *content])
        self._write(msgpack.packb([zlib.crc32(data), data]))
        self._frames += 1

    def end(self) -> None:
        """Write the last frame."""
        self.add("end", self._frames)


class FrameReader:
    """Reads frames, in order and each once.

    Args:
        chunks: the bytes.
        name: what is read, as errors name it.

    Raises:
        DamagedHistory: on reading, where the bytes are not as they were written.
        ReplayError: they are none of ours, or of a newer format.
    """

    def __init__(self, chunks: Iterable[bytes], name: str) -> None:
        self._name = name
        self._count = 0
        chunks = iter(chunks)
        first = next(chunks, b"")
        if MAGIC.encode() not in first[:FIRST_BYTES]:
            raise ReplayError(f"{name} is not a snapshot or an exported history")
        self._frames = self._read(itertools.chain([first], chunks))
        self._next = self._advance()
        if self._next is None or self._next[0] != MAGIC:
            raise self._damaged("the first frame is another one")
        if self._next[1] > FORMAT:
            raise ReplayError(f"{name} has format {self._next[1]}, and this version reads up to {FORMAT}: upgrade it")
        self.header: dict[str, Any] = self._next[2]
        self._next = self._advance()

    def take(self, kind: str) -> Iterator[list[Any]]:
        """The contents of the frames of this kind that come next."""
        while self._next is not None and self._next[0] == kind:
            content = self._next[1:]
            self._next = self._advance()
            yield content

    def _advance(self) -> list[Any] | None:
        """The next frame; None at the end."""
        frame = next(self._frames, None)
        if frame is None:
            raise self._damaged("it has no end: a part of it is missing")
        if frame[0] == "end":
            if frame[1] != self._count:
                raise self._damaged(f"it has {self._count} frames, and should have {frame[1]}")
            return None
        self._count += 1
        return frame

    def _read(self, chunks: Iterator[bytes]) -> Iterator[list[Any]]:
        unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=0)
        for chunk in chunks:
            unpacker.feed(chunk)
            yield from self._checked(unpacker)

    def _checked(self, unpacker: Any) -> Iterator[list[Any]]:
        try:
            for frame in unpacker:
                checksum, data = frame
                if zlib.crc32(data) != checksum:
                    raise self._damaged("the checksum of a frame is wrong")
                yield msgpack.unpackb(data, strict_map_key=False)
        except (ValueError, TypeError) as error:
            raise self._damaged(f"it does not decode: {error}") from error

    def _damaged(self, why: str) -> DamagedHistory:
        return DamagedHistory(f"{self._name} is damaged behind frame {self._count}: {why}")
