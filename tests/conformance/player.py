"""Plays a recorded program of FoundationDB calls on an engine and finds the first answer that differs.

A *case* is a program over an empty database: a few transactions, interleaved by hand, with the answer that a
FoundationDB 7.3 cluster gave to each call, and the contents that it left. The records are `golden/*.json.gz`,
a JSON list of `{name, steps: [{t, op, args, snapshot, answer}], contents}`; bytes are strings with one
character a byte (latin-1). Versionstamps differ from run to run, so the record names them by their rank,
`<stamp 0>` for the first one that the program saw.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.engine import Engine

#: How long a watch may take to fire or fail that did on the cluster; only a failing run waits so long.
WATCH_SECONDS = 5.0

#: Calls that pass their byte arguments straight to the transaction's method of that name.
_WRITES = frozenset(
    [
        "set",
        "clear",
        "clear_range",
        "add",
        "bit_and",
        "bit_or",
        "bit_xor",
        "append_if_fits",
        "max",
        "min",
        "byte_min",
        "byte_max",
        "compare_and_clear",
        "set_versionstamped_key",
        "set_versionstamped_value",
        "add_read_conflict_range",
        "add_write_conflict_range",
        "add_read_conflict_key",
        "add_write_conflict_key",
    ]
)


@dataclass(frozen=True)
class Step:
    """One call of a program, and the cluster's answer to it."""

    transaction: str
    op: str
    args: list[Any]
    snapshot: bool
    answer: Any

    def __str__(self) -> str:
        reader = f"{self.transaction}.snapshot" if self.snapshot else self.transaction
        return f"{reader}.{self.op}({', '.join(map(_literal, self.args))})"


@dataclass(frozen=True)
class Case:
    """A recorded program, and the pairs that it left in the database."""

    name: str
    steps: list[Step]
    contents: list[list[str]]


@dataclass(frozen=True)
class Difference:
    """The first answer of an engine that is not the cluster's; `str` prints the program up to there."""

    case: Case
    steps: int
    want: Any
    got: Any

    def __str__(self) -> str:
        program = "\n".join(f"    {step}" for step in self.case.steps[: self.steps])
        return f"{self.case.name}\n{program}\n  want {self.want!r}\n  got  {self.got!r}"


def load(path: Path) -> Iterator[Case]:
    """The cases of one record file, in its order."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        records = json.load(file)
    for record in records:
        steps = [
            Step(s["t"], s["op"], s.get("args", []), s.get("snapshot", False), s["answer"]) for s in record["steps"]
        ]
        yield Case(record["name"], steps, record["contents"])


def first_difference(engine: Engine, case: Case) -> Difference | None:
    """Play `case` on a new database of `engine`; None when all answers and the contents are the cluster's."""
    db = engine.open_database()
    try:
        player = _Player(engine, db)
        for number, step in enumerate(case.steps, 1):
            got = player.answer(step)
            if got != step.answer:
                return Difference(case, number, step.answer, got)
        contents = player.contents()
        if contents != case.contents:
            return Difference(case, len(case.steps), {"contents": case.contents}, {"contents": contents})
        return None
    finally:
        engine.close_database(db)


class _Player:
    """The transactions, watches and versionstamps of one program while it is played."""

    def __init__(self, engine: Engine, db: Any) -> None:
        self._engine = engine
        self._db = db
        self._transactions: dict[str, Any] = {}
        self._watches: dict[str, Any] = {}
        self._stamp_futures: dict[str, Any] = {}
        self._stamps: list[bytes] = []
        self._calls: dict[str, Callable[[Any, Step], Any]] = {
            "get": self._get,
            "get_key": self._get_key,
            "get_range": self._get_range,
            "option": self._option,
            "watch": self._watch,
            "watch_fired": self._watch_fired,
            "want_versionstamp": self._want_versionstamp,
            "commit": self._commit,
            "committed_version": self._committed_version,
            "on_error": self._on_error,
            "reset": self._reset,
            "cancel": self._cancel,
        }

    def answer(self, step: Step) -> Any:
        """Make the call and word its answer, or its error, as the record does."""
        try:
            if step.op == "begin":
                tr = self._transactions[step.transaction] = self._db.create_transaction()
                tr.get_read_version().wait()
                return "ok"
            tr = self._transactions[step.transaction]
            if step.op in _WRITES:
                getattr(tr, step.op)(*map(_to_bytes, step.args))
                return "ok"
            return self._calls[step.op](tr, step)
        except self._engine.FDBError as error:
            return {"error": error.code}

    def contents(self) -> list[list[str]]:
        tr = self._db.create_transaction()
        return [self._pair(row) for row in tr.get_range(b"", b"\xff")]

    def _get(self, tr: Any, step: Step) -> Any:
        value = _reader(tr, step).get(_to_bytes(step.args[0]))
        return {"value": self._text(value) if value.present() else None}

    def _get_key(self, tr: Any, step: Step) -> Any:
        return {"value": self._text(_reader(tr, step).get_key(self._selector(step.args[0])).wait())}

    def _get_range(self, tr: Any, step: Step) -> Any:
        begin, end, limit, reverse = step.args
        rows = _reader(tr, step).get_range(self._selector(begin), self._selector(end), limit=limit, reverse=reverse)
        return {"pairs": [self._pair(row) for row in rows]}

    def _option(self, tr: Any, step: Step) -> Any:
        getattr(tr.options, "set_" + step.args[0])()
        return "ok"

    def _watch(self, tr: Any, step: Step) -> Any:
        key, name = step.args
        self._watches[name] = tr.watch(_to_bytes(key))
        return "ok"

    def _watch_fired(self, tr: Any, step: Step) -> Any:
        """What has become of a watch; the record tells whether that is something to wait for."""
        name, _ = step.args
        watch, ready = self._watches[name], threading.Event()
        if step.answer != "waiting":
            watch.on_ready(lambda _: ready.set())
            ready.wait(WATCH_SECONDS)
        if not watch.is_ready():
            watch.cancel()
            return "waiting"
        watch.wait()
        return "fired"

    def _want_versionstamp(self, tr: Any, step: Step) -> Any:
        self._stamp_futures[step.transaction] = tr.get_versionstamp()
        return "ok"

    def _commit(self, tr: Any, step: Step) -> Any:
        future = self._stamp_futures.pop(step.transaction, None)
        tr.commit().wait()
        if future is None:
            return "ok"
        self._stamps.append(bytes(future.wait()))
        return {"stamp": len(self._stamps) - 1}

    def _committed_version(self, tr: Any, step: Step) -> Any:
        return "none" if tr.get_committed_version() == -1 else "some"

    def _on_error(self, tr: Any, step: Step) -> Any:
        tr.on_error(step.args[0]).wait()
        tr.get_read_version().wait()
        return "ok"

    def _reset(self, tr: Any, step: Step) -> Any:
        tr.reset()
        tr.get_read_version().wait()
        return "ok"

    def _cancel(self, tr: Any, step: Step) -> Any:
        tr.cancel()
        return "ok"

    def _selector(self, arg: list[Any]) -> Any:
        key, or_equal, offset = arg
        return self._engine.KeySelector(_to_bytes(key), or_equal, offset)

    def _pair(self, row: Any) -> list[str]:
        return [self._text(row.key), self._text(row.value)]

    def _text(self, data: Any) -> str:
        """Bytes as the record spells them: each versionstamp that the program saw is named by its rank."""
        text = bytes(data).decode("latin-1")
        for rank, stamp in enumerate(self._stamps):
            text = text.replace(stamp.decode("latin-1"), f"<stamp {rank}>")
        return text


def _reader(tr: Any, step: Step) -> Any:
    return tr.snapshot if step.snapshot else tr


def _to_bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _literal(arg: Any) -> str:
    """An argument as one would type it; a long string is cut, for an edge case is about its length."""
    if isinstance(arg, str) and len(arg) > 60:
        return f"{_to_bytes(arg[:20])!r}...{len(arg)} bytes"
    if isinstance(arg, str):
        return repr(_to_bytes(arg))
    if isinstance(arg, list):
        return f"KeySelector({', '.join(map(_literal, arg))})"
    return repr(arg)
