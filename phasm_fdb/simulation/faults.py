"""The kinds of faults, and how often each happens in a run.

Probabilities are redrawn for every seed, and many kinds are left out of a run altogether ("swarm testing", Groce and
others, ISSTA 2012): a run in which one kind dominates reaches states that a fair mix of all never does.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from phasm_fdb.simulation.choices import Choices, Draw, Site

#: Longer than FoundationDB's five-second window, and than most leases.
LONGEST_DELAY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        text: what happens.
        often: its probability at one decision, before the seed's own draw.
        draw: makes the fault's value; True if None.
    """

    text: str
    often: float
    draw: Draw | None = None


def _delay(chance: random.Random) -> float:
    """Seconds with a heavy tail: mostly milliseconds, now and then longer than a transaction may last."""
    return round(min(LONGEST_DELAY_SECONDS, 0.001 * chance.paretovariate(0.7)), 6)


def _some_seconds(chance: random.Random) -> float:
    return round(chance.uniform(0.0, 6.0), 6)


def _pause(chance: random.Random) -> float:
    """Seconds: often too short to matter, often longer than any lease."""
    return round(math.exp(chance.uniform(math.log(0.5), math.log(60.0))), 3)


def _skew(chance: random.Random) -> float:
    return round(chance.uniform(-1.0, 1.0) * 10 ** chance.uniform(-3, 2.5), 3)


def _coin(chance: random.Random) -> bool:
    return chance.random() < 0.5


def _repeats(chance: random.Random) -> int:
    """Of how many commits in a row the outcome stays unknown."""
    return chance.choice((1, 1, 2, 3))


def _number(chance: random.Random) -> int:
    return chance.randrange(2**16)


def _hours(chance: random.Random) -> float:
    """Seconds by which a clock is wrong: some hours, or days, either way."""
    return round(chance.uniform(-1.0, 1.0) * chance.choice((3, 48, 240)) * 3600, 3)


def _few(chance: random.Random) -> int:
    return chance.choice((1, 2, 2, 3, 5))


def _share(chance: random.Random) -> float:
    """How much of something was written."""
    return round(chance.random() * 0.999, 6)


#: Every kind, by its name.
KINDS: Mapping[str, Kind] = {
    # Commits
    "1020": Kind("a commit is refused without a reason", 0.01),
    "1021 done": Kind("a commit is done, and its outcome unknown", 0.005, _repeats),
    "1021 lost": Kind("a commit is not done, and its outcome unknown", 0.005, _repeats),
    "1021 elsewhere": Kind("a commit is done, its outcome unknown, and its process dies: another tries again", 0.002),
    "1039": Kind("the cluster version changes during a commit, which is done or not", 0.002, _coin),
    "1031": Kind("a commit times out, and is done later all the same", 0.002, _some_seconds),
    "commit slow": Kind("a commit takes its time", 0.03, _delay),
    "answer slow": Kind("the answer to a commit takes its time", 0.02, _delay),
    "crash before commit": Kind("a process dies before its commit", 0.001),
    "crash after commit": Kind("a process dies after its commit, before the answer", 0.001),
    # Reads
    "1007": Kind("a read finds its version too old", 0.001),
    "1009": Kind("a storage server is behind the read version", 0.002),
    "1037": Kind("a storage server is behind", 0.002),
    "1213": Kind("a transaction is throttled", 0.002),
    "read slow": Kind("a read takes its time", 0.01, _delay),
    "switch": Kind("other tasks go on at a read", 0.1),
    "crash at read": Kind("a process dies while it reads", 0.0003),
    # Watches
    "watch lost": Kind("a watch never fires", 0.05),
    "watch spurious": Kind("a watch fires although nothing has changed", 0.05, _some_seconds),
    "watch late": Kind("a watch fires late", 0.05, _some_seconds),
    "1032": Kind("there are too many watches", 0.03),
    # The outside world
    "call slow": Kind("an outside call takes its time", 0.1, _delay),
    "call fails": Kind("an outside call fails before it has had an effect", 0.02),
    "result lost": Kind("an outside call has had its effect, and its result is lost", 0.02),
    "call repeated": Kind("an outside call arrives twice", 0.02),
    "completion repeated": Kind("a result is delivered by somebody else too", 0.02, _some_seconds),
    "crash before call": Kind("a worker dies before an outside call", 0.003),
    "crash after call": Kind("a worker dies after an outside call, with its result", 0.003),
    # Workers (once a second each, or when they start)
    "crash": Kind("a worker dies", 0.01),
    "pause": Kind("a worker is paused, often for longer than its lease", 0.01, _pause),
    "clock step": Kind("a worker's clock steps", 0.01, _skew),
    "clock skew": Kind("a worker's clock is wrong from the beginning", 0.2, _skew),
    "old version": Kind("a worker starts with the older machine, or without one of the handlers", 0.2, _number),
    "crash in restore": Kind("a worker dies within `restore`", 0.2),
    # Clients (once an operation)
    "request repeated": Kind("a client sends a request twice at once", 0.02),
    "request elsewhere": Kind("a client has its answer, and asks again through another process", 0.02),
    "client crash": Kind("a client dies while it waits, and another goes on for it", 0.01, _delay),
    # Order
    "schedule": Kind("not the first of the ready callbacks runs", 0.05, _number),
    # The embedded file
    "torn tail": Kind("the power fails in the middle of a commit, which is torn", 0.002, _share),
    # What workloads ask for (`Workload.also`): callers' transactions, once an operation,
    "transaction": Kind("a client applies several inputs in a transaction of its own", 0.1, _few),
    "reset": Kind("a client's transaction is reset in the middle, and used again", 0.03, _few),
    "body fails": Kind("a client's transaction fails for a moment in the middle, and is retried", 0.03, _few),
    "request late": Kind("a client asks again some time after it had its answer", 0.05, _some_seconds),
    # an operator, once a second,
    "requeue": Kind("an operator puts all dead letters back", 0.05),
    "discard": Kind("an operator discards a dead letter", 0.03, _number),
    "sweep": Kind("an operator sweeps, by a clock that may be hours or days off", 0.05, _hours),
    "resize": Kind("an operator changes the number of lanes", 0.02, _few),
    "snapshot": Kind("an operator takes a snapshot", 0.02),
    "stop journal": Kind("an operator stops the journal", 0.02),
    # and workers, once a second.
    "clock jump": Kind("a worker's clock jumps by hours or days", 0.02, _hours),
}

#: The kinds that happen to workloads alone that name them in `Workload.also`.
ON_REQUEST = tuple(KINDS)[tuple(KINDS).index("transaction") :]

#: With these kinds a worker may die.
CRASHES = tuple(name for name in KINDS if "crash" in name and name != "client crash") + ("1021 elsewhere",)

#: A kind takes part in a run with this probability, by preset.
_TAKES_PART = {"default": 0.5, "heavy": 0.8}
_FACTOR = {"default": 1.0, "heavy": 3.0}
MOST_OFTEN = 0.5


def drawn(seed: int, preset: str) -> dict[str, float]:
    """The probabilities of a seed; those of kinds that take no part are left out.

    Args:
        preset: "none", "default" or "heavy".
    """
    if preset == "none":
        return {}
    chance = random.Random(f"phasm faults {seed}")
    probabilities = {}
    for name, kind in KINDS.items():
        takes_part, factor = chance.random() < _TAKES_PART[preset], _FACTOR[preset] * 10 ** chance.uniform(-1.0, 0.7)
        if takes_part:
            probabilities[name] = min(MOST_OFTEN, kind.often * factor)
    return probabilities


def parse(text: str) -> str | dict[str, float]:
    """What `--faults` says: a preset, or `KIND=P,...`.

    Raises:
        ValueError: there is no such kind, or a probability is none; the message, one line, names it.
    """
    if text in ("none", *_TAKES_PART):
        return text
    probabilities = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        name = name.strip()
        if not equals:
            raise ValueError(f"{part.strip()!r} is not none, default, heavy, or KIND=P such as 1020=0.1")
        if name not in KINDS:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(KINDS)}")
        try:
            probabilities[name] = float(number)
        except ValueError:
            raise ValueError(f"{number.strip()!r} is no probability") from None
        if not 0 <= probabilities[name] <= 1:
            raise ValueError(f"{number.strip()} is no probability: it is from 0 to 1")
    return probabilities


class Faults:
    """The faults of one run.

    Args:
        probabilities: of each kind, at one decision; those left out never happen.
        slowness: delays are so many times as long.
    """

    def __init__(self, choices: Choices, probabilities: Mapping[str, float], slowness: float = 1.0) -> None:
        self._choices = choices
        self._probabilities = probabilities
        self._slowness = slowness
        self._sites: list[Site] = []
        self.have_stopped = False

    @property
    def is_played(self) -> bool:
        """Whether a list is played."""
        return self._choices.is_played

    def site(self, who: str, kind: str) -> Site | None:
        """Where an actor decides about a kind of fault; None if it never happens to it."""
        if self.have_stopped:
            return None
        if not self._probabilities.get(kind) and not self._choices.plan_of(who, kind):
            return None
        draw = KINDS[kind].draw
        if draw is _delay:
            draw = self._delay
        site = self._choices.site(who, kind, self._probabilities.get(kind, 0.0), draw)
        self._sites.append(site)
        return site

    def _delay(self, chance: random.Random) -> float:
        return round(min(LONGEST_DELAY_SECONDS, self._slowness * _delay(chance)), 6)

    def stop(self) -> None:
        """No fault happens any more."""
        self.have_stopped = True
        for site in self._sites:
            site.next = 0
        self._sites.clear()
