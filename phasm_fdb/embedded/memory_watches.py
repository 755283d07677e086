"""The watches of a memory store."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from phasm_fdb.embedded.store import WatchFired
from phasm_fdb.errors import FDBError


class MemoryWatch:
    """One registered watch."""

    __slots__ = ("_owner", "fired", "key", "value")

    def __init__(self, owner: MemoryWatches, key: bytes, value: bytes | None, fired: WatchFired) -> None:
        self._owner = owner
        self.key = key
        self.value = value
        self.fired = fired

    def cancel(self) -> None:
        """Forget the watch; a second call does nothing."""
        self._owner.discard(self)


class MemoryWatches:
    """Watches by key. Guarded by the lock of the store, but for `discard`, which may come at any moment."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        # A dict of dicts, not of lists: single operations on it are atomic, so `discard` needs no lock and
        # may run in a garbage collection that interrupts any code, also code that holds the lock.
        self._by_key: dict[bytes, dict[MemoryWatch, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def add(self, watch: MemoryWatch) -> None:
        """Register the watch."""
        self._by_key.setdefault(watch.key, {})[watch] = None

    def discard(self, watch: MemoryWatch) -> None:
        """Forget the watch, if it is there."""
        watches = self._by_key.get(watch.key)
        if watches is not None:
            watches.pop(watch, None)

    def take_changed(
        self,
        keys: Iterable[bytes],
        value_of: Callable[[bytes], bytes | None],
        fired: dict[MemoryWatch, FDBError | None],
    ) -> None:
        """Move the watches of `keys` that saw another value than there is now to `fired`."""
        for key in keys:
            watches = self._by_key.get(key)
            if watches is None:
                continue
            value = value_of(key)
            for watch in list(watches):
                if watch.value != value:
                    fired[watch] = None  # first: an interrupt must not lose it
                    watches.pop(watch, None)
            if not watches:
                del self._by_key[key]

    def take_all(self, error: FDBError, fired: dict[MemoryWatch, FDBError | None]) -> None:
        """Move every watch to `fired`, with this error."""
        for watches in self._by_key.values():
            fired.update(dict.fromkeys(list(watches), error))
        self._by_key = {}
