"""Submitting an input, and waiting for its outcome.

A submitted input leaves a mark under its request id, where the outcome will be: the receipt if the machine took it,
the rejection if it did not. So submitting it again changes nothing, and its outcome is waited for with one watch.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgpack

from phasm_fdb.database.aio import run as run_in_loop
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import run
from phasm_fdb.database.watching import changed
from phasm_fdb.inbox import UNTRACKED, Queued
from phasm_fdb.keys import pack_element
from phasm_fdb.machine import Normal
from phasm_fdb.outbox import lane_of
from phasm_fdb.receipts import Applied
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.layer_transaction import LayerTransaction

#: How often to look for an outcome although no watch has fired: watches may be lost.
POLL_SECONDS = 1.0


def submit(at: LayerTransaction, input: Normal[Any], ordering_key: Any) -> None:
    """Queue an input that has its time and request id, unless that id was submitted or applied before."""
    context, staged = at.context, at.staged
    lanes = at.load_meta().lanes
    receipt = context.receipts.key(input.request_id)
    if staged.read(receipt) is not None:
        return
    packed_request = pack_element(input.request_id)
    packed_key = None if ordering_key is None else pack_element(ordering_key)
    lane = lane_of(packed_request if packed_key is None else packed_key, lanes)
    assert input.at is not None
    raw = context.definition.inputs.to_raw(input.payload)
    context.inbox.put(at, lane, Queued(b"", raw, input.at, packed_request, packed_key))
    context.receipts.mark_queued(staged, receipt)
    at.flush()


def deliver(at: LayerTransaction, applied: Applied, now_ms: int | None) -> Applied:
    """Queue the untracked actions of an input for the handlers of a worker, in the transaction that emits them.

    Args:
        now_ms: when the input came, in milliseconds since the epoch.

    Returns:
        The outcome without them.
    """
    if applied.untracked and not applied.repeated:
        lanes = at.load_meta().lanes
        for one in applied.untracked:
            raw = {UNTRACKED: at.context.definition.untracked.to_raw(one.action)}
            lane = lane_of(msgpack.packb(raw), lanes)
            at.context.inbox.put(at, lane, Queued(b"", raw, now_ms or 0, None, None))
        at.flush()
    return replace(applied, untracked=())


async def outcome(context: LayerContext, db: Any, request_id: Any, timeout: float | None) -> Applied:
    """Wait for the outcome of a submitted input.

    Raises:
        TimeoutError: it was not there after `timeout` seconds; it may still come.
        InputRejected: the machine refused the input.
        InputFailed: the input was given up and lies in the dead letters.
    """
    receipt = context.receipts.for_request(request_id, 0, 0)

    def look(tr: Any) -> tuple[Applied | None, Any]:
        applied = context.receipts.find(Staged(tr), receipt)
        return applied, None if applied is not None else tr.watch(receipt.key)

    async with asyncio.timeout(timeout):
        while True:
            applied, watch = await run_in_loop(run, db, look)
            if applied is not None:
                return replace(applied, repeated=False)
            await changed(watch, POLL_SECONDS)
