"""The atomic operations by their other names: the binding has each of them with and without `bit_` before it."""

from __future__ import annotations

_METHODS = {
    **{name: name for name in ("add", "append_if_fits", "max", "min", "byte_max", "byte_min", "compare_and_clear")},
    **{name: name for name in ("bit_and", "bit_or", "bit_xor", "set_versionstamped_key", "set_versionstamped_value")},
    **{"and": "bit_and", "or": "bit_or", "xor": "bit_xor"},
}
"""Methods by the name of their mutation type."""


def add_aliases(operations: type) -> None:
    """Give a class that has the methods the other names too."""
    for name, method in _METHODS.items():
        for alias in (name, f"bit_{name}"):
            if not hasattr(operations, alias):
                setattr(operations, alias, getattr(operations, method))
