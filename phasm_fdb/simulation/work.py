"""The tracked actions that a worker holds in memory: lost in a crash, and given back by `restore`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from phasm_fdb.actions import Tracked
from phasm_fdb.keys import pack_element


class Work:
    """Pending actions in the order in which they came."""

    def __init__(self, actions: Iterable[Tracked[Any]] = ()) -> None:
        self._actions = {pack_element(action.id): action for action in actions}

    def __len__(self) -> int:
        return len(self._actions)

    def __contains__(self, action: Tracked[Any]) -> bool:
        return pack_element(action.id) in self._actions

    def add(self, actions: Iterable[Tracked[Any]]) -> None:
        """Take new actions."""
        self._actions.update({pack_element(action.id): action for action in actions})

    def remove(self, action: Tracked[Any]) -> None:
        """Forget an action that is not pending any more."""
        self._actions.pop(pack_element(action.id), None)

    def ready(self) -> list[Tracked[Any]]:
        """The actions that may be done now: of those with the same ordering key, the first."""
        ready, seen = [], set()
        for action in self._actions.values():
            if action.ordering_key is not None:
                key = pack_element(action.ordering_key)
                if key in seen:
                    continue
                seen.add(key)
            ready.append(action)
        return ready
