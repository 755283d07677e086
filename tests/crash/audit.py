"""The audit of a run: its journal is the serial order of all that was decided, and all else has to agree with it.

The model of what the layer promises decides the journal once more, input by input. Then the logs of the processes say
what they were answered, and the database what is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack
from fdb.tuple import Versionstamp

from phasm_fdb import Layer, Normal, TrackedActionCompleted
from phasm_fdb.database.paging import PagedReader
from phasm_fdb.journal.entry import Entry
from phasm_fdb.journal.history import history_in
from tests.crash.scene import NOTES
from tests.simulation.torture.leftovers import leftovers
from tests.simulation.torture.promises import Minted, Model, Refused, Waiting, name_of
from tests.simulation.torture.steps import IDS, Afterwards, Cancel, Do, Done, Emit

#: So many entries of a long field are read at once.
PAGE = 500


@dataclass
class Audit:
    """What is wrong, and what was seen.

    Attributes:
        model: the layer as it has to be after all entries so far.
        applied: the replies of the inputs that were applied, by the tokens of the inputs.
        under: the tokens of the inputs that were applied, by their request ids.
        timers: the inputs for later that were emitted and not delivered yet, by their tokens.
        emitted: the tracked actions that were emitted, by their tokens.
        requeued: the tokens of the actions and inputs that somebody put back from the dead letters.
        displaced: the tokens of the actions whose ids others took: they lie in the dead letters, or come from there.
        completed: the tokens of the actions whose results were applied, in that order.
    """

    model: Model = field(default_factory=Model)
    applied: dict[str, Any] = field(default_factory=dict)
    under: dict[Any, str] = field(default_factory=dict)
    timers: dict[str, Waiting] = field(default_factory=dict)
    emitted: dict[str, Waiting] = field(default_factory=dict)
    requeued: set[str] = field(default_factory=set)
    completed: list[str] = field(default_factory=list)
    displaced: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def expect(self, holds: bool, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.wrong.append(what)

    # ----------------------------------------------------------------------------------------- the journal

    def read_journal(self, layer: Layer, db: Any) -> None:
        """Let the model decide everything again that was decided."""
        context = layer.context
        for stamp, data in history_in(layer.keyspace, context.meta, db).entries:
            entry = Entry.decode(data)
            if entry.kind == "on":
                continue
            input = entry.input(context.definition)
            self.counts[f"{entry.kind}s {'applied' if entry.applied else 'refused'}"] += 1
            try:
                self._decide(input, entry)
            except Refused as refused:
                self.expect(False, f"the model refuses {input} with {refused.kind}, at {stamp.hex()}")

    def _decide(self, input: Any, entry: Entry) -> None:
        if not entry.applied:
            return
        if isinstance(input, TrackedActionCompleted):
            self._complete(input)
            return
        assert isinstance(input, Normal)
        do = input.payload
        self.expect(do.token not in self.applied, f"input {do.token} was applied twice")
        if do.token.endswith("~"):
            self.expect(
                self.timers.pop(do.token, None) is not None, f"the timer {do.token} was never set, or fired twice"
            )
            self._forget({do.token})
        else:
            self.expect(input.request_id not in self.under, f"request {input.request_id!r} was applied twice")
            self.under[input.request_id] = do.token
        assert input.at is not None
        try:
            outcome = self.model.apply(do, input.at, has_receipt=False)
        except Refused as refused:
            if refused.kind != "DuplicateAction":
                raise
            self._make_room(do)
            outcome = self.model.apply(do, input.at, has_receipt=False)
        self.applied[do.token] = outcome.reply
        self._set_timers()
        if entry.summary[0][:1] != b"\xc1":
            recorded = msgpack.unpackb(entry.summary[0])
            self.expect(recorded == outcome.reply, f"{do.token} replied {recorded}, and should {outcome.reply}")

    def _complete(self, input: TrackedActionCompleted[Done]) -> None:
        token = input.result.token
        waiting = next((one for one in self.model.pending.values() if one.holds.token == token), None)
        if waiting is None and token in self.requeued and token not in self.completed:
            # It lay in the dead letters, where no cancelling reaches it, when another action took its id.
            waiting = self.emitted.get(token)
            if waiting is not None:
                self.model.pending[name_of(waiting.id)] = waiting
        self.expect(waiting is not None, f"a result was applied of {token}, which is not pending under {input.id!r}")
        if waiting is None:
            return
        is_minted = isinstance(waiting.id, Minted)
        fits = isinstance(input.id, Versionstamp) if is_minted else name_of(waiting.id) == name_of(input.id)
        self.expect(fits, f"the result of {token} came under {input.id!r}")
        self.completed.append(token)
        assert input.at is not None
        self.model.complete(waiting.id, token, input.result.steps, input.at, has_receipt=False)
        self._set_timers()

    def _make_room(self, do: Do) -> None:
        """Free the ids that an input takes, as the journal says that they were free.

        Those of timers were: they fell due, and their inputs are on the way. And those of actions were that lie in the
        dead letters, which the end will show.
        """
        cancelled: set[int] = set()
        for step in do.steps:
            if isinstance(step, Cancel) or (isinstance(step, Emit | Afterwards) and step.renew):
                cancelled.add(step.id)
            elif isinstance(step, Emit | Afterwards) and step.id not in cancelled:
                waiting = self.model.pending.pop(name_of(IDS[step.id]), None)
                if waiting is not None and not waiting.is_input:
                    self.displaced.add(waiting.holds.token)

    def _forget(self, tokens: set[str]) -> None:
        for name, waiting in list(self.model.pending.items()):
            if waiting.holds.token in tokens:
                del self.model.pending[name]

    def _set_timers(self) -> None:
        for waiting in self.model.pending.values():
            if not waiting.is_input:
                self.emitted[waiting.holds.token] = waiting
            elif waiting.holds.token not in self.applied:
                self.timers[waiting.holds.token] = waiting

    # ---------------------------------------------------------------------------------------- the processes

    def read_requeued(self, logs: dict[str, list[list[Any]]]) -> None:
        """Note what was put back from the dead letters; to be called before the journal is read."""
        for records in logs.values():
            self.requeued |= {str(token) for kind, token, *_ in records if kind == "requeue"}

    def read_logs(self, logs: dict[str, list[list[Any]]]) -> None:
        """Compare what the processes were told with what was decided."""
        keys: dict[str, set[str]] = {}
        whispered: Counter[str] = Counter()
        handed: Counter[str] = Counter()
        for records in logs.values():
            for kind, *fields in records:
                self.counts[f"log: {kind}"] += 1
                if kind == "ok":
                    id, reply, repeated, untracked = fields
                    self._require_applied(id, reply)
                    handed.update(untracked)
                    self.expect(not (repeated and untracked), f"{id}: a repeat hands out {untracked}")
                elif kind == "ok once":
                    self._require_applied_once(*fields)
                elif kind == "call":
                    token, key, _ = fields
                    keys.setdefault(token, set()).add(str(key))
                elif kind == "whispered":
                    whispered[fields[0]] += 1
        for token, some in keys.items():
            self.expect(len(some) == 1, f"the calls of {token} have {len(some)} idempotency keys")
        for token in self.completed:
            self.expect(token in keys, f"{token} was completed, and never called")
        both = whispered + handed
        for token, times in both.items():
            self.expect(times == 1, f"the untracked action {token} was handed out {times} times")

    def _require_applied(self, id: str, reply: Any) -> None:
        self.expect(id in self.under, f"{id} was answered, and is not in the journal")
        if id in self.under:
            have = self.applied.get(self.under[id])
            self.expect(have == reply, f"{id} was answered {reply}, and its reply is {have}")

    def _require_applied_once(self, token: str, reply: Any) -> None:
        self.expect(self.applied.get(token) == reply, f"{token} was answered {reply}: {self.applied.get(token)}")

    # ----------------------------------------------------------------------------------------- the database

    def read_database(self, layer: Layer, db: Any) -> None:
        """Compare what is there with what was decided."""
        dead = {letter.payload.token for letter in layer.dead_letters(db) if letter.kind == "action"}
        self.counts["dead letters"] = len(layer.dead_letters(db))
        pending = {one.action.token for one in layer.pending(db)}
        expected = {one.holds.token for one in self.model.pending.values() if not one.is_input}
        self.expect(not pending, f"still pending: {sorted(pending)[:5]}")
        self.expect(expected <= dead, f"neither done nor in the dead letters: {sorted(expected - dead)[:5]}")
        lost = self.displaced - dead - set(self.completed) - self.requeued  # what is put back may be cancelled then
        self.expect(not lost, f"their ids were taken while they were pending: {sorted(lost)[:5]}")
        done_and_dead = dead & set(self.completed)
        self.expect(not done_and_dead, f"both done and in the dead letters: {sorted(done_and_dead)[:5]}")
        self._compare_state(layer, db)
        report = layer.replay(db)
        self.expect(report.same, f"the replay differs: {report.differences[:1]}")
        left = leftovers(layer, db)
        self.expect(not left or "receipts" in left or "expiries" in left, f"left over: {left}")
        for key, value in PagedReader(db).rows(NOTES.range(()).start, NOTES.range(()).stop):
            for id in filter(None, value.split(b"\0")):
                self.expect(id.decode() in self.under, f"the row {key!r} tells of {id.decode()}, which was not applied")

    def _compare_state(self, layer: Layer, db: Any) -> None:
        reads: dict[str, Callable[[Any], Any]] = {
            "word": lambda view: view.word.get(),
            "texts": lambda view: dict(view.texts.items()),
            "cards": lambda view: dict(view.cards.items()),
            "total": lambda view: view.total.get(),
            "numbers": lambda view: view.numbers.get(),
            "results": lambda view: view.results.get(),
        }
        have = {name: read(layer.view(db)) for name, read in reads.items()}  # a view lasts five seconds
        have["minted"] = sorted(_in_pages(lambda last: layer.view(db).minted.items(last, limit=PAGE + 1), skip=1))
        have["story"] = tuple(_in_pages(lambda last: layer.view(db).story.items(last, limit=PAGE), skip=0))
        for name, value in have.items():
            want = getattr(self.model, name)
            want = sorted(want) if name == "minted" else want
            self.expect(value == want, f"the state's {name} is {str(value)[:200]}, and should be {str(want)[:200]}")


def _in_pages(read: Callable[[Any], Iterable[tuple[Any, Any]]], skip: int) -> Iterator[Any]:
    """Read the values of a long field page by page, since one view of it would not last.

    Args:
        read: gives the items from a key on, or from the beginning.
        skip: how many of them were read before: 1 if the key itself is among them.
    """
    last = None
    while items := list(read(last))[skip if last is not None else 0 :]:
        yield from (value for _, value in items)
        last = items[-1][0]
