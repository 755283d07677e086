"""A machine that orders jobs from the outside world and keeps what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phasm_fdb import (
    Actions,
    Map,
    Normal,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Untracked,
)


class Refused(TransitionError):
    pass


@dataclass(frozen=True)
class Order:
    """Asks for a job."""

    id: int
    key: str | None = None
    after: float | None = None
    at: int | None = None
    slow: bool = False


@dataclass(frozen=True)
class Cancel:
    id: int


@dataclass(frozen=True)
class Remind:
    """Asks for a `Reminder` later."""

    id: int
    after: float


@dataclass(frozen=True)
class Reminder:
    id: int


@dataclass(frozen=True)
class Append:
    """Notes a word under a key, in the order of application."""

    key: str
    word: str
    tell: bool = False


@dataclass(frozen=True)
class Fill:
    """Writes so many rows of 90 kB."""

    rows: int


@dataclass(frozen=True)
class Refuse:
    pass


@dataclass(frozen=True)
class Break:
    """Makes `stf` fail as a bug would."""


@dataclass(frozen=True)
class Job:
    id: int


@dataclass(frozen=True)
class SlowJob:
    id: int


@dataclass(frozen=True)
class CheckJob:
    """What `restore` wants of a job in doubt."""

    id: int


@dataclass(frozen=True)
class Done:
    text: str = ""


@dataclass(frozen=True)
class Failed:
    why: str


@dataclass(frozen=True)
class Tell:
    word: str


class JobsState(State):
    ordered = Map(int, bool)
    results = Map(int, list[str])
    words = Map(str, list[str])
    bulk = Map(int, str)
    reminded = Map(int, int)


class Jobs(StateMachine):
    State = JobsState
    Input = Order | Cancel | Remind | Reminder | Append | Fill | Refuse | Break
    TrackedAction = Job | SlowJob | CheckJob
    TrackedResult = Done | Failed
    UntrackedAction = Tell

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        match input:
            case Normal(Order(id, key, after, at, slow)):
                state.ordered[id] = True
                action = SlowJob(id) if slow else Job(id)
                actions.add(Tracked(id, action, ordering_key=key, after=after, at=at))
            case Normal(Cancel(id)):
                actions.cancel(id)
            case Normal(Remind(id, after)):
                actions.later(id, Reminder(id), after=after)
            case Normal(Reminder(id)):
                state.reminded[id] = state.reminded.get(id, 0) + 1
            case Normal(Append(key, word, tell)):
                state.words[key] = [*state.words.get(key, []), word]
                if tell:
                    actions.add(Untracked(Tell(word)))
                return len(state.words[key])
            case Normal(Fill(rows)):
                self.fill(state, rows)
            case Normal(Refuse()):
                raise Refused("no")
            case Normal(Break()):
                raise ZeroDivisionError("a bug")
            case TrackedActionCompleted(id, Done("refuse me")):
                raise Refused("not that")
            case TrackedActionCompleted(id, Done("fill")):
                self.fill(state, 120)
            case TrackedActionCompleted(id, result):
                state.results[id] = [*state.results.get(id, []), str(result)]
                del state.ordered[id]
                actions.add(Untracked(Tell(f"finished {id}")))
        return None

    @staticmethod
    def fill(state: Any, rows: int) -> None:
        for row in range(rows):
            state.bulk[row] = "x" * 90_000

    def restore(self, state: Any, actions: Actions) -> None:
        for id, _ in state.ordered.items():
            if id % 2 == 0:
                actions.add(Tracked(id, CheckJob(id)))
