"""Callers who do all that callers can, on a database in memory that fails, each answer compared with the model.

One thread plays all of them, one step after the other: several processes with settings of their own, transactions that
are open at the same time, and a clock that jumps. Each step draws from random numbers of its own, so that a run can be
made shorter by leaving steps out.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.database.transactional import error_code
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.errors import DatabaseError, FDBError, InvariantViolation, ReplayError
from tests.simulation.torture.calls import Answer, Apply, Call, Complete
from tests.simulation.torture.drawing import WEIGHTS, Drawer
from tests.simulation.torture.leftovers import leftovers
from tests.simulation.torture.promises import Minted, Model, Waiting, compare_view, name_of, short
from tests.simulation.torture.seats import SETTINGS, SUBSPACES, Seat, new_seat
from tests.simulation.torture.steps import IDS, Act, Do
from tests.simulation.torture.trouble import KINDS, Clock, TroubledStore, troubled

EPOCH = 1_704_067_200.0
HOUR = 3600.0
JUMPS = (0.5, 3.0, 10.0, HOUR, 3 * HOUR, 9 * 24 * HOUR)
SKEWS = (0.0, 2.0, -3.0, HOUR, -2 * HOUR, 5 * HOUR)
#: The prefix of rows that callers write beside the layers.
NOTES = b"notes/"
#: How often each kind of step is drawn, in a seed in which it takes part.
STEPS = {
    "apply": 4.0,
    "complete": 2.0,
    "open": 2.0,
    "advance": 5.0,
    "wait": 0.7,
    "skew": 0.2,
    "sweep": 0.4,
    "resize": 0.15,
    "snapshot": 0.1,
    "stop journal": 0.15,
    "restore": 0.15,
    "check": 0.3,
}
ALWAYS = ("apply", "advance", "complete")


@dataclass
class Open:
    """A transaction that a caller has open.

    Attributes:
        tr: the transaction.
        seat: whose it is.
        body: what is done in it, and again after a retry.
        models: the layers as it sees them.
        notes: the caller's own rows that it writes.
        log: what was asked in this attempt, the answer, and whether that was a repeat.
    """

    tr: Any
    seat: Seat
    body: list[Any]
    position: int = 0
    models: list[Model] = field(default_factory=list)
    notes: dict[bytes, bytes] = field(default_factory=dict)
    log: list[tuple[Call, Answer, bool]] = field(default_factory=list)
    attempts: int = 0


class Game:
    """One run.

    Args:
        seed: decides everything.
        steps: the numbers of the steps to take, in order.
        without: features that are left out.

    Attributes:
        met: what happened, in words, in each step: for the coverage of pairs.
        told: what was done, a line each, if it is kept.
    """

    def __init__(self, seed: int, steps: Sequence[int], without: frozenset[str] = frozenset()) -> None:
        self._seed = seed
        self._steps = steps
        self._without = without
        rng = self._rng = random.Random(f"torture {seed}")
        self._clock = Clock(EPOCH)
        self.counts: Counter[str] = Counter()
        self.met: list[set[str]] = [set()]
        self.told: list[str] = []
        probabilities = {kind: rng.choice((0.0, 0.01, 0.1)) for kind in KINDS}
        self._store = TroubledStore(MemoryStore(self._clock), rng, probabilities, self._meet)
        self._db = troubled(self._clock, rng, self._store)
        ttl, lanes = rng.choice((2 * HOUR, 24 * HOUR)), rng.choice((1, 2, 8))
        kinds = [kind for kind in SETTINGS if kind not in without]
        self._seats = [new_seat(rng.choice(kinds), self._clock, rng, lanes, ttl) for _ in range(rng.choice((1, 2, 4)))]
        self._judge = new_seat("plain", self._clock, rng, lanes, ttl)
        self._ttl = ttl
        self._drawer = Drawer(rng, without)
        drawn = {kind: weight * (1.0 if kind in ALWAYS else rng.choice(WEIGHTS)) for kind, weight in STEPS.items()}
        self._weights = {kind: weight for kind, weight in drawn.items() if weight and kind not in without}
        self._models = [Model() for _ in SUBSPACES]
        self._notes: dict[bytes, bytes] = {}
        self._bound: dict[tuple[int, str], Any] = {}
        self._opened: list[Open] = []
        self._number = 0
        self._tokens = 0
        self._nested = 0

    # ------------------------------------------------------------------------------------------- playing

    def play(self) -> None:
        """Take all steps; raises InvariantViolation at the first promise that does not hold."""
        for number in self._steps:
            self._begin(number)
            (kind,) = self._rng.choices(list(self._weights), list(self._weights.values()))
            self._step(kind)
            self._compare(is_thorough=number % 7 == 0)
        self._finish()

    def _begin(self, number: int) -> None:
        self._number = number
        self._rng.seed(f"torture {self._seed} step {number}")
        self.met.append(set())
        self._store.is_calm = self._rng.random() < 0.3

    def _step(self, kind: str) -> None:
        self._meet(kind)
        getattr(self, f"_{kind.replace(' ', '_')}")()

    def _meet(self, what: str) -> None:
        self.counts[what] += 1
        self.met[-1].add(what)

    def _tell(self, what: str) -> None:
        self.told.append(f"{self._number:4}. {what}")

    def _finish(self) -> None:
        """Bring everything to its end: nothing is pending then, and nothing is left over."""
        self._store.is_calm = True
        self._begin(-1)
        self._store.is_calm = True
        for one in self._opened:
            one.tr.cancel()
        self._opened.clear()
        for which, model in enumerate(self._models):
            for waiting in list(model.pending.values()):
                if waiting.is_input:
                    continue
                call = Complete(which, self._id(which, waiting.id), waiting.id, "", (), 0, True)
                self._own(self._judge, call)
        self._compare(is_thorough=True)
        self._clock.sleep(60 * 24 * HOUR)
        self._sweep(self._judge)
        self._compare(is_thorough=True)
        for which, model in enumerate(self._models):
            timers = sum(waiting.is_input for waiting in model.pending.values())
            left = leftovers(self._judge.layers[which], self._db, timers)
            if left:
                raise InvariantViolation(f"nothing left over: {left}")

    # --------------------------------------------------------------------------------------------- steps

    def _apply(self) -> None:
        self._own(self._seat(), self._some_apply(f"{self._number}"))

    def _complete(self) -> None:
        self._own(self._seat(), self._some_complete(self._models))

    def _own(self, seat: Seat, call: Call) -> None:
        """A call in a transaction of its own."""
        call = _at(call, seat, self._ttl, self._token())
        self._note_features(call, seat)
        store, before, done = self._store, self._store.commits, self._unknowns()
        store.meanwhile = None if store.is_calm else lambda: self._meanwhile(before)
        store.afterwards = None if store.is_calm else self._afterwards
        self._nested = 0
        try:
            answer, repeated = call.ask(seat.layers[call.which], self._db)
        except DatabaseError as error:
            self._tell(f"{seat.kind}: {call} -> {error!r}")
            if store.commits - self._nested > before:
                call.expect(self._models[call.which], False)
            if error_code(error) != 1031:
                raise
            return
        finally:
            store.meanwhile = store.afterwards = None
        self._tell(f"{seat.kind}: {call} -> {answer} {'again' if repeated else ''}")
        was_applied = store.commits - self._nested > before
        expected, must_repeat = call.expect(self._models[call.which], repeated and not was_applied)
        was_unknown = self._unknowns() > done
        _require(call, answer, expected)
        if repeated != must_repeat and not (repeated and was_unknown):
            raise InvariantViolation(f"exactly once: {call} says repeated={repeated}, and {must_repeat} is right")

    def _unknowns(self) -> int:
        return sum(self.counts[kind] for kind in ("1021 done", "1039 done", "1031 done"))

    def _meanwhile(self, before: int) -> None:
        """Another process commits right before a commit."""
        if self._store.commits - self._nested > before:
            return
        store = self._store
        meanwhile, store.meanwhile, store.is_calm = store.meanwhile, None, True
        nested, commits = self._nested, store.commits
        try:
            token = f"{self._number}m{store.commits}"
            self._own(self._seat(), self._some_apply(token))
        finally:
            store.meanwhile, store.is_calm = meanwhile, False
        self._nested = nested + store.commits - commits

    def _afterwards(self) -> None:
        """Somebody sweeps after a commit whose outcome its caller does not know."""
        store = self._store
        meanwhile, store.meanwhile, store.afterwards, store.is_calm = store.meanwhile, None, None, True
        try:
            self._meet("sweep after an unknown result")
            commits = store.commits
            self._sweep(knows_pending=False)
            self._nested += store.commits - commits
        finally:
            store.meanwhile, store.is_calm = meanwhile, False

    def _wait(self) -> None:
        seconds = self._rng.choice(JUMPS)
        self._meet("clock jumps hours" if seconds >= HOUR else "clock moves")
        self._clock.sleep(seconds)

    def _skew(self) -> None:
        self._meet("clock skew")
        self._seat().clock.skew = self._rng.choice(SKEWS)

    def _sweep(self, seat: Seat | None = None, knows_pending: bool = True) -> None:
        seat = self._seat() if seat is None else seat
        for which, layer in enumerate(seat.layers):
            self._models[which].sweep(seat.clock(), self._clock.now, knows_pending)
            self._until_done(lambda layer=layer: layer.sweep(self._db))  # type: ignore[misc]

    def _resize(self) -> None:
        lanes = self._rng.choice((1, 2, 3, 8))
        for layer in self._seat().layers:
            if self._is_used(layer):
                self._until_done(lambda layer=layer: layer.resize(self._db, lanes))  # type: ignore[misc]

    def _snapshot(self) -> None:
        for layer in self._seat().layers:
            if self._is_used(layer):
                self._until_done(lambda layer=layer: layer.snapshot(self._db))  # type: ignore[misc]

    def _stop_journal(self) -> None:
        for layer in self._seat().layers:
            if self._is_used(layer):
                self._until_done(lambda layer=layer: layer.stop_journal(self._db))  # type: ignore[misc]

    def _restore(self) -> None:
        for which, layer in enumerate(self._seat().layers):
            found = self._until_done(lambda layer=layer: list(layer.restore(self._db)))  # type: ignore[misc]
            self._compare_pending(which, found, self._models[which], "restore")

    def _check(self) -> None:
        for layer in self._seat().layers:
            self._until_done(lambda layer=layer: layer.check(self._db))  # type: ignore[misc]

    def _until_done(self, call: Callable[[], Any]) -> Any:
        """Do what can be done again without harm, until the database does not fail for good."""
        while True:
            try:
                return call()
            except ReplayError:
                continue
            except FDBError as error:
                if error.code not in (1031, 1007, 1009, 1037):
                    raise

    def _is_used(self, layer: Any) -> bool:
        return (
            self._db.get(layer.keyspace.meta) is not None
            if self._store.is_calm
            else self._until_done(lambda: self._db.get(layer.keyspace.meta)) is not None
        )

    # ------------------------------------------------------------------------------- callers' transactions

    def _open(self) -> None:
        if len(self._opened) >= 3:
            return
        one = Open(self._db.create_transaction(), self._seat(), self._some_body())
        self._opened.append(one)
        self._look(one)

    def _look(self, one: Open) -> bool:
        """Take the read version of a new attempt, and what is there then."""
        try:
            one.tr.get_read_version().wait()
        except FDBError as error:
            return self._retry(one, error)
        one.models = [model.copy() for model in self._models]
        one.notes, one.log, one.position = {}, [], 0
        return True

    def _advance(self) -> None:
        if not self._opened:
            return self._open()
        one = self._rng.choice(self._opened)
        for _ in range(self._rng.choice((1, 2, 9))):
            if one not in self._opened:
                return None
            if one.position >= len(one.body):
                self._end(one)
                return None
            what = one.body[one.position]
            one.position += 1
            self._do(one, what)
        return None

    def _do(self, one: Open, what: Any) -> None:
        if isinstance(what, Apply | Complete):
            self._ask(one, what)
        elif what == "note":
            key, value = NOTES + b"%d" % (self._number % 3), b"%d" % self._number
            one.tr[key] = value
            one.notes[key] = value
        elif what == "reset":
            self._meet("reset")
            one.tr.reset()
            one.body = one.body[one.position :]
            self._look(one)
        elif what == "error":
            self._meet("retry")
            self._retry(one, FDBError(self._rng.choice((1037, 1020, 1007))))
        elif what == "pending":
            self._compare_in(one)
        elif what == "cancel":
            self._meet("transaction cancelled")
            one.tr.cancel()
            self._opened.remove(one)
            try:
                one.seat.layers[0].apply(one.tr, self._drawer.do("never"), "never")
            except FDBError as error:
                if error.code != 1025:
                    raise
            else:
                raise InvariantViolation("cancelled: a cancelled transaction took an input")

    def _ask(self, one: Open, call: Call) -> None:
        call = _at(call, one.seat, self._ttl, self._token(), f"a{one.attempts}")
        if isinstance(call, Complete) and "complete a timer" in self._without:
            waiting = one.models[call.which].pending.get(name_of(call.name))
            if waiting is not None and waiting.is_input:
                return
        self._note_features(call, one.seat)
        try:
            answer, repeated = call.ask(one.seat.layers[call.which], one.tr)
        except FDBError as error:
            self._tell(f"in a transaction of {one.seat.kind}: {call} -> {error!r}")
            self._retry(one, error)
            return
        self._tell(f"in a transaction of {one.seat.kind}: {call} -> {answer} {'again' if repeated else ''}")
        expected, must_repeat = call.expect(one.models[call.which], repeated)
        _require(call, answer, expected)
        if repeated != must_repeat:
            raise InvariantViolation(f"exactly once: {call} says repeated={repeated}, and {must_repeat} is right")
        one.log.append((call, answer, repeated))

    def _compare_in(self, one: Open) -> None:
        """A transaction sees what it has done."""
        self._meet("reads its own writes")
        for which, layer in enumerate(one.seat.layers):
            try:
                found = list(layer.pending(one.tr))
            except FDBError as error:
                self._retry(one, error)
                return
            self._compare_pending(which, found, one.models[which], "a transaction's pending")

    def _end(self, one: Open) -> None:
        """Commit, or think better of it."""
        store, before = self._store, self._store.commits
        self._meet("commit of several")
        try:
            one.tr.commit().wait()
        except FDBError as error:
            self._tell(f"commit -> {error!r}")
            if store.commits > before:
                self._committed(one)
            self._retry(one, error)
            return
        self._tell("commit -> done")
        if store.commits > before:
            self._committed(one)
        self._opened.remove(one)
        self._compare(is_thorough=False)
        if self._rng.random() < 0.5:
            self._meet("transaction used again")
            one.tr.reset()
            one.body = self._some_body()
            self._opened.append(one)
            self._look(one)

    def _committed(self, one: Open) -> None:
        """What a transaction did is done: after all that was committed before it, it comes to the same."""
        self._notes |= one.notes
        for call, answer, repeated in one.log:
            expected, _ = call.expect(self._models[call.which], repeated)
            if expected != answer:
                raise InvariantViolation(
                    f"serializable: {call} was answered {answer}, and after what was committed before it is {expected}"
                )

    def _retry(self, one: Open, error: FDBError) -> bool:
        """What a retry loop does; False if the transaction is over."""
        one.attempts += 1
        try:
            if one.attempts > 5:
                raise error
            one.tr.on_error(1021 if error.code == 1039 else error.code).wait()
        except FDBError:
            one.tr.cancel()
            if one in self._opened:
                self._opened.remove(one)
            return False
        return self._look(one)

    # ------------------------------------------------------------------------------------------- drawing

    def _seat(self) -> Seat:
        return self._rng.choice(self._seats)

    def _which(self) -> int:
        return self._rng.choice((0, 0, 0, 1))

    def _some_body(self) -> list[Any]:
        """What is done in a transaction."""
        rng, body = self._rng, []
        for part in range(rng.randint(1, 5)):
            kind = rng.choices(
                ("apply", "complete", "note", "reset", "error", "pending", "cancel"), (5, 2, 1, 0.5, 0.5, 1, 0.1)
            )[0]
            if kind in self._without:
                continue
            if kind == "apply":
                body.append(self._some_apply(f"{self._number}t{part}"))
            elif kind == "complete":
                body.append(self._some_complete(self._models))
            else:
                body.append(kind)
        again = [call for call in body if isinstance(call, Apply) and call.request_id is not None]
        if again and rng.random() < 0.3 and "repeat in a transaction" not in self._without:
            body.append(rng.choice(again))
        return body

    def _some_apply(self, token: str) -> Apply:
        which, rng = self._which(), self._rng
        known = list(self._models[which].receipts)
        request_id: Any = ("request", token)
        if known and rng.random() < 0.2:
            request_id = rng.choice(known)
        elif rng.random() < 0.3:
            request_id = None
        return Apply(which, self._drawer.do(token), request_id, 0, 0.0, 0.0, True)

    def _some_complete(self, models: Sequence[Model]) -> Complete:
        which, rng = self._which(), self._rng
        actions = [waiting for waiting in models[which].pending.values() if not waiting.is_input]
        if not actions or rng.random() < 0.1:
            id = rng.choice(IDS)
            pending = models[which].pending.get(name_of(id))
            if pending is None or not pending.is_input or "complete a timer" not in self._without:
                return Complete(which, id, id, "", (), 0, True)
            return Complete(which, "nobody", "nobody", "", (), 0, True)
        waiting = rng.choice(actions)
        assert isinstance(waiting.holds, Act)
        return Complete(which, self._id(which, waiting.id), waiting.id, "", waiting.holds.then, 0, True)

    def _token(self) -> str:
        self._tokens += 1
        return f"{self._number}_{self._tokens}"

    def _id(self, which: int, id: Any) -> Any:
        return self._bound[which, id.token] if isinstance(id, Minted) else id

    def _note_features(self, call: Call, seat: Seat) -> None:
        self._meet(f"process: {seat.kind}")
        if isinstance(call, Apply):
            for step in call.do.steps:
                self._meet(type(step).__name__)

    # ----------------------------------------------------------------------------------------- comparing

    def _compare(self, is_thorough: bool) -> None:
        """What the database holds is what the model holds."""
        was_calm, self._store.is_calm = self._store.is_calm, True
        try:
            for which, layer in enumerate(self._judge.layers):
                if not self._is_used(layer):
                    continue
                model = self._models[which]
                self._compare_pending(which, list(layer.pending(self._db)), model, "pending")
                if is_thorough:
                    compare_view(layer.view(self._db), model)
            for key, value in self._notes.items():
                if self._db.get(key) != value:
                    raise InvariantViolation(
                        f"together: the caller's row {key!r} is {self._db.get(key)!r}, not {value!r}"
                    )
        finally:
            self._store.is_calm = was_calm

    def _compare_pending(self, which: int, found: Sequence[Any], model: Model, where: str) -> None:
        expected = [waiting for waiting in model.pending.values() if not waiting.is_input]
        have = sorted(one.action.token for one in found)
        want = sorted(waiting.holds.token for waiting in expected)
        if have != want:
            raise InvariantViolation(f"pending: {where} of layer {which} gives {have}, and {want} are pending")
        by_token = {one.action.token: one for one in found}
        for waiting in expected:
            self._compare_one(which, by_token[waiting.holds.token], waiting)

    def _compare_one(self, which: int, found: Any, waiting: Waiting) -> None:
        if isinstance(waiting.id, Minted):
            if not isinstance(found.id, Versionstamp):
                raise InvariantViolation(f"pending: the id of {found} is not from new_id()")
            if found.id.is_complete() and self._bound.setdefault((which, waiting.id.token), found.id) != found.id:
                raise InvariantViolation(f"ids: {found} had another id before")
        elif name_of(found.id) != name_of(waiting.id):
            raise InvariantViolation(f"pending: {found} has the id {waiting.id!r}")
        if (found.action, found.ordering_key) != (waiting.holds, waiting.order):
            raise InvariantViolation(f"pending: it is {found}, and should be {waiting}")


def _at(call: Call, seat: Seat, ttl_seconds: float, token: str, attempt: str = "") -> Call:
    """The call as it is made now.

    Args:
        token: begins the tokens of what a result leads to; no other call has it.
        attempt: names the attempt of a caller's transaction: what is applied once more has other tokens.
    """
    now = seat.clock()
    at = int(now * 1000)
    if isinstance(call, Complete):
        return replace(call, token=token, at=at, has_receipt=not attempt)
    do = Do(call.do.token + attempt, call.do.steps)
    has_receipt = not attempt or call.request_id is not None
    return replace(
        call,
        do=do,
        at=at,
        until=now + ttl_seconds,
        truly_until=seat.clock.true() + ttl_seconds,
        has_receipt=has_receipt,
    )


def _require(call: Call, answer: Answer, expected: Answer) -> None:
    if answer != expected:
        raise InvariantViolation(
            f"answers: {short(call)} was answered {short(answer)}, and promised is {short(expected)}"
        )
