"""What a versionstamped write makes unreadable, and what the option `bypass_unreadable` does about it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

At = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]

PLACEHOLDER = b"\xff" * 10


def stamped(prefix: bytes, suffix: bytes = b"") -> bytes:
    return prefix + PLACEHOLDER + suffix + struct.pack("<L", len(prefix))


def commit_stamped(database: Any, prefix: bytes) -> bytes:
    """Commit one versionstamped key, and return it."""
    tr = database.create_transaction()
    stamp = tr.get_versionstamp()
    tr.set_versionstamped_key(stamped(prefix), b"1")
    tr.commit().wait()
    return prefix + bytes(stamp.wait())


def started(database: Any) -> Any:
    tr = database.create_transaction()
    tr.get_read_version().wait()
    return tr


def test_what_the_last_commit_stamped_is_unreadable_beside_another_stamp(database: Any, at: At, fails: Fails) -> None:
    """The unreadable range begins at the read version, which is the last commit's, so it includes its keys."""
    key = commit_stamped(database, at(b"log"))
    tr = started(database)
    assert tr.get(key).wait() == b"1"
    tr = started(database)
    tr.set_versionstamped_key(stamped(at(b"log")), b"2")
    with fails(1036):
        tr.get(key).wait()
    with fails(1036):
        tr.commit().wait()


def test_bypass_lets_single_keys_be_read_and_the_commit_pass(database: Any, at: At) -> None:
    key = commit_stamped(database, at(b"log"))
    tr = started(database)
    tr.options.set_bypass_unreadable()
    tr.set_versionstamped_key(stamped(at(b"log")), b"2")
    assert tr.get(key).wait() == b"1"
    assert tr.get(at(b"log") + PLACEHOLDER).wait() == None  # noqa: E711 - the binding's values compare with None
    tr.commit().wait()


def test_bypass_shows_the_placeholder_of_a_value(database: Any, at: At) -> None:
    tr = started(database)
    tr.options.set_bypass_unreadable()
    tr.set_versionstamped_value(at(b"value"), b"x" + PLACEHOLDER + b"tail" + struct.pack("<L", 1))
    assert tr.get(at(b"value")).wait() == b"x" + PLACEHOLDER + b"tail" + struct.pack("<L", 1)
    tr.set(at(b"value"), b"plain")
    assert tr.get(at(b"value")).wait() == b"plain"


def test_bypass_does_not_help_a_range_read(database: Any, at: At, fails: Fails) -> None:
    commit_stamped(database, at(b"log"))
    for snapshot in (False, True):
        tr = started(database)
        tr.options.set_bypass_unreadable()
        tr.set_versionstamped_key(stamped(at(b"log")), b"2")
        reader = tr.snapshot if snapshot else tr
        with fails(1036):
            list(reader.get_range(at(b"log"), at(b"loh")))
        with fails(1036):
            tr.commit().wait()


def test_a_commit_that_conflicts_takes_a_version(database: Any, at: At, fails: Fails) -> None:
    key = commit_stamped(database, at(b"log"))
    loser = started(database)
    loser.get(at(b"a")).wait()
    loser.set(at(b"b"), b"1")
    database[at(b"a")] = b"1"
    with fails(1020):
        loser.commit().wait()
    tr = started(database)
    tr.set_versionstamped_key(stamped(at(b"log")), b"2")
    assert tr.get(key).wait() == b"1", "the read version is later than the stamp"
