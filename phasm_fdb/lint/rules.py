"""The rules, each with what a machine does instead."""

from __future__ import annotations

from phasm_fdb.outside import DOORS

DATABASE = "database"
SET_ORDER = "set-order"
SHARED_STATE = "shared-state"
IDENTITY = "identity"
FLOAT = "float"
OUTPUT = "output"
ALLOW = "allow"

#: By the rule's name: what to do instead. The doors to the outside are those that the guard closes too.
RULES: dict[str, str] = {kind: door.instead for kind, door in DOORS.items()} | {
    DATABASE: "read and write through the fields of `state`, which are one transaction",
    SET_ORDER: "go through `sorted(...)` of it, or keep a dict, a list or a Map, whose order is always the same",
    SHARED_STATE: "keep it in a field of the State, change a copy of it, or make it a constant",
    IDENTITY: "compare and order by the values themselves, or by an id that the state gives out",
    FLOAT: "use integers of the smallest unit, such as cents, and `//` or `divmod`",
    OUTPUT: "emit an Untracked action: a line written here is written by every attempt, also by those that fail",
    ALLOW: f"name one of {', '.join(sorted(DOORS))}, database, set-order, shared-state, identity, float, output",
}
