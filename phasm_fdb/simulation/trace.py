"""The record of a run: a digest of everything that happened, and a count of each kind."""

from __future__ import annotations

import hashlib
from collections import Counter


class Trace:
    """Takes events in order. Two runs of one seed record the same, in any process.

    What is recorded is the `repr` of dataclasses, enums and plain values, in which no address and no order of a set
    appears.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.counts: Counter[str] = Counter()

    def record(self, event: str, *details: object) -> None:
        """Count an event, and put it into the digest with what belongs to it."""
        self.counts[event] += 1
        self._hash.update(f"{event} {details!r}\n".encode())

    @property
    def digest(self) -> str:
        """The SHA-256 so far, in hexadecimal."""
        return self._hash.hexdigest()
