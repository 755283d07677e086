"""What a worker can run: its handlers, by the names under which types are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phasm_fdb.definition import Definition
from phasm_fdb.runtime.handlers import Handler, Handlers, members
from phasm_fdb.runtime.limit import Limit
from phasm_fdb.storable import members_by_tag, name_of


@dataclass(frozen=True, slots=True)
class Capability:
    """An action type that this worker can run.

    Attributes:
        name: the type's own name; it may be stored under older ones, which the class lists in `__aliases__`.
    """

    name: str
    handler: Handler

    @property
    def limit(self) -> Limit | None:
        return self.handler.limit


class Capabilities:
    """What this worker's code knows.

    Attributes:
        by_tag: the action types that have a handler, by stored name.
        inputs, untracked: the stored names of the input types, and of the untracked ones, that the machine declares.
    """

    def __init__(self, definition: Definition, handlers: Handlers) -> None:
        self.by_tag: dict[str, Capability] = {}
        for tag, type_ in _tags(definition.tracked.type).items():
            handler = handlers.of_type(type_)
            if handler is not None:
                self.by_tag[tag] = Capability(name_of(type_), handler)
        self.inputs = frozenset(_tags(definition.inputs.type))
        self.untracked = frozenset(_tags(definition.untracked.type))

    def knows(self, tag: str) -> bool:
        """Whether an action type has a handler here."""
        return tag in self.by_tag

    def is_limited(self, tag: str) -> bool:
        """Whether an action type has a limit across workers."""
        capability = self.by_tag.get(tag)
        return capability is not None and capability.limit is not None


def _tags(type_: Any) -> dict[str, Any]:
    """The types that a declared type stands for, by the names under which they are stored."""
    plain = {name_of(member): member for member in members(type_)}
    return plain | dict(members_by_tag(type_)) if plain else {}
