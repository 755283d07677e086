"""The tracked actions that a worker holds in memory: lost in a crash, and given back by `restore`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from phasm_fdb.actions import Tracked, due_ms
from phasm_fdb.keys import pack_element


class Work:
    """Pending actions in the order in which they came, and when each is due."""

    def __init__(self) -> None:
        self._actions: dict[bytes, tuple[Tracked[Any], int]] = {}

    def __len__(self) -> int:
        return len(self._actions)

    def __contains__(self, action: Tracked[Any]) -> bool:
        return pack_element(action.id) in self._actions

    def add(self, actions: Iterable[Tracked[Any]], now_ms: int) -> None:
        """Take actions that were emitted, or restored, at a time in milliseconds since the epoch."""
        for action in actions:
            self._actions[pack_element(action.id)] = action, due_ms(action, now_ms) or now_ms

    def remove(self, action: Tracked[Any]) -> None:
        """Forget an action that is not pending any more."""
        self._actions.pop(pack_element(action.id), None)

    def ready(self, now_ms: int) -> list[Tracked[Any]]:
        """The actions that may be done now: those that are due, and of an ordering key only the first of them."""
        ready, seen = [], set()
        for action, due in self._actions.values():
            if due > now_ms:
                continue
            if action.ordering_key is not None:
                key = pack_element(action.ordering_key)
                if key in seen:
                    continue
                seen.add(key)
            ready.append(action)
        return ready

    def next_due(self) -> int | None:
        """When the first of them is due, in milliseconds since the epoch; None if there are none."""
        return min((due for _, due in self._actions.values()), default=None)
