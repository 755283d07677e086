"""The bytes of snapshots and of exported histories: a stream of MessagePack values, each with its checksum.

Every value of the stream is a frame, `[crc32, content]`, where the content is MessagePack again and the checksum is
that of its bytes. The content is a list that begins with its kind:

    ["phasm history", 2, {"machine", "schema", "version", "large", "sum"}]   the first frame: a state, and its format
    ["rows", [[key, value], ...]]       rows of that state, keys without the layer's prefix, in key order
    ["entries", [[stamp, entry], ...]]  journal entries behind it, in order of their versionstamps (12 bytes)
    ["state", {...}]                    the state that they led to, as the first frame says it; its "rows" follow
    ["end", number]                     the last frame, with the number of those before it

A snapshot has no entries and no second state. Format 2 says that entries and values may be those of
`phasm_fdb.codec.FORMAT` 2; format 1 has none, and is read as well.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgpack

from phasm_fdb import plain
from phasm_fdb.errors import CodecError, DamagedHistory, ReplayError

MAGIC = "phasm history"
FORMAT = 2
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
        data = plain.to_bytes([kind, *content])
        self._write(plain.to_bytes([zlib.crc32(data), data]))
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
            raise self.damaged("the first frame is another one")
        if len(self._next) > 1 and type(self._next[1]) is int and self._next[1] > FORMAT:
            raise ReplayError(f"{name} has format {self._next[1]}, and this version reads up to {FORMAT}: upgrade it")
        self._check(self._next, [(str,), (int,), (dict,)])
        self.header: dict[str, Any] = self._next[2]
        self._next = self._advance()

    def take(self, kind: str) -> Iterator[dict[str, Any]]:
        """The contents of the frames of this kind that come next, each a map."""
        while self._next is not None and self._next[0] == kind:
            self._check(self._next, [(str,), (dict,)])
            content = self._next[1]
            self._next = self._advance()
            yield content

    def take_pairs(self, kind: str) -> Iterator[tuple[bytes, bytes]]:
        """The pairs in the frames of this kind that come next, in the order of what comes first in them."""
        last: bytes | None = None
        while self._next is not None and self._next[0] == kind:
            self._check(self._next, [(str,), (list,)])
            for pair in self._next[1]:
                self._check(pair, [(bytes,), (bytes,)])
                if last is not None and pair[0] <= last:
                    raise self.damaged(f"its {kind} are not in order")
                last = pair[0]
                yield pair[0], pair[1]
            self._next = self._advance()

    def _check(self, items: Any, kinds: list[plain.Kinds]) -> None:
        try:
            plain.check_list(items, kinds)
        except CodecError as error:
            raise self.damaged(str(error)) from error

    def _advance(self) -> list[Any] | None:
        """The next frame; None at the end."""
        frame = next(self._frames, None)
        if frame is None:
            raise self.damaged("it has no end: a part of it is missing")
        if frame[0] == "end":
            self._check(frame, [(str,), (int,)])
            if frame[1] != self._count:
                raise self.damaged(f"it has {self._count} frames, and should have {frame[1]}")
            return None
        self._count += 1
        return frame

    def _read(self, chunks: Iterator[bytes]) -> Iterator[list[Any]]:
        # A frame is a list of two, whatever else its first byte may claim.
        unpacker = msgpack.Unpacker(max_buffer_size=0, max_array_len=2, max_map_len=0, max_str_len=0, max_ext_len=0)
        for chunk in chunks:
            unpacker.feed(chunk)
            yield from self._checked(unpacker)

    def _checked(self, unpacker: Any) -> Iterator[list[Any]]:
        try:
            for frame in unpacker:
                self._check(frame, [(int,), (bytes,)])
                checksum, data = frame
                if zlib.crc32(data) != checksum:
                    raise self.damaged("the checksum of a frame is wrong")
                content = plain.from_bytes(data)
                if type(content) is not list or not content or type(content[0]) is not str:
                    raise self.damaged("a frame is no list that begins with its kind")
                yield content
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise self.damaged(f"it does not decode: {error}") from error

    def damaged(self, why: str) -> DamagedHistory:
        """The error that says that what is read is not as it was written, and why."""
        return DamagedHistory(f"{self._name} is damaged behind frame {self._count}: {why}")
