from __future__ import annotations

import random

import pytest
from fdb.tuple import Versionstamp

from phasm_fdb.lease import Lease
from phasm_fdb.records import Progress
from phasm_fdb.runtime import window as window_module
from phasm_fdb.runtime.window import KEY_ROOM, LANE_ROOM, TYPE_ROOM, Window
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
    assert one.second_look() is None, "there is no room yet"
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
    assert one.second_look() == works[KEY_ROOM].row
    one.looked([work(5_000), *works[KEY_ROOM:]], None)
    assert one.loaded == KEY_ROOM, "what was read again for one key is taken for that key alone"
    assert one.take(0, never) is works[KEY_ROOM]
    assert one.second_look() is None


def test_more_of_a_limited_type_than_there_is_room_for_are_read_again_later() -> None:
    one = window()
    works = [work(number, "Limited") for number in range(TYPE_ROOM + 5)]
    for each in works:
        one.offer(each)
    late = work(8_888, "Limited")
    one.offer(late)
    assert one.wants_more(1), "the lane is read on for the others"
    assert one.second_look() is None
    for number in range(TYPE_ROOM // 2):
        assert one.take(0, never) is works[number]
    assert one.second_look() == works[TYPE_ROOM].row
    one.looked([*works[TYPE_ROOM:], late], None)
    assert one.loaded == TYPE_ROOM // 2 + 6


def test_keys_that_wait_for_another_attempt_take_no_room_from_others() -> None:
    one = window()
    for number in range(3 * LANE_ROOM):
        one.offer(work(number, key=b"%d" % (number % LANE_ROOM), next_ms=500))
    assert one.loaded <= LANE_ROOM * 3 // 2 + 1, "of most keys only the first is kept"
    assert one.wants_more(1)
    other = work(99_999)
    one.offer(other)
    assert one.take(0, never) is other
    assert one.second_look() is None, "nothing is read again for those that wait"


def test_what_waits_behind_works_that_fail_takes_no_room_from_others() -> None:
    one = window()
    keys = LANE_ROOM // 3
    for number in range(3 * keys):
        one.offer(work(number, key=b"%d" % (number % keys)))
    assert not one.wants_more(1)
    heads = [one.take(0, never) for _ in range(keys)]
    for head in heads:
        assert head is not None
        head.progress = Progress(attempts=1, next_ms=500)
        one.retry(head)
    assert one.wants_more(1)
    assert one.loaded <= keys + LANE_ROOM // 2 + 1
    for _ in range(keys):
        head = one.take(500, never)
        assert head is not None
        one.done(head)
    assert one.second_look() is not None, "and is read again"


def test_keys_of_an_unknown_type_or_of_one_at_its_limit_take_no_room_from_others() -> None:
    one = window()
    for number in range(LANE_ROOM):
        one.offer(work(number, "Unknown", key=b"u%d" % number))
        one.offer(work(number, "Limited", key=b"l%d" % number))
    assert one.wants_more(1)
    assert one.loaded == LANE_ROOM + TYPE_ROOM
    other = work(99_999)
    one.offer(other)
    assert one.take(0, lambda tag: True) is other
    for number in range(TYPE_ROOM // 2):
        taken = one.take(0, never)
        assert taken is not None
        assert taken.packed_key == b"l%d" % number
        one.done(taken)
    assert one.second_look() is not None, "there is room for more of the limited type"


class ALane:
    """The rows of a lane, and a worker that reads, starts, fails and ends them as it comes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.window = window()
        self.rows: list[Work] = []
        self.read = 0
        self.again = 0
        self.running: list[Work] = []
        self.now = 0
        self.done: list[Work] = []

    def arrive(self) -> None:
        tag = self.rng.choice(["Job", "Job", "Limited"])
        key = self.rng.choice([None, b"a", b"b", b"c", b"d"])
        number = len(self.rows)
        self.rows.append(work(number, tag, key, self.rng.choice([0, 0, 0, self.now + 5])))

    def load(self) -> None:
        """Read the next page, and one of the second look, as the loader does."""
        begin = self.window.second_look()
        if begin is not None:
            alive = [row for row in self.rows[: self.read] if row.row >= begin and row not in self.done]
            page, more = alive[:3], alive[3:]
            self.window.looked(page, page[-1].row + b"\0" if more else None)
        if self.window.wants_more(4):
            for each in self.rows[self.read : self.read + 3]:
                self.window.offer(each)
            self.read = min(self.read + 3, len(self.rows))

    def start(self) -> None:
        blocked = self.rng.random() < 0.3
        taken = self.window.take(self.now, lambda tag: blocked)
        if taken is not None:
            assert all(taken is not one for one in self.running), "nothing runs twice at once"
            if self.rng.random() < 0.2 and taken.tag == "Limited":
                self.window.put_back(taken)
            else:
                self.running.append(taken)

    def end(self) -> None:
        if not self.running:
            return
        ended = self.running.pop(self.rng.randrange(len(self.running)))
        if ended.packed_key is not None and self.rng.random() < 0.4:
            ended.progress = Progress(attempts=1, next_ms=self.now + self.rng.randrange(1, 9))
            self.window.retry(ended)
        else:
            self.done.append(ended)
            self.window.done(ended)

    def live(self, arrivals: int) -> None:
        while len(self.done) < arrivals:
            self.now += 1
            assert self.now < 100_000, "something never comes to its turn"
            if len(self.rows) < arrivals and self.rng.random() < 0.5:
                self.arrive()
            for act in self.rng.sample([self.load, self.start, self.start, self.end], 3):
                act()


@pytest.mark.parametrize("seed", range(60))
def test_all_are_done_once_and_those_of_a_key_in_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, room in (("KEY_ROOM", 3), ("TYPE_ROOM", 3), ("LANE_ROOM", 6)):
        monkeypatch.setattr(window_module, name, room)
    lane = ALane(seed)
    lane.live(150)
    assert sorted(one.row for one in lane.done) == [one.row for one in lane.rows]
    for key in (b"a", b"b", b"c", b"d"):
        numbers = [one.row for one in lane.done if one.packed_key == key]
        assert numbers == sorted(numbers)
    assert lane.window.loaded == 0


def test_unknown_types_are_left_and_named_and_block_their_key_alone() -> None:
    one = window()
    known = work(4)
    for each in (work(1, "Unknown"), work(2, "Unknown", key=b"k"), work(3, key=b"k"), known):
        one.offer(each)
    assert one.unknown == {"Unknown"}
    assert one.take(0, never) is known
    assert one.take(0, never) is None


def test_behind_one_that_waits_and_is_cancelled_the_next_of_its_key_may_start() -> None:
    one = window()
    first, second, third = work(1, key=b"k", next_ms=500), work(2, key=b"k"), work(3, "Unknown", key=b"other")
    for each in (first, second, third):
        one.offer(each)
    assert one.asleep(1) == [first] and one.asleep(1) == [third], "each in turn"
    assert one.take(0, never) is None
    one.gone(first)
    one.gone(first)
    assert one.next_due_ms() is None and one.asleep(5) == [third]
    assert one.take(0, never) is second
    one.gone(second)  # it runs: who runs it finds out
    one.done(second)
    one.gone(third)
    assert one.loaded == 0 and one.asleep(5) == []
