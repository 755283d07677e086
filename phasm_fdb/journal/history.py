"""A history: a state, the journal entries behind it, and the state that they led to. It is what a replay needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasm_fdb.errors import ReplayError
from phasm_fdb.journal import snapshot
from phasm_fdb.journal.entry import Entry
from phasm_fdb.journal.frames import FrameReader, FrameWriter
from phasm_fdb.journal.reading import Recorded, entries
from phasm_fdb.journal.state_copy import StateCopy, batches, copy_of, copy_state, read_state, write_rows, write_state
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.meta import Meta

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class History:
    """Its parts have to be read in this order, each once.

    Attributes:
        start: where it begins.
        entries: what happened then.
        end: gives the state after that.
    """

    start: StateCopy
    entries: Iterable[Recorded]
    end: Callable[[], StateCopy]


# ----------------------------------------------------------------------------------------- the database


def history_in(keyspace: Keyspace, meta: Meta, db: Any, since: str | None = None) -> History:
    """The history of a layer up to now.

    Args:
        since: where it begins: the version of a snapshot, "latest" for the newest one, the path of a snapshot's file,
            or None for the beginning of everything.

    Raises:
        ReplayError: the journal does not reach back that far, or there is no such snapshot.
    """
    end = copy_state(keyspace, meta, db)
    if since is None:
        start = _beginning(keyspace, db, end)
        return History(start, entries(db, keyspace, None, end.version), lambda: end)
    start = _snapshot(keyspace, db, since)
    return History(start, entries(db, keyspace, start.version, end.version), lambda: end)


def _beginning(keyspace: Keyspace, db: Any, end: StateCopy) -> StateCopy:
    """The empty state, if the journal reaches back to it."""
    first = next(entries(db, keyspace, None, end.version), None)
    if first is None:
        raise ReplayError("the journal is empty: switch it on with Layer(..., journal=True)")
    entry = Entry.decode(first[1])
    if entry.kind != "on" or not entry.empty:
        known = ", ".join(str(one.version) for one in snapshot.snapshots(keyspace, db)) or "there is none"
        raise ReplayError(
            f"the journal does not reach back to the beginning of the state: begin at a snapshot ({known}); "
            "layer.snapshot(db) takes one"
        )
    return StateCopy(end.machine, entry.schema, (), 0, entry.before, ())


def _snapshot(keyspace: Keyspace, db: Any, since: str) -> StateCopy:
    if not since.isdecimal() and since != "latest":
        return read_state(FrameReader(chunks_of(since), since))
    versions = [one.version for one in snapshot.snapshots(keyspace, db)]
    if not versions:
        raise ReplayError("there is no snapshot: layer.snapshot(db) takes one")
    version = versions[-1] if since == "latest" else int(since)
    if version not in versions:
        raise ReplayError(f"there is no snapshot {version}; there are {', '.join(map(str, versions))}")
    return read_state(FrameReader(snapshot.parts(keyspace, db, version), f"the snapshot {version}"))


# ------------------------------------------------------------------------------------------------ files


def export(history: History, path: str | Path) -> None:
    """Write a history to a file, which appears when it is whole."""
    with _writing(Path(path)) as frames:
        write_state(frames, history.start)
        for batch in batches(history.entries):
            frames.add("entries", batch)
        end = history.end()
        frames.add("state", end.header())
        write_rows(frames, end.rows)


def save(copy: StateCopy, path: str | Path) -> None:
    """Write a state to a file, which appears when it is whole."""
    with _writing(Path(path)) as frames:
        write_state(frames, copy)


def history_of(path: str | Path) -> History:
    """The history in a file.

    Raises:
        ReplayError: it is not a history, or holds a snapshot alone.
        DamagedHistory: on reading it, where it is not as it was written.
    """
    frames = FrameReader(chunks_of(path), str(path))

    def end() -> StateCopy:
        for header in frames.take("state"):
            return copy_of(frames, header)
        raise ReplayError(f"{path} is a snapshot, and not a history: it has no journal entries to replay")

    return History(read_state(frames), frames.take_pairs("entries"), end)


def chunks_of(path: str | Path) -> Iterator[bytes]:
    """The content of a file, a piece at a time; raises a ReplayError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise ReplayError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def _writing(path: Path) -> Iterator[FrameWriter]:
    if path.exists() and not path.is_file():  # a pipe, or a device such as /dev/stdout: nothing takes its place
        with path.open("wb") as stream:
            frames = FrameWriter(stream.write)
            yield frames
            frames.end()
        return
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            frames = FrameWriter(file.write)
            yield frames
            frames.end()
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
