"""What needs time or size to see: the answers that a real 7.3.79 cluster gave (tests/conformance/golden/README.md)."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable

import pytest

from phasm_fdb.embedded import Database, KeySelector, StreamingMode
from phasm_fdb.embedded.transaction import Transaction
from phasm_fdb.errors import FDBError
from tests.embedded.virtual_time import VirtualTime, code_of

RETRIED = [1007, 1009, 1020, 1021, 1037, 1038, 1042, 1051, 1078, 1079, 1213, 1223]
RAISED = [1000, 1025, 1031, 1036, 1039, 1101, 2000, 2004, 2017, 2101]


# ------------------------------------------------------------------------------------------------------------ age


def test_a_first_read_after_six_seconds_is_too_old(db: Database, time: VirtualTime) -> None:
    tr = db.create_transaction()
    tr.get_read_version().wait()
    time.advance(6)
    assert code_of(tr.get(b"k").wait) == 1007


@pytest.mark.parametrize("read", ["get", "get_key", "get_range"])
def test_a_read_of_the_future_waits_a_second_for_it(db: Database, time: VirtualTime, read: str) -> None:
    db[b"k"] = b"v"
    version = db.create_transaction().get_read_version().wait()
    reads: dict[str, Callable[[Transaction], Callable[[], object]]] = {
        "get": lambda tr: tr.get(b"k").wait,
        "get_key": lambda tr: tr.get_key(KeySelector.first_greater_or_equal(b"a")).wait,
        "get_range": lambda tr: tr.get_range(b"a", b"z").to_list,
    }
    never = db.create_transaction()
    never.set_read_version(2**62)
    began = time.now
    assert code_of(reads[read](never)) == 1009
    assert time.now - began == 1.0
    never.set(b"other", b"")
    assert code_of(never.commit().wait) == 1009
    soon = db.create_transaction()
    soon.set_read_version(version + 500_000)
    wait = reads[read](soon)
    time.advance(0.6)
    db[b"k"] = b"later"
    assert code_of(wait) == 0
    assert soon.get(b"k") == b"v", "as of that version"


def test_a_timeout_that_has_fired_cannot_be_undone(db: Database, time: VirtualTime) -> None:
    for later in (0, 60_000):
        tr = db.create_transaction()
        tr.options.set_timeout(50)
        time.advance(0.15)
        tr.options.set_timeout(later)
        assert code_of(tr.get(b"k").wait) == 1031
        tr.reset()
        assert code_of(tr.get(b"k").wait) == 0


def test_a_key_that_was_read_is_answered_after_six_seconds(db: Database, time: VirtualTime) -> None:
    db[b"k"] = b"v"
    tr = db.create_transaction()
    assert tr.get(b"k") == b"v"
    time.advance(6)
    assert tr.get(b"k") == b"v"
    assert tr.snapshot.get(b"k") == b"v"
    assert code_of(tr.get(b"other").wait) == 1007


def test_a_range_that_was_read_is_answered_after_six_seconds(db: Database, time: VirtualTime) -> None:
    for key in (b"a", b"b", b"c"):
        db[key] = key
    tr = db.create_transaction()
    rows = list(tr.get_range(b"a", b"z"))
    time.advance(6)
    assert list(tr.get_range(b"a", b"z")) == rows
    assert list(tr.get_range(b"b", b"c", reverse=True)) == rows[1:2]
    assert tr.get(b"b") == b"b"
    assert not tr.get(b"bb").present(), "that there is nothing is known too"
    assert tr.get_key(KeySelector.first_greater_or_equal(b"b")) == b"b"
    assert code_of(tr.get_range(b"a", b"zz").to_list) == 1007


@pytest.mark.parametrize("read", [False, True])
def test_a_commit_after_six_seconds_is_too_old(db: Database, time: VirtualTime, read: bool) -> None:
    tr = db.create_transaction()
    tr.get_read_version().wait()
    if read:
        tr.get(b"k").wait()
    tr.set(b"k", b"v")
    time.advance(6)
    assert code_of(tr.commit().wait) == 1007
    tr.on_error(1007).wait()
    tr.set(b"k", b"v")
    tr.commit().wait()


def test_a_blind_write_commits_at_any_age(db: Database, time: VirtualTime) -> None:
    tr = db.create_transaction()
    tr.set(b"k", b"v")
    time.advance(6)
    tr.commit().wait()
    assert db[b"k"] == b"v"


def test_a_read_only_transaction_commits_at_any_age(db: Database, time: VirtualTime) -> None:
    tr = db.create_transaction()
    tr.get(b"k").wait()
    time.advance(6)
    tr.commit().wait()


def test_read_versions_that_were_never_or_not_yet(db: Database) -> None:
    for version, code in ((1, 1007), (2**62, 1009)):
        tr = db.create_transaction()
        tr.set_read_version(version)
        assert code_of(tr.get(b"k").wait) == code
        tr.on_error(code).wait()
        assert not tr.get(b"k").present()


def test_a_read_version_within_the_window_sees_what_was_there(db: Database, time: VirtualTime) -> None:
    db[b"k"] = b"first"
    version = db.create_transaction().get_read_version().wait()
    time.advance(1)
    db[b"k"] = b"second"
    tr = db.create_transaction()
    tr.set_read_version(version)
    assert tr.get_read_version().wait() == version
    assert tr.get(b"k") == b"first"
    assert tr.get_range(b"", b"\xff").to_list() == [(b"k", b"first")]
    tr.set(b"other", b"")
    assert code_of(tr.commit().wait) == 1020


def test_a_read_version_is_set_once(db: Database) -> None:
    tr = db.create_transaction()
    version = tr.get_read_version().wait()
    tr.set_read_version(version)
    assert code_of(tr.get(b"k").wait) == 2010
    tr.reset()
    tr.set_read_version(0)
    assert code_of(tr.commit().wait) == 2011


def test_versions_grow_by_a_million_in_an_idle_second(db: Database, time: VirtualTime) -> None:
    first = db.create_transaction().get_read_version().wait()
    time.advance(1)
    second = db.create_transaction().get_read_version().wait()
    assert 1_000_000 <= second - first <= 2_000_000


def test_a_versionstamp_is_the_version_and_the_batch_order(db: Database) -> None:
    seen = []
    for _ in range(40):
        tr = db.create_transaction()
        tr.set(b"k", b"v")
        stamp = tr.get_versionstamp()
        tr.commit().wait()
        assert int.from_bytes(bytes(stamp)[:8], "big") == tr.get_committed_version()
        assert len(bytes(stamp)) == 10
        seen.append(bytes(stamp))
    assert seen == sorted(set(seen))


def test_without_writes_the_committed_version_is_minus_one(db: Database) -> None:
    tr = db.create_transaction()
    assert tr.get_committed_version() == -1
    tr.watch(b"k")
    tr.commit().wait()
    assert tr.get_committed_version() == -1


# ------------------------------------------------------------------------------------------- on_error and options


@pytest.mark.parametrize("code", RETRIED)
def test_on_error_retries(db: Database, code: int) -> None:
    tr = db.create_transaction()
    tr.set(b"k", b"v")
    tr.on_error(code).wait()
    tr.commit().wait()
    assert db[b"k"] is None, "the writes are gone"


@pytest.mark.parametrize("code", RAISED)
def test_on_error_raises_what_it_does_not_retry(db: Database, code: int) -> None:
    tr = db.create_transaction()
    assert code_of(tr.on_error(FDBError(code)).wait) == code
    assert code_of(tr.get(b"k").wait) == 1025


def test_on_error_raises_what_is_no_foundationdb_error(db: Database) -> None:
    with pytest.raises(KeyError):
        db.create_transaction().on_error(KeyError("no"))


def test_the_retry_limit(db: Database) -> None:
    tr = db.create_transaction()
    tr.options.set_retry_limit(2)
    assert [code_of(tr.on_error(1020).wait) for _ in range(4)] == [0, 0, 1020, 1025]
    tr.reset()
    assert [code_of(tr.on_error(1020).wait) for _ in range(4)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("longest", "bounds"), [(None, [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1]), (50, [0.01, 0.02, 0.04, 0.05])]
)
def test_delays_are_random_below_a_growing_bound(time: VirtualTime, longest: int | None, bounds: list[float]) -> None:
    shares = itertools.cycle([0.25, 0.75])
    db = time.open_memory(random=lambda: next(shares))
    tr = db.create_transaction()
    if longest is not None:
        tr.options.set_max_retry_delay(longest)
    for _ in bounds:
        tr.on_error(1020).wait()
    expected = [bound * share for bound, share in zip(bounds, itertools.cycle([0.25, 0.75]), strict=False)]
    assert time.slept == pytest.approx(expected)


def test_a_timeout(db: Database, time: VirtualTime) -> None:
    tr = db.create_transaction()
    tr.options.set_timeout(100)
    assert code_of(tr.get(b"k").wait) == 0
    time.advance(0.3)
    assert code_of(tr.get(b"k").wait) == 1031
    assert code_of(tr.on_error(1031).wait) == 1031
    assert code_of(tr.get(b"k").wait) == 1031
    tr.reset()
    time.advance(10)
    assert code_of(tr.get(b"k").wait) == 0


def test_a_timeout_spans_the_retries(db: Database, time: VirtualTime) -> None:
    tr = db.create_transaction()
    tr.options.set_timeout(100)
    for _ in range(3):
        tr.on_error(1020).wait()
        time.advance(0.02)
    assert code_of(tr.on_error(1020).wait) == 1031, "the delay would end after it"
    assert time.now == pytest.approx(1000.1)


def test_a_dropped_transaction_cancels_its_futures(db: Database) -> None:
    tr = db.create_transaction()
    watch, stamp = tr.watch(b"k"), tr.get_versionstamp()
    assert not watch.is_ready()
    del tr
    gc.collect()
    assert code_of(watch.wait) == 1025
    assert code_of(stamp.wait) == 1025


# ----------------------------------------------------------------------------------------------------------- sizes


def test_the_size_limit(db: Database) -> None:
    tr = db.create_transaction()
    tr.options.set_size_limit(1000)
    for number in range(20):
        tr.set(b"%02d" % number, b"v" * 100)
    assert code_of(tr.commit().wait) == 2101


@pytest.mark.parametrize("disable", [False, True], ids=["read-your-writes", "without"])
def test_ten_megabytes_are_too_much(db: Database, disable: bool) -> None:
    tr = db.create_transaction()
    if disable:
        tr.options.set_read_your_writes_disable()
    for number in range(101):
        tr.set(b"%03d" % number, b"v" * 100_000)
    assert code_of(tr.commit().wait) == 2101


def test_what_is_overwritten_does_not_count(db: Database) -> None:
    tr = db.create_transaction()
    for _ in range(200):
        tr.set(b"k", b"v" * 100_000)
    tr.commit().wait()
    assert db[b"k"] == b"v" * 100_000


def test_the_smallest_and_the_longest_key(db: Database) -> None:
    db[b""] = b"empty"
    db[b"k" * 10_000] = b"long"
    assert (db[b""], db[b"k" * 10_000]) == (b"empty", b"long")


def test_a_versionstamped_key_counts_with_its_offset(db: Database) -> None:
    for length, code in ((9_986, 0), (9_987, 2102)):
        tr = db.create_transaction()
        tr.set_versionstamped_key(b"k" * length + b"\0" * 10 + length.to_bytes(4, "little"), b"")
        assert code_of(tr.commit().wait) == code


def test_add_takes_a_long_operand(db: Database) -> None:
    db.add(b"n", b"\1" * 1000)
    assert db[b"n"] == b"\1" * 1000


def test_the_approximate_size(db: Database) -> None:
    tr = db.create_transaction()
    sizes = [tr.get_approximate_size().wait()]
    steps: list[Callable[[], object]] = [
        lambda: tr.set(b"key", b"value"),
        lambda: tr.get(b"key2").wait(),
        lambda: tr.clear_range(b"x", b"y"),
        lambda: tr.add(b"n", b"\1"),
    ]
    for step in steps:
        step()
        sizes.append(tr.get_approximate_size().wait())
    assert sizes == [0, 83, 116, 188, 261]


def test_the_estimated_size_and_the_split_points(db: Database) -> None:
    for chunk in range(0, 10_000, 500):
        tr = db.create_transaction()
        for number in range(chunk, chunk + 500):
            tr.set(b"key/%08d" % number, b"v" * 1000)
        tr.commit().wait()
    tr = db.create_transaction()
    estimate = tr.get_estimated_range_size_bytes(b"key/", b"key0").wait()
    assert 9_000_000 < estimate < 11_500_000
    points = tr.get_range_split_points(b"key/", b"key0", 2_000_000).wait()
    assert (points[0], points[-1]) == (b"key/", b"key0")
    assert len(points) in (6, 7)
    assert points == sorted(points)
    assert code_of(tr.get_estimated_range_size_bytes(b"z", b"a").wait) == 2005


def test_streaming_modes_and_limits(db: Database) -> None:
    for number in range(300):
        db[b"%03d" % number] = b"v" * 100
    tr = db.create_transaction()
    assert code_of(tr.get_range(b"", b"\xff", streaming_mode=StreamingMode.exact).to_list) == 2210
    assert len(list(tr.get_range(b"", b"\xff", limit=-1))) == 300
    for mode in (StreamingMode.want_all, StreamingMode.iterator, StreamingMode.small, StreamingMode.medium):
        assert len(list(tr.get_range(b"", b"\xff", streaming_mode=mode))) == 300
        assert len(list(tr.get_range(b"", b"\xff", limit=7, reverse=True, streaming_mode=mode))) == 7
    assert code_of(tr.get_range(b"", b"\xff", streaming_mode=9).to_list) == 2000


def test_an_unknown_special_key(db: Database) -> None:
    tr = db.create_transaction()
    assert code_of(tr.get(b"\xff\xff/no/such/module").wait) == 2113
    assert code_of(tr.get_range(b"\xff\xff/a", b"\xff\xff/b").to_list) == 2113


# --------------------------------------------------------------------------------------------------------- watches


def test_watches_without_read_your_writes(db: Database) -> None:
    tr = db.create_transaction()
    tr.options.set_read_your_writes_disable()
    assert code_of(tr.watch(b"k").wait) == 1034


def test_the_most_watches(db: Database) -> None:
    db.options.set_max_watches(2)
    tr = db.create_transaction()
    kept = [tr.watch(b"a"), tr.watch(b"b")]
    assert code_of(tr.watch(b"c").wait) == 1032
    kept[0].cancel()
    assert not tr.watch(b"c").is_ready(), "a cancelled one makes room"


def test_a_watch_of_a_key_that_the_transaction_writes_after(db: Database) -> None:
    tr = db.create_transaction()
    watch = tr.watch(b"k")
    tr.set(b"k", b"other")
    tr.commit().wait()
    assert watch.is_ready()


def test_a_watch_of_a_key_that_the_transaction_wrote_before(db: Database) -> None:
    watch = db.set_and_watch(b"k", b"v")
    assert not watch.is_ready()
    db[b"k"] = b"w"
    assert watch.is_ready()
    watch.wait()
