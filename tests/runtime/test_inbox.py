from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phasm_fdb import CodecError, InputError, InputFailed, InputRejected, Normal, TransitionError
from phasm_fdb.database.transactional import run
from phasm_fdb.runtime import Handlers
from tests.runtime.machines import Append, Break, Fill, Jobs, Order, Refuse
from tests.runtime.virtual import World, in_virtual_time, killed


@in_virtual_time
async def test_inputs_with_the_same_key_are_applied_in_the_order_of_submission(world: World) -> None:
    layer = world.layer(Jobs())
    for number in range(300):
        layer.submit(world.db, Append(f"k{number % 7}", str(number)), ordering_key=number % 7)
    async with world.worker(layer, Handlers()):
        await world.until(lambda: sum(len(words) for _, words in layer.view(world.db).words.items()) == 300)
    for number, (_, words) in enumerate(sorted(layer.view(world.db).words.items())):
        assert words == [str(n) for n in range(300) if n % 7 == number]


@in_virtual_time
async def test_the_outcome_is_the_reply(world: World) -> None:
    layer = world.layer(Jobs())
    async with world.worker(layer, Handlers()):
        replies = await asyncio.gather(*(layer.call(world.db, Append("k", "w"), ordering_key="k") for _ in range(20)))
    assert sorted(applied.reply for applied in replies) == list(range(1, 21))
    assert not any(applied.repeated for applied in replies)


@in_virtual_time
async def test_a_rejection_is_the_outcome_and_touches_no_neighbour(world: World) -> None:
    layer = world.layer(Jobs())
    ids = [
        layer.submit(world.db, payload, request_id=("r", number), ordering_key="k")
        for number, payload in enumerate((Append("k", "a"), Refuse(), Append("k", "b")))
    ]
    async with world.worker(layer, Handlers()) as worker:
        outcomes = await asyncio.gather(*(layer.outcome(world.db, id) for id in ids), return_exceptions=True)
    assert [outcomes[0].reply, outcomes[2].reply] == [1, 2]  # type: ignore[union-attr]
    rejection = outcomes[1]
    assert isinstance(rejection, InputRejected)
    assert isinstance(rejection, TransitionError)
    assert (rejection.kind, rejection.reason, str(rejection)) == ("Refused", "no", "Refused: no")
    assert worker.counts["rejections"] == 1
    with pytest.raises(InputRejected):
        layer.apply(world.db, Append("k", "c"), request_id=("r", 1))


@in_virtual_time
async def test_an_input_that_breaks_the_machine_goes_to_the_dead_letters_and_blocks_nothing(world: World) -> None:
    layer = world.layer(Jobs())
    for number, payload in enumerate((Append("k", "a"), Break(), Append("k", "b"))):
        layer.submit(world.db, payload, request_id=number, ordering_key="k")
    async with world.worker(layer, Handlers()) as worker:
        assert (await layer.outcome(world.db, 2)).reply == 2
        with pytest.raises(InputFailed, match="ZeroDivisionError: a bug"):
            await layer.outcome(world.db, 1)
        assert worker.counts["dead_letters"] == 1
    (letter,) = layer.dead_letters(world.db)
    assert (letter.kind, letter.id, letter.payload, letter.ordering_key) == ("input", 1, Break(), "k")
    assert letter.cause == "ZeroDivisionError: a bug"


@in_virtual_time
async def test_inputs_too_large_for_one_transaction_share_none_and_one_too_large_by_itself_is_given_up(
    world: World,
) -> None:
    layer = world.layer(Jobs())
    for number, rows in enumerate((50, 60, 120, 70)):
        layer.submit(world.db, Fill(rows), request_id=number, ordering_key="k")
    async with world.worker(layer, Handlers()):
        with pytest.raises(InputFailed, match="2101"):
            await layer.outcome(world.db, 2)
        for number in (0, 1, 3):
            await layer.outcome(world.db, number)
    (letter,) = layer.dead_letters(world.db)
    assert letter.id == 2
    assert len(list(layer.view(world.db).bulk.keys())) == 70


@in_virtual_time
async def test_an_input_that_does_not_fit_in_a_row_is_refused_at_once(world: World) -> None:
    layer = world.layer(Jobs())
    with pytest.raises(CodecError, match=r"the input takes 1000\d\d bytes, and one row holds 90000"):
        layer.submit(world.db, Append("k", "x" * 100_000))


@in_virtual_time
async def test_submitting_again_does_nothing_before_and_after_it_is_applied(world: World) -> None:
    layer = world.layer(Jobs())
    for _ in range(3):
        layer.submit(world.db, Append("k", "a"), request_id="r")
    async with world.worker(layer, Handlers()):
        await layer.outcome(world.db, "r")
        for _ in range(3):
            layer.submit(world.db, Append("k", "a"), request_id="r")
        await asyncio.sleep(10.0)
    assert layer.view(world.db).words["k"] == ["a"]
    assert layer.apply(world.db, Append("k", "b"), request_id="r").repeated


@in_virtual_time
async def test_applying_what_was_submitted_applies_it_once(world: World) -> None:
    layer = world.layer(Jobs())
    layer.submit(world.db, Append("k", "a"), request_id="r")
    assert not layer.apply(world.db, Append("k", "a"), request_id="r").repeated
    async with world.worker(layer, Handlers()):
        await asyncio.sleep(10.0)
    assert layer.view(world.db).words["k"] == ["a"]


@in_virtual_time
async def test_a_submission_is_part_of_the_callers_transaction(world: World) -> None:
    layer = world.layer(Jobs())

    def rolled_back(tr: Any) -> None:
        layer.submit(tr, Append("k", "never"), request_id="never")
        raise KeyError

    with pytest.raises(KeyError):
        run(world.db, rolled_back)

    def two(tr: Any) -> None:
        tr[b"elsewhere"] = b"1" if hasattr(tr, "__setitem__") else b""
        layer.submit(tr, Append("k", "a"), ordering_key="k")
        layer.submit(tr, Append("k", "b"), ordering_key="k")

    run(world.db, two)
    async with world.worker(layer, Handlers()):
        await world.until(lambda: "k" in layer.view(world.db).words)
        await asyncio.sleep(1.0)
    assert layer.view(world.db).words["k"] == ["a", "b"]


@in_virtual_time
async def test_an_outcome_that_does_not_come_in_time(world: World) -> None:
    layer = world.layer(Jobs())
    begun = world.loop.time()
    with pytest.raises(TimeoutError):
        await layer.call(world.db, Append("k", "a"), timeout=30.0)
    assert world.loop.time() - begun == pytest.approx(30.0, abs=0.1)


@in_virtual_time
async def test_a_payload_of_the_wrong_type_is_refused_at_once(world: World) -> None:
    layer = world.layer(Jobs())
    with pytest.raises(InputError, match="'nonsense' is not one of"):
        layer.submit(world.db, "nonsense")


@in_virtual_time
async def test_the_time_of_an_input_is_that_of_its_submission_and_its_chance_that_of_its_request(world: World) -> None:
    seen = []

    class Watching(Jobs):
        def stf(self, state: Any, input: Any, actions: Any) -> Any:
            if isinstance(input, Normal):
                seen.append((input.at, input.request_id, input.random().random()))
            return super().stf(state, input, actions)

    layer = world.layer(Watching())
    submitted = world.now_ms()
    layer.submit(world.db, Append("k", "a"), request_id="r")
    layer.submit(world.db, Normal(Append("k", "a"), at=12_345), request_id="s")
    await asyncio.sleep(100.0)
    async with world.worker(layer, Handlers()):
        await layer.outcome(world.db, "r")
        await layer.outcome(world.db, "s")
    expected = Normal(None, request_id="r").random().random()
    assert (submitted, "r", expected) in seen
    assert (12_345, "s") in [one[:2] for one in seen]


@in_virtual_time
async def test_many_inputs_share_a_transaction_and_more_of_them_under_load(world: World) -> None:
    layer = world.layer(Jobs())
    for number in range(0, 2_000, 100):
        run(
            world.db,
            lambda tr, number=number: [  # type: ignore[misc]
                layer.submit(tr, Order(number + n, after=1e6), ordering_key="hot") for n in range(100)
            ],
        )
    sizes = []
    async with world.worker(layer, Handlers()) as worker:
        counted = worker._transact.counted

        async def noting(body: Any, *args: Any, **time: Any) -> Any:
            result, attempts = await counted(body, *args, **time)
            if body.__name__ == "apply_batch":
                sizes.append(result.taken)
            return result, attempts

        worker._transact.counted = noting  # type: ignore[method-assign]
        await world.until(lambda: worker.counts.get("transitions") == 2_000)
    assert sizes[:6] == [16, 32, 64, 128, 256, 512]
    assert len(sizes) < 10


@in_virtual_time
async def test_inputs_are_applied_exactly_once_over_crashes(world: World) -> None:
    layer = world.layer(Jobs())
    for number in range(200):
        layer.submit(world.db, Append(str(number), "x"), request_id=number)
    for number in range(5):
        task = world.loop.create_task(world.worker(layer, Handlers(), f"w{number}", lease_seconds=0.5).run())
        await asyncio.sleep(0.0 if number else 1e-9)
        for _ in range(number * 7):
            await asyncio.sleep(0)
        await killed(task)
    async with world.worker(layer, Handlers(), lease_seconds=0.5):
        await asyncio.gather(*(layer.outcome(world.db, number) for number in range(200)))
    assert {tuple(words) for _, words in layer.view(world.db).words.items()} == {("x",)}
