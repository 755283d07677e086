"""Output, which every attempt writes again."""

from __future__ import annotations

import logging

from tests.lint.speaking import Shop

logger = logging.getLogger(__name__)


class Planted(Shop):
    def stf(self, state, input, actions):
        print("shipping")  # found: output
        logger.info("shipping")  # found: output
