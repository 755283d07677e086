"""What a keyspace says about itself, read by every transition: who wrote it, and in what format.

The row changes when the layer is created, resized or migrated, and when a field first holds a large value; so
reading it makes transitions conflict with those and with nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from phasm_fdb import plain
from phasm_fdb.codec import Codec
from phasm_fdb.database.staged import Staged
from phasm_fdb.definition import Definition
from phasm_fdb.errors import CodecError, KeyspaceError, shown
from phasm_fdb.keyspace import Keyspace

FORMAT = 1
MOST_LANES = 10_000


@dataclass(frozen=True, slots=True)
class LayerMeta:
    """The content of the meta row.

    Attributes:
        format: the version of the keyspace's own layout.
        machine: the machine's name.
        schema: the machine's `schema_version`.
        lanes: into how many lanes the outbox is spread.
        large: the fields that may hold values of more than one row.
        migrating: the version that the state is being migrated from; 0 when it is not.
        cached: some process keeps values in memory, so every transition writes exclusively.
        journal: every process appends what it decides to the journal.
    """

    format: int
    machine: str
    schema: int
    lanes: int
    large: tuple[str, ...] = ()
    migrating: int = 0
    cached: bool = False
    journal: bool = False


#: Written whole: a row that other code wrote without what has its default is read as well.
_STORED: Codec[LayerMeta] = Codec(LayerMeta, "the meta row")


class Meta:
    """Checks the meta row, and writes it when the keyspace is new.

    Args:
        lanes: the number of lanes of a new keyspace; an existing one keeps its number.
    """

    def __init__(self, keyspace: Keyspace, definition: Definition, lanes: int) -> None:
        self._keys = keyspace
        self._definition = definition
        self._lanes = lanes
        self._checked: dict[bytes, LayerMeta] = {}
        self._last: LayerMeta | None = None

    def guess(self, staged: Staged) -> LayerMeta | None:
        """Send the read of the meta row, and while it is on its way say what it was the last time.

        It nearly never changes, so a transition can begin with that, and ask `is_still` later.
        None if the row was read before in this view, or never.
        """
        return self._last if staged.start(self._keys.meta) else None

    def is_still(self, stored: LayerMeta, staged: Staged) -> bool:
        """Whether the guess was right."""
        data = staged.read(self._keys.meta)
        return data is not None and self._checked.get(data) is stored

    def load(self, staged: Staged) -> LayerMeta:
        """The meta of this keyspace, which is created if nothing is there.

        Raises:
            KeyspaceError: the keyspace is another machine's, of a newer format or schema, or overlaps.
        """
        data = staged.read(self._keys.meta)
        if data is None:
            stored = self._new(staged)
            staged.set(self._keys.meta, _encode(stored))
            return stored
        stored = self._last = self._check(data)
        return stored

    def peek(self, staged: Staged) -> LayerMeta:
        """The meta of this keyspace, as it would be created if nothing is there."""
        data = staged.read(self._keys.meta)
        return self._fresh() if data is None else self._check(data)

    def raw(self, staged: Staged) -> LayerMeta | None:
        """The meta of this keyspace whatever its schema, for what upgrades it; None if nothing is there."""
        data = staged.read(self._keys.meta)
        return None if data is None else self._judge_owner(data)

    def write(self, staged: Staged, stored: LayerMeta) -> None:
        """Replace the meta row, in a commit that no other one of this layer is concurrent with.

        So a transition which has read the row knows it as of its own commit; `phasm_fdb.cache` needs that.
        """
        staged.add_read_conflict_range(self._keys.prefix, self._keys.end)
        staged.set(self._keys.meta, _encode(stored))

    def note(self, staged: Staged, stored: LayerMeta, large: set[str], cached: bool) -> None:
        """Record, if it is not yet, which fields may hold large values, and that some process has a cache."""
        if len(large) > len(stored.large) or (cached and not stored.cached):
            self.write(staged, replace(stored, large=tuple(sorted(large)), cached=cached or stored.cached))

    def _fresh(self) -> LayerMeta:
        machine = self._definition.machine
        return LayerMeta(FORMAT, self._definition.name, machine.schema_version, self._lanes)

    def _new(self, staged: Staged) -> LayerMeta:
        for row, _ in staged.rows(self._keys.prefix, self._keys.end, limit=1):
            raise KeyspaceError(
                f"the subspace {self._keys.prefix!r} of {self._definition.name} holds data that is not this layer's "
                f"(the first key is {row!r}): another layer lies inside it, or something else uses it; give every "
                "layer a subspace of its own"
            )
        for above in self._keys.ancestors():
            data = staged.read(above)
            stored = None if data is None else _decode(data)
            if stored is not None:
                raise KeyspaceError(
                    f"the subspace {self._keys.prefix!r} of {self._definition.name} lies inside that of the layer "
                    f"{stored.machine}: give every layer a subspace of its own"
                )
        return self._fresh()

    def _check(self, data: bytes) -> LayerMeta:
        stored = self._checked.get(data)
        if stored is None:
            stored = self._checked[data] = self._judge(data)
        return stored

    def _judge(self, data: bytes) -> LayerMeta:
        stored = self._judge_owner(data)
        here = f"the subspace {self._keys.prefix!r}"
        schema = self._definition.machine.schema_version
        if stored.schema != schema:
            newer = "upgrade this process" if stored.schema > schema else "migrate the state first: layer.migrate(db)"
            raise KeyspaceError(
                f"{here} has schema version {stored.schema}, and this {self._definition.name} has {schema}: {newer}"
            )
        if stored.migrating:
            raise KeyspaceError(
                f"{here} is being migrated from schema version {stored.migrating} to {schema}: wait until that is "
                "done, or go on with it: layer.migrate(db)"
            )
        return stored

    def _judge_owner(self, data: bytes) -> LayerMeta:
        stored = _decode(data)
        here = f"the subspace {self._keys.prefix!r}"
        if stored is None:
            raise KeyspaceError(f"{here} holds {data[:40]!r} where a layer keeps its format: something else uses it")
        if stored.format > FORMAT:
            raise KeyspaceError(
                f"{here} has format {stored.format}, and this version of phasm-fdb reads up to {FORMAT}: upgrade it"
            )
        if stored.machine != self._definition.name:
            raise KeyspaceError(
                f"{here} belongs to the machine {stored.machine}, and was opened for {self._definition.name}: give "
                "every layer a subspace of its own (a renamed machine keeps its old `name`)"
            )
        return stored


def _encode(stored: LayerMeta) -> bytes:
    return plain.to_bytes(asdict(stored))


def _decode(data: bytes) -> LayerMeta | None:
    """The content of a meta row; None if it is not one."""
    try:
        raw = plain.from_bytes(data)
    except CodecError:
        return None
    if type(raw) is not dict or type(raw.get("format")) is not int:
        return None
    if raw["format"] > FORMAT:  # only the format is known of what a newer version wrote
        return LayerMeta(raw["format"], shown(raw.get("machine")), 0, 0)
    try:
        stored: LayerMeta = _STORED.from_raw(raw)
    except CodecError:
        return None
    return stored if 1 <= stored.lanes <= MOST_LANES else None
