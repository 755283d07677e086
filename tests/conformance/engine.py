"""What the conformance suite needs of a database: the four names, which every engine module here has."""

from __future__ import annotations

from typing import Any, Protocol


class Engine(Protocol):
    """A module (`memory_engine`, `sqlite_engine`, `cluster_engine`) that opens databases of one kind."""

    #: The binding's constructor, `KeySelector(key, or_equal, offset)`, with its four named constructors.
    KeySelector: Any
    #: The exception that the engine's calls raise; `.code` is FoundationDB's error code.
    FDBError: Any

    def open_database(self) -> Any:
        """A new, empty database with the binding's Database API."""

    def close_database(self, db: Any) -> None:
        """Give back what `open_database` took."""
