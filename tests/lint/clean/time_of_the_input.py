"""Time that came in by the input, and arithmetic on it."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

from tests.lint.speaking import Shop


class Clean(Shop):
    def stf(self, state, input, actions):
        at = datetime.fromtimestamp(input.at / 1000, UTC)
        due = at + timedelta(days=2)
        then = time.gmtime(input.at // 1000)
        return [due.isoformat(), date(2026, 1, 1).year, time.strftime("%H", then), at.astimezone(UTC).hour]
