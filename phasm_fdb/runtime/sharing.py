"""How live workers share the lanes, with nobody to tell them: each works out the same shares from what it sees."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from phasm_fdb.runtime.membership import Survey


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker is to change.

    Attributes:
        claim: lanes to take.
        surplus: how many of those it holds to give back.
    """

    claim: tuple[int, ...] = ()
    surplus: int = 0


def share(lanes: int, sessions: Sequence[bytes], session: bytes) -> int:
    """How many lanes a worker is to hold; the shares of all workers add up to all lanes, and differ by one at most."""
    count, rest = divmod(lanes, len(sessions))
    return count + (sorted(sessions).index(session) < rest)


def plan(survey: Survey, session: bytes, held: Collection[int]) -> Plan:
    """What a worker that holds the lanes `held` is to change, by what it saw of the others.

    A lane that was given to it is its own to take. Each worker starts looking for free lanes at another place, so
    that they do not all reach for the same ones.
    """
    if survey.resizing:
        return Plan(surplus=len(held))
    sessions = sorted(survey.workers)
    mine = share(survey.lanes, sessions, session)
    given = [
        lane
        for lane, lease in survey.leases.items()
        if lease.owner == session and lane not in held and lane < survey.lanes
    ]
    start = sessions.index(session) * survey.lanes // len(sessions)
    order = [(start + offset) % survey.lanes for offset in range(survey.lanes)]
    free = [lane for lane in order if survey.is_free(lane)]
    wanted = max(0, mine - len(held) - len(given))
    return Plan((*given, *free[:wanted]), max(0, len(held) - mine))
