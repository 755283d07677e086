"""A machine's state: typed fields over a subspace, read and written through one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from phasm_fdb.database.staged import Staged
from phasm_fdb.errors import MachineDefinitionError
from phasm_fdb.fields.counter import Counter
from phasm_fdb.fields.field import Field, StateView
from phasm_fdb.fields.index import Index
from phasm_fdb.fields.log import Log
from phasm_fdb.fields.map import Map
from phasm_fdb.fields.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Changes", "Counter", "Index", "Log", "Map", "State", "Value"]


class State:
    """Base of all states: subclass it and declare fields as class attributes.

        class WalletState(State):
            balance = Map(str, int)
            next_id = Counter()

    A field is stored under its name, so renaming one starts it empty (`schema_version` and `migrate` are for
    that). An instance belongs to one transaction; layers make them.

    Raises:
        MachineDefinitionError: when the class is made, if a field's types cannot be stored.
    """

    fields: ClassVar[dict[str, Field]] = {}
    space: StateView

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = {name: field for name, field in vars(cls).items() if isinstance(field, Field)}
        for name, field in declared.items():
            if name in ("fields", "space") or name.startswith("__"):
                raise MachineDefinitionError(f"{cls.__name__}.{name}: a field cannot have this name")
            field.define(cls, name)
        cls.fields = {**cls.fields, **declared}

    def __init__(self, space: StateView) -> None:
        self.__dict__["space"] = space

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{type(self).__name__}.{name} cannot be assigned: fields are written through their methods, such as "
            f"state.{name}.set(...) or state.{name}[key] = ..., and a state keeps nothing else"
        )

    @classmethod
    def over(cls, tr: Any, subspace: Any, *, read_only: bool = False) -> State:
        """A state on its own, without a layer: writes are staged, and `flush` hands them to the transaction.

        Args:
            tr: a transaction.
            subspace: an `fdb.Subspace` that holds this state and nothing else.
        """
        staged = Staged(tr, read_only="a read-only state" if read_only else "")
        rows, overflow = subspace.pack(("s",)), subspace.pack(("b",))
        count = iter(range(2**16))
        return cls(StateView(staged, rows, overflow, cls.fields, lambda: next(count)))

    def flush(self, tr: Any) -> None:
        """Write everything that was staged to the transaction."""
        self.space.staged.flush(tr)


class Changes:
    """What one transition wrote, for the incremental form of an invariant check."""

    def __init__(self, fields: dict[str, Field], rows: bytes, staged: Staged) -> None:
        self._fields = fields
        self._rows = rows
        self._written = staged.written_keys()
        self._cleared = staged.cleared_ranges()

    def __contains__(self, field: str) -> bool:
        """Whether anything of the field was written."""
        return self.cleared(field) or any(True for _ in self._of(field))

    def __bool__(self) -> bool:
        """Whether anything of the state was written."""
        return any(field in self for field in self._fields)

    def keys(self, field: str) -> list[Any]:
        """The keys of a Map that were set or removed, each once, in the order of their first write."""
        declared, prefix = self._field(field)
        if not isinstance(declared, Map):
            raise MachineDefinitionError(f"{declared.where} is a {type(declared).__name__}: only a Map has keys")
        return [declared.keys.unpack(row[len(prefix) :]) for row in self._of(field)]

    def cleared(self, field: str) -> bool:
        """Whether a whole range of the field was removed, with keys that are not known here."""
        _, prefix = self._field(field)
        return any(begin < prefix + b"\xff" and prefix < end for begin, end in self._cleared)

    def __repr__(self) -> str:
        return f"Changes({ {name: len(list(self._of(name))) for name in self._fields if name in self} })"

    def _of(self, field: str) -> Iterable[bytes]:
        _, prefix = self._field(field)
        return (key for key in self._written if key.startswith(prefix))

    def _field(self, name: str) -> tuple[Field, bytes]:
        field = self._fields.get(name)
        if field is None:
            raise MachineDefinitionError(f"the state has no field {name!r}; it has {', '.join(self._fields)}")
        return field, self._rows + field.packed_name
