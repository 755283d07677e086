"""Rows that nobody needs any more: after everything has ended and was swept, none is left."""

from __future__ import annotations

from typing import Any

from phasm_fdb.database.paging import PagedReader
from phasm_fdb.layer import Layer
from phasm_fdb.outbox import IdRow

#: Sections that hold one row for each thing that is pending, and none otherwise.
_OF_PENDING = {"a": "outbox", "n": "progress", "q": "inbox", "x": "stillborn marks"}


def leftovers(layer: Layer, db: Any, timers: int = 0) -> str:
    """What is left over, in words; "" for nothing.

    Args:
        timers: how many inputs for later are pending still.
    """
    keys = layer.keyspace
    rows: dict[str, list[tuple[bytes, bytes]]] = {}
    for key, value in PagedReader(db).rows(keys.prefix, keys.end):  # after a crash run more than one transaction reads
        rows.setdefault(chr(key[len(keys.prefix) + 1]), []).append((key, value))
    for section, name in _OF_PENDING.items():
        if section in rows:
            return f"{len(rows[section])} rows of {name}: {rows[section][:3]}"
    for section, name in (("t", "timers"), ("i", "ids"), ("v", "locations")):
        if len(rows.get(section, ())) != timers:
            return f"{len(rows.get(section, ()))} rows of {name}, and {timers} pending: {rows.get(section, ())[:3]}"
    if any(IdRow.decode(value).due is None for _, value in rows.get("i", ())):
        return "an id that is not among the timers"
    for section, name in (("r", "receipts"), ("e", "expiries"), ("u", "receipts of the layer's own")):
        if section in rows:
            return f"{len(rows[section])} {name}: {rows[section][:3]}"
    split = {key[len(keys.state) :] for key, value in rows.get("s", ()) if value[:1] == b"\xc1"}
    for key, _ in rows.get("b", ()):
        owner = key[len(keys.overflow) : -3]
        if owner not in split:
            return f"a part of a value that is not there: {key!r}"
    return ""
