"""Removing what has outlived its use: receipts whose time has come, and rows that died before they were committed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import run
from phasm_fdb.database.versions import VERSIONS_PER_SECOND, read_version
from phasm_fdb.dead_letters import count_older_letters
from phasm_fdb.journal import retention
from phasm_fdb.keys import pack_element
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.outbox import IdRow
from phasm_fdb.receipts import (
    HOUR_SECONDS,
    VERSIONS_OF_AN_AGE,
    actions_of,
    decode_age,
    encode_age,
    encode_version,
    is_failed,
    is_open,
)
from phasm_fdb.transition.context import LayerContext

#: For how long a receipt is kept on while an action that its input emitted is pending, before it is looked at again.
KEPT_ON_HOURS = 24
#: How long the receipts without a request id are kept that older code wrote.
HOURS_OF_OLDER_CODE = 24


@dataclass(frozen=True, slots=True)
class _Page:
    """What one transaction of a sweep did.

    Attributes:
        removed: how many receipts it removed.
        behind: where the next one goes on; None at the end.
    """

    removed: int
    behind: bytes | None


def sweep(context: LayerContext, db: Any, now_seconds: float, batch: int) -> int:
    """Remove what has outlived its use; see `Layer.sweep`.

    Args:
        batch: the most receipts, or rows of the journal, that one transaction looks at.

    Returns:
        How many receipts of request ids were removed.
    """
    if run(db, lambda tr: context.meta.raw(Staged(tr))) is None:
        return 0  # nothing was ever applied, and nothing may lie here before that
    count_older_letters(context, db)
    hour = int(now_seconds // HOUR_SECONDS)
    run(db, functools.partial(_sweep_rest, context, hour))  # a commit: the versions of an idle database move on
    removed = 0
    begin: bytes | None = context.keyspace.expired(hour)[0]
    while begin is not None:
        page = run(db, functools.partial(_sweep_receipts, context, begin, hour, batch))
        removed += page.removed
        begin = page.behind
    retention.sweep(context.keyspace, db, context.journal.retention_seconds, batch)
    return removed


def _sweep_receipts(context: LayerContext, begin: bytes, hour: int, batch: int, tr: Any) -> _Page:
    """Remove the receipts of some expiry rows, if their time has come and nothing needs them any more."""
    keys = context.keyspace
    found = list(rows(tr, begin, keys.expired(hour)[1], limit=batch))
    version = read_version(tr)
    due = [(row, keys.receipt_of(row[0], len(pack_element(hour)))) for row in found if _has_expired(row, version)]
    staged = Staged(tr)
    receipts = dict(zip([key for _, key in due], staged.read_many([key for _, key in due]), strict=True))
    needed = _needed(keys, staged, receipts)
    removed = 0
    for row, key in due:
        staged.clear(row[0])
        if key in needed:
            _keep_on(keys, staged, key, hour, version)
        elif not _is_open(keys, staged, key, receipts[key]):
            staged.clear(key)
            removed += 1
    staged.flush(tr)
    # Behind a page on which nothing has expired by the database's version, all is younger still.
    return _Page(removed, found[-1][0] + b"\0" if due and len(found) == batch else None)


def _has_expired(expiry: Row, version: int) -> bool:
    """Whether the database's version says so too; what older code wrote does not name one."""
    return len(expiry[1]) < 8 or int.from_bytes(expiry[1], "big") <= version


def _needed(keys: Keyspace, staged: Staged, receipts: dict[bytes, bytes | None]) -> set[bytes]:
    """The receipts whose input emitted an action that is pending still, or lies in the dead letters."""
    emitted = {key: actions_of(data) for key, data in receipts.items() if data is not None}
    ids = [id for some in emitted.values() for id in some]
    places = staged.read_many(map(keys.id_row, ids))
    letters = staged.read_many(keys.dead_id(False, id) for id in ids)
    open_ids = {
        id
        for id, place, dead in zip(ids, places, letters, strict=True)
        if dead is not None or (place is not None and not IdRow.decode(place).is_input)
    }
    return {key for key, some in emitted.items() if not open_ids.isdisjoint(some)}


def _is_open(keys: Keyspace, staged: Staged, receipt: bytes, data: bytes | None) -> bool:
    """Whether a receipt's input is still to be applied, or not: what ends that lets the receipt expire."""
    if is_failed(data):
        return staged.read(keys.dead_id(True, keys.request_of(receipt))) is not None
    return is_open(data)


def _keep_on(keys: Keyspace, staged: Staged, receipt: bytes, hour: int, version: int) -> None:
    """Look at a receipt again later."""
    later = version + KEPT_ON_HOURS * HOUR_SECONDS * VERSIONS_PER_SECOND
    staged.set(keys.expiry(hour + KEPT_ON_HOURS, receipt), encode_version(later))


def _sweep_rest(context: LayerContext, hour: int, tr: Any) -> None:
    """Remove the layer's own receipts that are older than an hour, and rows that died before they were committed.

    Before receipts go, the age that they belong to is noted: an attempt that does not find its own knows why.
    """
    keys = context.keyspace
    age = read_version(tr) // VERSIONS_OF_AN_AGE - 1
    staged = Staged(tr)
    if age > decode_age(staged.read(keys.own_receipts_swept)):
        staged.set(keys.own_receipts_swept, encode_age(age))
        staged.clear_range(*keys.own_receipts_before(age))
    staged.flush(tr)
    tr.clear_range(*keys.hourly_receipts_before(hour - HOURS_OF_OLDER_CODE))
    context.outbox.bury(tr)
