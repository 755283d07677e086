"""The time that all workers of a database agree on: by its versions, of which it gives out a million a second."""

from __future__ import annotations

from collections.abc import Callable

from phasm_fdb.database.versions import VERSIONS_PER_SECOND


class VersionClock:
    """Tells the time in versions, also between commits.

    A version is the time of a commit, and the newest one may be old: where nothing is committed no new ones are given
    out, and on a database whose clock was set back they grow one by one. So versions set this clock, and only ever
    forward, and in between it goes by a clock of this process. Who sees a version late has a clock that is late by as
    much, until he sees one sooner; so under load all clocks are within milliseconds of each other.

    Args:
        monotonic: a time in seconds that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ahead: float | None = None

    def saw(self, version: int) -> None:
        """Take note that it is this time, or later."""
        ahead = version - self._monotonic() * VERSIONS_PER_SECOND
        if self._ahead is None or ahead > self._ahead:
            self._ahead = ahead

    def now(self) -> int:
        """The time, as the version that a commit would get now."""
        return int(self._monotonic() * VERSIONS_PER_SECOND + (self._ahead or 0.0))
