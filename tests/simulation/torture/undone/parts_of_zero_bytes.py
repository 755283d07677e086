"""Takes all that begins with the bytes of a key and ff for the parts of its value: with them goes what is another's."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from phasm_fdb.fields import cells

NET = "callers"


def parts_of(row: bytes) -> tuple[bytes, bytes]:
    return row + b"\xff\x00", row + b"\xff\xff"


@contextmanager
def undone() -> Iterator[None]:
    with mock.patch.object(cells, "parts_of", parts_of):
        yield
