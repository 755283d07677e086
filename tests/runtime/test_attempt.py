from __future__ import annotations

import asyncio

import pytest
from fdb.tuple import Versionstamp

from phasm_fdb import aio
from phasm_fdb.runtime import Attempt, Handlers, Retry
from phasm_fdb.runtime.attempt import idempotency_key
from tests.runtime.machines import Done, Job, Jobs, Order
from tests.runtime.virtual import EPOCH, World, in_virtual_time


def test_two_layers_and_two_stamps_never_share_an_idempotency_key() -> None:
    stamps = [Versionstamp(bytes(9) + bytes([n]), number) for n in range(3) for number in range(3)]
    keys = {idempotency_key("Jobs", prefix, stamp) for prefix in (b"\x01", b"\x02") for stamp in stamps}
    assert len(keys) == 18


def test_a_heartbeat_without_a_timeout_changes_nothing() -> None:
    attempt = Attempt(1, "key", 7, "Jobs")
    attempt.heartbeat()
    assert attempt.deadline is None


@in_virtual_time
async def test_the_key_stays_and_the_number_grows(world: World) -> None:
    layer, handlers, seen = world.layer(Jobs()), Handlers(), []

    @handlers.on(Job, retry=Retry(first_delay=0.1))
    async def job(action: Job, attempt: Attempt) -> Done:
        seen.append((attempt.number, attempt.idempotency_key, attempt.id, attempt.layer))
        if attempt.number < 4:
            raise OSError("not yet")
        return Done()

    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Order(7))
        await world.until(lambda: len(seen) == 4)
    assert [number for number, *_ in seen] == [1, 2, 3, 4]
    assert len({key for _, key, *_ in seen}) == 1
    assert {(id, name) for _, _, id, name in seen} == {(7, "Jobs")}


@in_virtual_time
async def test_the_deadline_is_the_timeout_from_the_start_or_the_last_heartbeat(world: World) -> None:
    layer, handlers, deadlines = world.layer(Jobs()), Handlers(), []

    @handlers.on(Job, retry=Retry(timeout=10.0))
    async def job(action: Job, attempt: Attempt) -> Done:
        deadlines.append(attempt.deadline)
        for _ in range(4):
            await asyncio.sleep(6.0)
            attempt.heartbeat()
            deadlines.append(attempt.deadline)
        return Done()

    async with world.worker(layer, handlers) as worker:
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: worker.counts.get("actions.completed") == 1)
    assert deadlines == pytest.approx([EPOCH + 10 + 6 * beats for beats in range(5)], abs=0.1)
