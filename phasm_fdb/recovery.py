"""What is pending, and what to resume after a crash; in one transaction, or in pages where it may be much."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.actions import Actions, Tracked
from phasm_fdb.database.paging import PagedReader, pages
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import run
from phasm_fdb.keys import pack_element
from phasm_fdb.outbox import Pending
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.layer_transaction import LayerTransaction


def pending(at: LayerTransaction) -> list[Tracked[Any]]:
    """The pending actions in versionstamp order, as one transaction sees them."""
    lanes = at.context.meta.peek(Staged(at.tr)).lanes
    return list(at.context.outbox.pending(at.tr, lanes, at.stamps))


def pending_in_pages(context: LayerContext, db: Any) -> Iterator[Tracked[Any]]:
    """The pending actions in versionstamp order, each page of them at one read version.

    An action that is emitted, moved or completed while this goes on may or may not be among them.
    """

    def outbox_page(tr: Any, /, *, cursor: Versionstamp | None) -> tuple[list[Pending], Versionstamp | None]:
        return context.outbox.page(tr, context.meta.peek(Staged(tr)).lanes, cursor)

    def timers_page(tr: Any, /, *, cursor: bytes | None) -> tuple[list[Pending], bytes | None]:
        return context.outbox.timers_page(tr, cursor)

    outbox = pages(db, outbox_page)
    timers = sorted(pages(db, timers_page), key=lambda one: one.stamp)
    return (one.tracked for one in heapq.merge(outbox, timers, key=lambda one: one.stamp))


def restore(at: LayerTransaction, now_ms: int) -> Actions:
    """What to resume, decided and stored in one transaction; see `Layer.restore`."""
    meta = at.load_meta()
    emitted = _emitted(at.context, at.tr, meta.large)
    known = {pack_element(action.id): action for action in pending(at)}
    added = []
    for action, raw in emitted.encoded:
        if isinstance(action, Tracked) and pack_element(action.id) not in known:
            at.context.outbox.emit(at, action, raw, meta.lanes, now_ms)
            added.append(action)
    at.flush()
    at.stamps.remember(added)
    return _resumed(known, emitted)


def restore_in_pages(context: LayerContext, db: Any, now_ms: int) -> Actions:
    """What to resume, read in pages.

    Whether an id is known to the state alone can only be told at one version, so if there seems to be one, all is
    decided again in one transaction.
    """
    stored = run(db, lambda tr: context.meta.peek(Staged(tr)))
    known = {pack_element(action.id): action for action in pending_in_pages(context, db)}
    emitted = _emitted(context, PagedReader(db), stored.large)
    if any(pack_element(action.id) not in known for action in emitted.tracked):
        return run(db, lambda tr: restore(LayerTransaction(context, tr), now_ms))
    return _resumed(known, emitted)


def _emitted(context: LayerContext, reader: Any, large: Iterable[str]) -> Actions:
    """What the machine's `restore` names; there is no bound, since this is not one transition."""
    emitted = Actions(sys.maxsize, context.definition.encode_action)
    context.definition.restore(context.state(reader, large, "restore"), emitted)
    return emitted


def _resumed(known: dict[bytes, Tracked[Any]], emitted: Actions) -> Actions:
    resumed = known | {pack_element(action.id): action for action in emitted.tracked}
    result = Actions(sys.maxsize)
    for action in resumed.values():
        result.add(action)
    for untracked in emitted.untracked:
        result.add(untracked)
    return result
