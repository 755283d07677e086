from __future__ import annotations

from phasm_fdb.runtime.observer import Observer


def test_a_row_that_does_not_change_for_a_lease_time_is_of_a_dead_worker() -> None:
    observer = Observer(10.0)
    assert observer.dead({b"a": b"1", b"b": b"1"}, 1_000.0) == {}
    assert observer.dead({b"a": b"2", b"b": b"1"}, 1_009.9) == {}
    assert observer.dead({b"a": b"2", b"b": b"1"}, 1_010.0) == {b"b": b"1"}
    assert observer.dead({b"a": b"2", b"b": b"1"}, 1_020.0) == {b"a": b"2", b"b": b"1"}


def test_a_heartbeat_in_time_starts_the_lease_anew() -> None:
    observer = Observer(10.0)
    for beat in range(10):
        assert observer.dead({b"a": bytes([beat])}, beat * 9.0) == {}


def test_the_row_is_judged_by_the_observers_clock_alone() -> None:
    """What a row says of time is not looked at: a worker whose clock is years ahead lives no longer."""
    observer = Observer(10.0)
    observer.dead({b"a": b"9999-12-31"}, 5.0)
    assert observer.dead({b"a": b"9999-12-31"}, 15.0) == {b"a": b"9999-12-31"}


def test_a_worker_that_left_and_comes_again_is_observed_anew() -> None:
    observer = Observer(10.0)
    observer.dead({b"a": b"1"}, 0.0)
    observer.dead({}, 5.0)
    assert observer.dead({b"a": b"1"}, 12.0) == {}
