"""A setting from the environment, in the key function of an index."""

from __future__ import annotations

import os

from phasm_fdb import Index, Map, State
from tests.lint.speaking import Order, Shop


class RegionState(State):
    orders = Map(int, Order)
    by_region = Index(orders, str, lambda order: os.getenv("REGION", order.user))  # found: environment


class Planted(Shop):
    State = RegionState
