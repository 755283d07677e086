"""Formats that are the same in every process, and objects that have texts of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tests.lint.speaking import Shop


@dataclass(frozen=True)
class Part:
    number: int


class Clean(Shop):
    def stf(self, state, input, actions):
        at = datetime.fromtimestamp(input.at / 1000, UTC)
        day = datetime.strptime("2026-01-01", "%Y-%m-%d").replace(tzinfo=UTC)
        state.spent[f"{at:%Y-%m-%d} 100%"] = int((at - day).total_seconds())
        state.spent[at.strftime("%H:%M, 100%%c")] = int(at.timestamp())
        state.spent[f"{Part(1)} {input.payload.cents:>8} {0.5:.1%} {type(input)}"] = 1
        return str(Part(2)) + "%s" % input.payload.user  # noqa: UP031
