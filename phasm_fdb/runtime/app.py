"""What `phasm worker MODULE:APP` runs: a layer with its handlers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from phasm_fdb.layer import Layer
from phasm_fdb.runtime.handlers import Handlers
from phasm_fdb.runtime.worker import Worker


@dataclass(frozen=True)
class App:
    """A layer and what runs its actions: `app = App(wallets, handlers)`.

    Attributes:
        options: further arguments of `Worker`, such as `concurrency`; those of the command line come first.
    """

    layer: Layer
    handlers: Handlers
    options: dict[str, Any] = field(default_factory=dict)

    def worker(self, db: Any, name: str | None = None, **options: Any) -> Worker:
        """A worker of this app on a database."""
        return Worker(db, self.layer, self.handlers, name, **{**self.options, **options})
