"""An id by chance, as the default of a field."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from tests.lint.speaking import Shop


@dataclass(frozen=True)
class Parcel:
    id: str = field(default_factory=lambda: uuid.uuid4().hex)  # found: uuid


class Planted(Shop):
    def stf(self, state, input, actions):
        return Parcel().id
