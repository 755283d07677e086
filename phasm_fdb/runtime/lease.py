"""A lane's lease: who holds the lane, under which fencing token.

The token grows each time a lane changes hands. Every transaction that a worker makes for a lane reads the lease row:
if it is not as the worker left it, another has taken the lane over, and the transaction writes nothing. The idea is
Chubby's sequencers (Burrows, OSDI 2006, section 2.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from phasm_fdb import plain
from phasm_fdb.database.staged import Staged
from phasm_fdb.errors import CodecError, StaleLease
from phasm_fdb.keyspace import Keyspace

_LEASE: tuple[plain.Kinds, ...] = ((int,), (bytes, type(None)))


@dataclass(frozen=True, slots=True)
class Lease:
    """One holding of a lane.

    Attributes:
        lane: the lane.
        token: the fencing token, larger than that of every holder before.
        owner: the session of the worker that holds it; None if nobody does.
    """

    lane: int
    token: int
    owner: bytes | None

    def encode(self) -> bytes:
        return plain.to_bytes([self.token, self.owner])

    @classmethod
    def decode(cls, lane: int, data: bytes | None) -> Lease:
        """The lease in a row; a lane that nobody ever held has the token 0.

        What does not decode is nobody's lease: its holder finds that out, and the lane is claimed anew. Fencing
        compares whole rows, so a token that begins again does no harm.
        """
        try:
            token, owner = (0, None) if data is None else plain.list_from_bytes(data, _LEASE)
        except CodecError:
            token, owner = 0, None
        return cls(lane, token, owner)

    def taken_by(self, session: bytes) -> Lease:
        """The next holding of the lane."""
        return Lease(self.lane, self.token + 1, session)

    def given_back(self) -> Lease:
        """The same lane with nobody holding it."""
        return Lease(self.lane, self.token, None)


def fence(keyspace: Keyspace, staged: Staged, lease: Lease) -> None:
    """Raise StaleLease unless `lease` still holds its lane, and make the transaction conflict with its loss."""
    if not holds(keyspace, staged, lease):
        raise StaleLease(lease.lane, lease.token)


def stale_among(keyspace: Keyspace, staged: Staged, leases: Iterable[Lease]) -> set[Lease]:
    """Those of the leases that hold their lanes no more; the transaction conflicts with the loss of the others."""
    return {lease for lease in leases if not holds(keyspace, staged, lease)}


def holds(keyspace: Keyspace, staged: Staged, lease: Lease) -> bool:
    """Whether a lane is held under this lease still, as a transaction sees it."""
    return staged.read(keyspace.lease(lease.lane)) == lease.encode()
