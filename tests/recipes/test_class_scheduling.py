"""The class scheduling tutorial: students sign up for classes with a limited number of seats."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Any

import fdb.tuple
import pytest
from fdb.subspace_impl import Subspace

from phasm_fdb.database.transactional import transactional

SEATS = 100
CLASSES_A_STUDENT = 5

attends = Subspace(("attends",))  # (student, class) -> nothing
courses = Subspace(("class",))  # (class,) -> seats left


class Refused(Exception):
    """The school's rules do not allow it."""


@transactional
def add_class(tr: Any, name: str, seats: int = SEATS) -> None:
    tr[courses.pack((name,))] = fdb.tuple.pack((seats,))


@transactional
def available_classes(tr: Any) -> list[str]:
    rows = tr[courses.range(())]
    return [courses.unpack(bytes(row.key))[0] for row in rows if seats_of(row.value) > 0]


def seats_of(value: Any) -> int:
    (seats,) = fdb.tuple.unpack(bytes(value))
    return int(seats)


@transactional
def sign_up(tr: Any, student: str, name: str) -> None:
    key = attends.pack((student, name))
    if tr[key].present():
        return  # signed up already: a retry may find its own work done
    seats = seats_of(tr[courses.pack((name,))])
    if seats == 0:
        raise Refused("no seats left")
    if len(list(tr[attends.range((student,))])) == CLASSES_A_STUDENT:
        raise Refused("too many classes")
    tr[courses.pack((name,))] = fdb.tuple.pack((seats - 1,))
    tr[key] = b""


@transactional
def drop(tr: Any, student: str, name: str) -> None:
    key = attends.pack((student, name))
    if not tr[key].present():
        return
    tr[courses.pack((name,))] = fdb.tuple.pack((seats_of(tr[courses.pack((name,))]) + 1,))
    del tr[key]


@transactional
def swap(tr: Any, student: str, old: str, new: str) -> None:
    """Both or neither: a transactional function made of two others."""
    drop(tr, student, old)
    sign_up(tr, student, new)


def seats_and_students(db: Any, name: str) -> tuple[int, int]:
    seats = seats_of(db[courses.pack((name,))])
    rows = db.create_transaction()[attends.range(())]
    return seats, sum(attends.unpack(bytes(row.key))[1] == name for row in rows)


@pytest.fixture
def school(database: Any) -> Any:
    for level, subject in itertools.product(["intro", "advanced"], ["chem", "bio", "lit"]):
        add_class(database, f"{level} {subject}")
    return database


def test_the_classes_are_offered(school: Any) -> None:
    assert len(available_classes(school)) == 6


def test_signing_up_takes_one_seat_once(school: Any) -> None:
    sign_up(school, "ann", "intro bio")
    sign_up(school, "ann", "intro bio")
    assert seats_and_students(school, "intro bio") == (SEATS - 1, 1)


def test_dropping_gives_the_seat_back(school: Any) -> None:
    sign_up(school, "ann", "intro bio")
    drop(school, "ann", "intro bio")
    drop(school, "ann", "intro bio")
    assert seats_and_students(school, "intro bio") == (SEATS, 0)


def test_a_full_class_is_not_offered_and_refuses(school: Any) -> None:
    add_class(school, "seminar", 1)
    sign_up(school, "ann", "seminar")
    assert "seminar" not in available_classes(school)
    with pytest.raises(Refused, match="no seats"):
        sign_up(school, "bob", "seminar")


def test_a_student_has_five_classes_at_most(school: Any) -> None:
    *five, sixth = available_classes(school)
    for name in five:
        sign_up(school, "ann", name)
    with pytest.raises(Refused, match="too many"):
        sign_up(school, "ann", sixth)


def test_a_swap_that_fails_changes_nothing(school: Any) -> None:
    add_class(school, "seminar", 0)
    sign_up(school, "ann", "intro lit")
    with pytest.raises(Refused):
        swap(school, "ann", "intro lit", "seminar")
    assert seats_and_students(school, "intro lit") == (SEATS - 1, 1)
    swap(school, "ann", "intro lit", "advanced lit")
    assert seats_and_students(school, "intro lit") == (SEATS, 0)
    assert seats_and_students(school, "advanced lit") == (SEATS - 1, 1)


def indecisive(db: Any, student: str, names: list[str], rng: random.Random) -> None:
    """A student who signs up, drops and swaps ten times over."""
    mine: list[str] = []
    for _ in range(10):
        others = [name for name in names if name not in mine]
        try:
            if mine and rng.random() < 0.3:
                drop(db, student, mine[0])
                mine.pop(0)
            elif mine and rng.random() < 0.5:
                new = rng.choice(others)
                swap(db, student, mine[0], new)
                mine[0] = new
            else:
                new = rng.choice(others)
                sign_up(db, student, new)
                mine.append(new)
        except Refused:
            pass


def test_ten_students_at_once_never_lose_a_seat(database: Any) -> None:
    names = [f"class {number}" for number in range(6)]
    for name in names:
        add_class(database, name, 4)
    students = [
        threading.Thread(target=indecisive, args=(database, f"s{number}", names, random.Random(number)))
        for number in range(10)
    ]
    for student in students:
        student.start()
    for student in students:
        student.join()
    for name in names:
        seats, attending = seats_and_students(database, name)
        assert seats + attending == 4
        assert seats >= 0
