"""Names of its own that only sound like a way out."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lint.speaking import Shop


@dataclass(frozen=True)
class Door:
    open: bool
    time: int

    def now(self):
        return self.time

    def sleep(self):
        return "asleep"


def time():
    return 12


def print(text):
    return text


class Clean(Shop):
    def stf(self, state, input, actions):
        door = Door(open=True, time=time())
        random = [door.now(), door.sleep(), door.open]
        id = state.next_id.take()
        hash = id + 1
        return [random, id, hash, print("x")]
