"""Loading the layer or the app that a command names."""

from __future__ import annotations

from typing import Any

from phasm_fdb.layer import Layer
from phasm_fdb.naming import Loadable, NameNotFound
from phasm_fdb.runtime.app import App
from phasm_fdb.runtime.handlers import Handlers


def _is_app(value: Any) -> bool:
    return isinstance(value, App | Layer)


APP = Loadable("App or Layer", "my_app.main:app", _is_app)


def load_layer(name: str) -> Layer:
    """Load the layer of this name.

    Args:
        name: `MODULE:APP`, where APP is a `Layer` in the module, or an `App` that has one.

    Raises:
        NameNotFound: there is none.
    """
    _, found = APP.load(name)
    return found.layer if isinstance(found, App) else found


def load_app(name: str) -> App:
    """Load the app of this name.

    Args:
        name: `MODULE:APP`, where APP is an `App` in the module; or a `Layer`, if the module has one `Handlers`.

    Raises:
        NameNotFound: there is none.
    """
    module, found = APP.load(name)
    if isinstance(found, App):
        return found
    handlers = [value for value in vars(module).values() if isinstance(value, Handlers)]
    if len(handlers) != 1:
        raise NameNotFound(
            f"{module.__name__} has {len(handlers)} Handlers, and one is needed to run the layer {name!r}: "
            "say which it is, with app = App(layer, handlers)"
        )
    return App(found, handlers[0])
