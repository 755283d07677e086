"""Reads a receipt back in the transaction that wrote it as if its versionstamp were filled in."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from phasm_fdb import receipts

NET = "callers"


@contextmanager
def undone() -> Iterator[None]:
    def split_stamp(data: bytes) -> tuple[bytes | None, bytes]:
        if not data.startswith(receipts.STAMPED):
            return None, data
        return data[1:11], data[11:]  # and the offset is at its end still

    with mock.patch.object(receipts, "split_stamp", split_stamp):
        yield
