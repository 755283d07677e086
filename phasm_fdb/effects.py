"""What an input led to, in one canonical form: two runs decided the same if these bytes are the same.

Keys are taken without the layer's prefix, so the form is the same wherever the layer lies. A versionstamp that the
commit fills in shows as ten 0xff bytes, as it does in the machine.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from phasm_fdb import plain
from phasm_fdb.actions import Actions, Later, Tracked, Untracked
from phasm_fdb.database.staged import Staged
from phasm_fdb.definition import Definition
from phasm_fdb.errors import TransitionError, message_of
from phasm_fdb.keys import ELEMENTS_END, after_prefix, pack_element
from phasm_fdb.keyspace import Keyspace

#: A part up to this size stands for itself: it is hardly longer than its digest, and says more.
SMALL_BYTES = 256
#: MessagePack never begins a value with this byte: behind it lies the digest of a part.
DIGEST = b"\xc1"
DIGEST_BYTES = 16
MAX_REASON = 2000
NO_ACTIONS = plain.to_bytes([[], []])


class Effects(NamedTuple):
    """The effects of an input that was applied, each part as MessagePack.

    Attributes:
        reply: what `stf` returned.
        actions: what it emitted, in order, and the ids that it cancelled.
        writes: what it changed of the state.
    """

    reply: bytes
    actions: bytes
    writes: bytes

    def summary(self) -> tuple[bytes, ...]:
        """The parts, each whole where it is small and else as a digest."""
        return tuple([_summarized(part) for part in self])


class Refusal(NamedTuple):
    """The effect of an input that the machine refused.

    Attributes:
        kind: the class name of the TransitionError.
        reason: its message, at most 2,000 characters.
    """

    kind: str
    reason: str

    @classmethod
    def of(cls, rejection: TransitionError) -> Refusal:
        """The refusal that this error is."""
        return cls(type(rejection).__name__, message_of(rejection)[:MAX_REASON])

    def summary(self) -> tuple[str, ...]:
        """As it is recorded."""
        return (self.kind, self.reason)


Outcome = Effects | Refusal


def effects_of(definition: Definition, keyspace: Keyspace, staged: Staged, reply: Any, actions: Actions) -> Effects:
    """The effects of a run of `stf` that returned.

    Raises:
        CodecError: the reply is not of the declared type.
    """
    return Effects(
        definition.replies.encode(reply),
        NO_ACTIONS if actions.is_empty else _actions(actions),
        plain.to_bytes(_writes(keyspace, staged)),
    )


def _actions(actions: Actions) -> bytes:
    emitted = [_action(action, raw) for action, raw in actions.encoded]
    cancelled = [pack_element(id) for id in actions.cancelled]
    return plain.to_bytes([emitted, cancelled])


def _action(action: Tracked[Any] | Untracked[Any] | Later[Any], raw: Any) -> list[Any]:
    kind = type(action).__name__
    if isinstance(action, Untracked):
        return [kind, raw]
    packed_key = None if action.ordering_key is None else pack_element(action.ordering_key)
    return [kind, raw, pack_element(action.id), packed_key, action.after, action.at]


def _writes(keyspace: Keyspace, staged: Staged) -> tuple[Any, ...]:
    """The rows that were set or cleared, the ranges that were cleared, and what was added, each in key order.

    Ranges of the parts of large values are left out: whether they have to be cleared depends on what is known about
    a row besides its value, and nobody sees it.
    """
    cut, state, spaces = len(keyspace.prefix), keyspace.state, (keyspace.state, keyspace.overflow)
    rows = [(key[cut:], value) for key, value in staged.written().items() if key.startswith(spaces)]
    cleared = [
        (begin[cut:], _end(begin, end)[cut:]) for begin, end in staged.cleared_ranges() if begin.startswith(state)
    ]
    added = [(key[cut:], delta) for key, delta in staged.added().items() if key.startswith(state)]
    return sorted(rows), sorted(cleared), sorted(added)  # no two of the rows or counters have one key


def _end(begin: bytes, end: bytes) -> bytes:
    """The end of a cleared range, as it is recorded: all keys with the same first elements went further once."""
    return after_prefix(begin) if end == begin + ELEMENTS_END else end


def _summarized(part: bytes) -> bytes:
    return part if len(part) <= SMALL_BYTES else DIGEST + hashlib.blake2b(part, digest_size=DIGEST_BYTES).digest()
