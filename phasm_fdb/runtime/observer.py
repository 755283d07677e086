"""Judging by one's own clock which workers have died."""

from __future__ import annotations


class Observer:
    """Remembers since when each worker's row has not changed.

    Args:
        lease_seconds: a row that has not changed for so long, as measured here, is of a dead worker.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._seen: dict[bytes, tuple[bytes, float]] = {}

    def dead(self, workers: dict[bytes, bytes], now: float) -> dict[bytes, bytes]:
        """Take note of all rows, and give those that have not changed for a lease time.

        Args:
            workers: the rows as they are, by session.
            now: by a clock that never goes back, in seconds.
        """
        seen = {}
        for session, row in workers.items():
            before = self._seen.get(session)
            seen[session] = before if before is not None and before[0] == row else (row, now)
        self._seen = seen
        return {session: row for session, (row, since) in seen.items() if now - since >= self._lease_seconds}
