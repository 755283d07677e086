"""A database whose reads take a moment, as a cluster's do: a future is ready once somebody waits for it."""

from __future__ import annotations

from typing import Any


class Slow:
    """Wraps a database; `reads` lists the keys in the order they were asked for, `waits` in which they were awaited."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self.reads: list[bytes] = []
        self.waits: list[bytes] = []

    def create_transaction(self) -> Any:
        return SlowTransaction(self, self.db.create_transaction())


class SlowTransaction:
    def __init__(self, owner: Slow, tr: Any) -> None:
        self.owner, self.tr = owner, tr

    def get(self, key: bytes) -> Any:
        self.owner.reads.append(key)
        return SlowValue(self.owner, key, self.tr.get(key))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tr, name)


class SlowValue:
    def __init__(self, owner: Slow, key: bytes, future: Any) -> None:
        self.owner, self.key, self.future = owner, key, future
        self.awaited = False

    def is_ready(self) -> bool:
        return self.awaited

    def wait(self) -> Any:
        if not self.awaited:
            self.owner.waits.append(self.key)
            self.awaited = True
        return self

    @property
    def value(self) -> bytes | None:
        return self.future.value  # type: ignore[no-any-return]
