"""A process that writes to one SQLite file until it is killed, and says after each commit what it committed."""

from __future__ import annotations

import struct
from multiprocessing.connection import Connection
from typing import Any, Literal

from phasm_fdb.embedded import open_sqlite
from phasm_fdb.errors import FDBError

COPIES = 3
TOTAL = b"total"
LOG = b"log/"


def copy_key(writer: int, copy: int) -> bytes:
    """Each commit of a writer sets all its copies to one number: a commit in part would leave them unequal."""
    return b"copy/%d/%d" % (copy, writer)


def number(value: Any) -> int:
    """A counter's value, 0 where there is none."""
    return int.from_bytes(bytes(value), "little") if value.present() else 0


def run(path: str, writer: int, acknowledged: Connection, synchronous: Literal["full", "normal"]) -> None:
    """Commit without end; after each commit send (writer, its number, its version)."""
    db = open_sqlite(path, synchronous=synchronous)
    tr = db.create_transaction()
    while True:
        try:
            count = write(tr, writer)
            tr.commit().wait()
        except FDBError as error:
            tr.on_error(error).wait()
            continue
        acknowledged.send((writer, count, tr.get_committed_version()))
        tr.reset()


def write(tr: Any, writer: int) -> int:
    """One more commit of this writer: its copies, the total of all writers, and a row in the common log."""
    count = number(tr.get(copy_key(writer, 0))) + 1
    packed = count.to_bytes(8, "little")
    for copy in range(COPIES):
        tr.set(copy_key(writer, copy), packed)
    tr.set(TOTAL, (number(tr.get(TOTAL)) + 1).to_bytes(8, "little"))
    tr.set_versionstamped_key(LOG + bytes(10) + struct.pack("<I", len(LOG)), struct.pack("<II", writer, count))
    return count
