from __future__ import annotations

from fdb.tuple import Versionstamp

from phasm_fdb.records import Progress
from phasm_fdb.runtime.lease import Lease
from phasm_fdb.runtime.window import KEY_ROOM, TYPE_ROOM, Window
from phasm_fdb.runtime.work import Work

LEASE = Lease(0, 1, b"me")


def work(number: int, tag: str = "Job", key: bytes | None = None, next_ms: int = 0) -> Work:
    stamp = Versionstamp(number.to_bytes(10, "big"), 0)
    row = b"row" + number.to_bytes(4, "big")
    return Work(LEASE, row, stamp, row, tag, key, Progress(next_ms=next_ms))


def window() -> Window:
    return Window(lambda tag: tag == "Limited", lambda tag: tag != "Unknown")


def never(tag: str) -> bool:
    return False


def test_works_are_taken_in_order() -> None:
    one = window()
    works = [work(number) for number in range(5)]
    for each in works:
        one.offer(each)
    assert [one.take(0, never) for _ in range(6)] == [*works, None]
    assert one.loaded == 0


def test_of_a_key_the_next_is_taken_when_the_one_before_it_is_done() -> None:
    one = window()
    first, second, other = work(1, key=b"k"), work(2, key=b"k"), work(3, key=b"other")
    for each in (first, second, other):
        one.offer(each)
    assert [one.take(0, never), one.take(0, never), one.take(0, never)] == [first, other, None]
    one.done(first)
    assert one.take(0, never) is second


def test_a_failed_one_keeps_its_place_and_those_behind_it_wait() -> None:
    one = window()
    first, second = work(1, key=b"k"), work(2, key=b"k")
    one.offer(first)
    one.offer(second)
    assert one.take(0, never) is first
    first.progress = Progress(next_ms=500)
    one.retry(first)
    assert one.next_due_ms() == 500
    assert one.take(499, never) is None
    assert one.take(500, never) is first
    one.done(first)
    assert one.take(500, never) is second


def test_a_limited_type_waits_without_holding_up_others() -> None:
    one = window()
    limited, plain = work(1, "Limited"), work(2)
    one.offer(limited)
    one.offer(plain)
    assert one.take(0, lambda tag: tag == "Limited") is plain
    assert one.take(0, lambda tag: tag == "Limited") is None
    assert one.take(0, never) is limited
    one.put_back(limited)
    assert one.take(0, never) is limited


def test_more_of_a_key_than_there_is_room_for_are_read_again_later() -> None:
    one = window()
    works = [work(number, key=b"k") for number in range(KEY_ROOM * 2)]
    for each in works:
        one.offer(each)
    one.offer(work(9_999))
    assert one.loaded == KEY_ROOM + 1
    assert one.resume == {("key", b"k"): works[KEY_ROOM].row}
    assert list(one.hungry()) == []
    taken = []
    for _ in range(KEY_ROOM):
        head = one.take(0, never)
        assert head is not None
        if head.packed_key is None:
            head = one.take(0, never)
            assert head is not None
        taken.append(head)
        one.done(head)
    assert taken == works[:KEY_ROOM]
    assert list(one.hungry()) == [("key", b"k")]
    del one.resume["key", b"k"]
    for each in [work(5_000), *works[KEY_ROOM:]]:
        one.offer(each, only=("key", b"k"))
    assert one.loaded == KEY_ROOM, "what was read again for one key is taken for that key alone"
    assert one.take(0, never) is works[KEY_ROOM]


def test_more_of_a_limited_type_than_there_is_room_for_are_read_again_later() -> None:
    one = window()
    works = [work(number, "Limited") for number in range(TYPE_ROOM + 5)]
    for each in works:
        one.offer(each)
    late = work(8_888, "Limited")
    one.offer(late)
    assert one.resume == {("type", "Limited"): works[TYPE_ROOM].row}
    assert one.wants_more(1), "the lane is read on for the others"


def test_unknown_types_are_left_and_named_and_block_their_key_alone() -> None:
    one = window()
    known = work(4)
    for each in (work(1, "Unknown"), work(2, "Unknown", key=b"k"), work(3, key=b"k"), known):
        one.offer(each)
    assert one.unknown == {"Unknown"}
    assert one.take(0, never) is known
    assert one.take(0, never) is None
