"""Hypothesis strategies from the types that a machine declares: any value that can be stored.

Numbers and texts are drawn from a few small ones half of the time. Inputs that never name the same user or the same
id find nothing: it is where two of them meet that machines are wrong.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fdb.tuple import Versionstamp

from phasm_fdb.errors import MachineDefinitionError
from phasm_fdb.storable import UNIONS, field_types, is_dataclass, is_enum, name_of

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Far less than the 64 bits of a stored integer, so that sums of a few fit too.
SMALLEST, LARGEST = -(2**40), 2**40
MOST_ELEMENTS = 4
LONGEST_TEXT = 20
FEW_TEXTS = ("", "a", "b", "ann", "bob")
FEW_NUMBERS = (0, 4)


def values_of(type_: Any, overrides: Mapping[Any, SearchStrategy[Any]] | None = None) -> SearchStrategy[Any]:
    """A strategy for the values of a type that a machine may declare.

    A dataclass that refuses some of its values (ValueError in `__post_init__`) is drawn again, so its own rules are
    its generator's.

    Args:
        type_: a dataclass, enum, union, or anything else that has a stored form.
        overrides: strategies to use for certain types, wherever they occur within `type_`.

    Raises:
        MachineDefinitionError: values of this type cannot be stored.
    """
    return _Builder(overrides or {}).values(type_)


class _Builder:
    """Makes strategies; those of dataclasses are kept, since a type may contain itself."""

    def __init__(self, overrides: Mapping[Any, SearchStrategy[Any]]) -> None:
        self._overrides = overrides
        self._made: dict[Any, SearchStrategy[Any]] = {}

    def values(self, type_: Any) -> SearchStrategy[Any]:
        """The strategy of one type."""
        from hypothesis import strategies as st

        if type_ in self._overrides:
            return self._overrides[type_]
        origin, arguments = typing.get_origin(type_), typing.get_args(type_)
        if type_ in (None, type(None)):
            return st.none()
        if origin is typing.Literal:
            return st.sampled_from(arguments)
        if isinstance(type_, typing.NewType):
            return self.values(type_.__supertype__)
        if is_enum(type_):
            return st.sampled_from(list(type_))
        if is_dataclass(type_):
            return self._dataclass(type_)
        if origin in UNIONS:
            return st.one_of([self.values(argument) for argument in arguments])
        if origin in (list, tuple, dict):
            return self._container(origin, arguments)
        plain = _plain()
        if type_ not in plain:
            raise MachineDefinitionError(f"{name_of(type_)} has no stored form, so there is no strategy for it")
        return plain[type_]

    def _dataclass(self, type_: Any) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        if type_ not in self._made:
            self._made[type_] = st.deferred(lambda: self._instances(type_))
        return self._made[type_]

    def _instances(self, type_: Any) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        fields = {name: self.values(annotation) for name, annotation in field_types(type_).items()}
        made = st.fixed_dictionaries(fields).map(lambda values: _made_or_none(type_, values))
        return made.filter(lambda value: value is not None)

    def _container(self, origin: Any, arguments: tuple[Any, ...]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        if origin is dict:
            return st.dictionaries(*map(self.values, arguments or (Any, Any)), max_size=MOST_ELEMENTS)
        if origin is list:
            return st.lists(self.values(arguments[0] if arguments else Any), max_size=MOST_ELEMENTS)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return st.lists(self.values(arguments[0]), max_size=MOST_ELEMENTS).map(tuple)
        return st.tuples(*map(self.values, arguments))


def _made_or_none(type_: Any, values: dict[str, Any]) -> Any:
    try:
        return type_(**values)
    except ValueError:
        return None


def _plain() -> dict[Any, SearchStrategy[Any]]:
    """The types that stand for themselves."""
    from hypothesis import strategies as st

    integers = st.integers(*FEW_NUMBERS) | st.integers(SMALLEST, LARGEST)
    texts = st.sampled_from(FEW_TEXTS) | st.text(max_size=LONGEST_TEXT)
    data = st.binary(max_size=LONGEST_TEXT)
    stamps = st.binary(min_size=10, max_size=10).filter(lambda stamp: stamp != b"\xff" * 10)
    return {
        bool: st.booleans(),
        int: integers,
        float: st.floats(allow_nan=False),
        str: texts,
        bytes: data,
        UUID: st.uuids(),
        Versionstamp: st.builds(Versionstamp, stamps, st.integers(0, 2**16 - 1)),
        Any: st.none() | st.booleans() | integers | texts | data,
    }
