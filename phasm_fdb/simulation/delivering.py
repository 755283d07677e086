"""Results that come by another way than the worker: a provider's callback, a queue that delivers twice."""

from __future__ import annotations

import asyncio
from typing import Any

from phasm_fdb.database import aio
from phasm_fdb.errors import DatabaseError, StaleCompletion, TransitionError
from phasm_fdb.keys import pack_element
from phasm_fdb.simulation.park import Park
from phasm_fdb.simulation.process import Process


class Deliveries:
    """Feeds results to the layer, as `Layer.complete` lets anybody do.

    Whether a worker was there first decides what comes of it: it completes the action, or it is stale. An id that was
    emitted anew meanwhile is left alone: the result is not of that action.
    """

    def __init__(self, park: Park) -> None:
        self._park = park
        park.world.deliver_again = self.deliver

    def deliver(self, id: Any, result: Any, seconds: float) -> None:
        """Deliver a result once more, after so many seconds."""
        process = self._park.process("callback")
        place = self._place(id)
        if place is not None:
            process.spawn(self._deliver(process, id, result, seconds, place))

    async def _deliver(self, process: Process, id: Any, result: Any, seconds: float, place: bytes) -> None:
        park = self._park
        await asyncio.sleep(seconds)
        if self._place(id) not in (None, place):
            return
        layer, db = park.layer(process), park.database(park.good_link(process))
        try:
            await aio.run(layer.complete, db, id, result)
        except StaleCompletion:
            park.trace.note("stale", pack_element(id))
        except (TransitionError, DatabaseError):
            park.trace.note("delivery failed", pack_element(id))
        else:
            park.trace.note("delivered", pack_element(id))

    def _place(self, id: Any) -> bytes | None:
        """Where the action of an id lies, which tells it from a later one; None if it is not pending."""
        keys, packed = self._park.inspector.keyspace, pack_element(id)
        snapshot = self._park.inspector.snapshot()
        place = snapshot.get(keys.id_row(packed))
        return None if place is None else place + (snapshot.get(keys.location_row(packed)) or b"")
