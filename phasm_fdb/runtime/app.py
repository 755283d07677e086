"""What `phasm worker MODULE:APP` runs: a layer with its handlers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from phasm_fdb.errors import DatabaseError
from phasm_fdb.layer import Layer
from phasm_fdb.naming import import_named
from phasm_fdb.runtime.handlers import Handlers
from phasm_fdb.runtime.worker import Worker


class AppNotFound(DatabaseError):
    """There is no such app; the message, one line, says what is missing."""


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


def load_app(name: str) -> App:
    """The app of this name.

    Args:
        name: `MODULE:APP`, where APP is an `App` in the module; or a `Layer`, if the module has one `Handlers`.

    Raises:
        AppNotFound: the name is not of that form, the module cannot be imported, or it has no such app.
    """
    module, attribute = import_named(name, "APP", "my_app.main:app", AppNotFound)
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return found
    if not isinstance(found, Layer):
        apps = [name for name, value in vars(module).items() if isinstance(value, App | Layer)]
        has = f"it has {', '.join(apps)}" if apps else "it has none"
        raise AppNotFound(f"{module.__name__} has no App or Layer {attribute!r}; {has}")
    handlers = [value for value in vars(module).values() if isinstance(value, Handlers)]
    if len(handlers) != 1:
        raise AppNotFound(
            f"{module.__name__} has {len(handlers)} Handlers, and one is needed to run the layer {attribute!r}: "
            "say which it is, with app = App(layer, handlers)"
        )
    return App(found, handlers[0])
