"""A lane's lease: who holds the lane, under which fencing token.

The token grows each time a lane changes hands. Every transaction that a worker makes for a lane reads the lease row:
if it is not as the worker left it, another has taken the lane over, and the transaction writes nothing. The idea is
Chubby's sequencers (Burrows, OSDI 2006, section 2.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from phasm_fdb import plain
from phasm_fdb.database.staged import Staged
from phasm_fdb.errors import CodecError
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
        """The lease as its row holds it."""
        return encode_holding(self.token, self.owner)

    @classmethod
    def decode(cls, lane: int, data: bytes | None) -> Lease:
        """The lease in a lane's row."""
        return cls(lane, *decode_holding(data))

    def holds(self, keyspace: Keyspace, staged: Staged) -> bool:
        """Whether the lane is held under this lease still, as a transaction sees it, which conflicts with its loss."""
        return staged.read(keyspace.lease(self.lane)) == self.encode()

    def taken_by(self, session: bytes) -> Lease:
        """The next holding of the lane."""
        return Lease(self.lane, self.token + 1, session)

    def given_back(self) -> Lease:
        """The same lane with nobody holding it."""
        return Lease(self.lane, self.token, None)


def encode_holding(token: int, owner: bytes | None) -> bytes:
    """What the row of a lease holds: the fencing token, and the session of the owner, if there is one."""
    return plain.to_bytes([token, owner])


def decode_holding(data: bytes | None) -> tuple[int, bytes | None]:
    """The token and the owner in such a row; a lane that nobody ever held has the token 0.

    What does not decode is nobody's lease: its holder finds that out, and the lane is claimed anew. Fencing compares
    whole rows, so a token that begins again does no harm.
    """
    try:
        token, owner = (0, None) if data is None else plain.list_from_bytes(data, _LEASE)
    except CodecError:
        token, owner = 0, None
    return token, owner
