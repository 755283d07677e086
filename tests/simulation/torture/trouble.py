"""A database in memory that fails as a cluster does, at every read and commit, when it is told to."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.embedded.store import CommitDone, CommitRequest, Committed, Snapshot, Watch, WatchFired
from phasm_fdb.errors import FDBError

#: Codes with which a read fails.
OF_READS = (1007, 1037, 1009)
#: What may happen to a commit; "meanwhile" lets another process commit right before it.
OF_COMMITS = ("1020", "1021 done", "1021 lost", "1039 done", "1039 lost", "1031 done", "1031 lost", "meanwhile")
KINDS = (*(str(code) for code in OF_READS), *OF_COMMITS)


class Clock:
    """The true time, which moves when it is told to, or somebody sleeps."""

    def __init__(self, start: float) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let so many seconds go by."""
        self.now += seconds


class TroubledStore:
    """A store over another one that fails now and then.

    Args:
        probabilities: of each of `KINDS`, at one read or commit.
        met: told of each that happens.

    Attributes:
        meanwhile: called where another process is to commit; None where that may not happen now.
        afterwards: called behind some commits that are done and not known to be; None where that may not happen now.
        commits: how many commits with writes were made.
        is_calm: nothing fails.
    """

    def __init__(
        self,
        store: MemoryStore,
        rng: random.Random,
        probabilities: Mapping[str, float],
        met: Callable[[str], None],
    ) -> None:
        self._store = store
        self._rng = rng
        self._probabilities = probabilities
        self._met = met
        self._of_reads = [(code, p) for code in OF_READS if (p := probabilities.get(str(code)))]
        self.meanwhile: Callable[[], None] | None = None
        self.afterwards: Callable[[], None] | None = None
        self.commits = 0
        self.is_calm = True

    def snapshot(self, version: int | None = None, /) -> Snapshot:
        """See `Store.snapshot`."""
        self.read()
        return _TroubledSnapshot(self, self._store.snapshot(version))

    def read(self) -> None:
        """Fail now and then."""
        if not self.is_calm:
            for code, probability in self._of_reads:
                if self._rng.random() < probability:
                    self._met(str(code))
                    raise FDBError(code, "injected")

    def commit(self, request: CommitRequest, done: CommitDone, /) -> None:
        """See `Store.commit`."""
        if isinstance(request.snapshot, _TroubledSnapshot):
            request.snapshot = request.snapshot.inner
        kind = self._kind()
        if kind == "meanwhile" and self.meanwhile is not None:
            self.meanwhile()
        outcomes: list[Committed | FDBError] = []
        if kind in ("", "meanwhile") or kind.endswith(" done"):
            self._store.commit(request, outcomes.append)
            if not isinstance(outcomes[0], FDBError):
                self.commits += 1
        if kind in ("", "meanwhile"):
            done(outcomes[0])
            return
        if outcomes and isinstance(outcomes[0], FDBError):
            done(outcomes[0])
            return
        if outcomes and self.afterwards is not None and self._rng.random() < 0.6:
            self.afterwards()
        done(FDBError(int(kind[:4]), "injected"))

    def _kind(self) -> str:
        if self.is_calm:
            return ""
        for kind in OF_COMMITS:
            if self._rng.random() < self._probabilities.get(kind, 0.0):
                if kind == "meanwhile" and self.meanwhile is None:
                    continue
                self._met(kind)
                return kind
        return ""

    def help_commit(self) -> None:
        """A commit is done within `commit`."""

    def watch(self, key: bytes, value: bytes | None, fired: WatchFired, /) -> Watch:
        """See `Store.watch`."""
        return self._store.watch(key, value, fired)

    def close(self) -> None:
        """Close the store below."""
        self._store.close()


class _TroubledSnapshot:
    """A snapshot whose reads fail now and then."""

    __slots__ = ("_store", "inner")

    def __init__(self, store: TroubledStore, inner: Snapshot) -> None:
        self._store = store
        self.inner = inner

    @property
    def version(self) -> int:
        return self.inner.version

    def get(self, key: bytes, /) -> bytes | None:
        self._store.read()
        return self.inner.get(key)

    def range(self, begin: bytes, end: bytes, limit: int, reverse: bool, /) -> Sequence[tuple[bytes, bytes]]:
        self._store.read()
        return self.inner.range(begin, end, limit, reverse)

    def size(self, begin: bytes, end: bytes, /) -> int:
        return self.inner.size(begin, end)

    def close(self) -> None:
        self.inner.close()


def troubled(clock: Clock, rng: random.Random, store: TroubledStore) -> Database:
    """A handle on such a store, whose waits take virtual time."""
    return Database(store, clock=clock, sleep=clock.sleep, random=rng.random)
