"""What all fields share: how a declaration in a State class becomes an accessor over one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from phasm_fdb.errors import MachineDefinitionError
from phasm_fdb.keys import pack_element

if TYPE_CHECKING:
    from phasm_fdb.database.staged import Staged
    from phasm_fdb.state import State


class StateView:
    """One state in one transaction: what is read and written of it, and where its rows lie.

    Attributes:
        staged: the reads and writes.
        rows: what the keys of all fields start with.
        overflow: what the rows start with that hold the parts of large values.
        large: the names of the fields that may hold values of more than one row; a field that gets one joins them.
        next_user_version: gives the next free number beside a versionstamp in this transaction.

    Args:
        large: those of which that is known from before.
    """

    __slots__ = ("large", "next_user_version", "overflow", "rows", "staged")

    def __init__(
        self, staged: Staged, rows: bytes, overflow: bytes, large: Iterable[str], next_user_version: Callable[[], int]
    ) -> None:
        self.staged = staged
        self.rows = rows
        self.overflow = overflow
        self.large = set(large)
        self.next_user_version = next_user_version


class Field:
    """A declared field. Its subclasses say what an accessor is and do the codec work once, at definition."""

    accessor: ClassVar[type[Accessor]]
    name: str
    where: str
    packed_name: bytes

    def define(self, owner: type[State], name: str) -> None:
        """Called once, when the State class is made: keep the name and build the codecs."""
        if hasattr(self, "name"):
            raise MachineDefinitionError(
                f"{owner.__name__}.{name} is the same field as {self.where}: make a new one for each name"
            )
        self.name = name
        self.where = f"{owner.__name__}.{name}"
        self.packed_name = pack_element(name)

    def __get__(self, state: State | None, owner: type[State]) -> Any:
        if state is None:
            return self
        # Kept in the instance, where attribute access finds it from now on.
        accessor = state.__dict__[self.name] = self.accessor(self, state.space, state)
        return accessor


class Accessor:
    """One field over one transaction."""

    __slots__ = ("_field", "_prefix", "_staged", "_view")

    def __init__(self, field: Any, view: StateView, state: State) -> None:
        self._field = field
        self._view = view
        self._staged = view.staged
        self._prefix = view.rows + field.packed_name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._field.where}>"
