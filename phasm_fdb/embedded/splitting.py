"""Where to cut a range into chunks of about one size."""

from __future__ import annotations

from phasm_fdb.embedded.store import Snapshot
from phasm_fdb.embedded.stored import pages


def split_points(snapshot: Snapshot, begin: bytes, end: bytes, chunk_size: int) -> list[bytes]:
    """`begin`, a key after about every `chunk_size` bytes of keys and values, and `end`."""
    points, size = [begin], 0
    for page, _, _ in pages(snapshot, begin, end, False):
        for key, value in page:
            if size >= chunk_size and key > begin:
                points.append(key)
                size = 0
            size += len(key) + len(value)
    points.append(end)
    return points
