"""A simulated operator: now and then requeues and discards dead letters, sweeps, resizes, takes snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from phasm_fdb.database import aio
from phasm_fdb.errors import DatabaseError, DuplicateAction
from phasm_fdb.layer import Layer
from phasm_fdb.simulation.world.cluster import Park
from phasm_fdb.simulation.world.process import Process

#: How often it is decided whether the operator does something.
LOOK_SECONDS = 1.0

NAME = "operator"


def _requeue(layer: Layer, db: Any, value: Any) -> None:
    for letter in layer.dead_letters(db):
        try:
            layer.requeue(db, letter.stamp)
        except DuplicateAction:  # another has its id by now
            continue


def _discard(layer: Layer, db: Any, value: Any) -> None:
    letters = layer.dead_letters(db)
    if letters:
        layer.discard(db, letters[int(value) % len(letters)].stamp)


def _sweep(layer: Layer, db: Any, value: Any) -> None:
    layer.sweep(db)


def _resize(layer: Layer, db: Any, value: Any) -> None:
    layer.resize(db, int(value))


def _snapshot(layer: Layer, db: Any, value: Any) -> None:
    layer.snapshot(db)


def _stop_journal(layer: Layer, db: Any, value: Any) -> None:
    layer.stop_journal(db)


_DUTIES: dict[str, Callable[[Layer, Any, Any], None]] = {
    "requeue": _requeue,
    "discard": _discard,
    "sweep": _sweep,
    "resize": _resize,
    "snapshot": _snapshot,
    "stop journal": _stop_journal,
}


class Operator:
    """One operator, in a process of its own for each thing that it does."""

    def __init__(self, park: Park) -> None:
        self._park = park
        # A run with a journal replays it from its beginning.
        duties = [kind for kind in _DUTIES if kind != "stop journal" or not park.settings.journal]
        sites = {kind: park.faults.site(NAME, kind) for kind in duties}
        self._sites = {kind: site for kind, site in sites.items() if site is not None}

    @property
    def has_duties(self) -> bool:
        """Whether there is anything that it may do."""
        return bool(self._sites)

    async def run(self) -> None:
        """Look after the layer until the faults stop."""
        while not self._park.faults.have_stopped:
            await asyncio.sleep(LOOK_SECONDS)
            for kind, site in self._sites.items():
                value = site.decide()
                if value is not None:
                    await self._do(kind, value)

    async def _do(self, kind: str, value: Any) -> None:
        park = self._park
        process = park.process(NAME)
        if kind == "sweep":
            process.skew = float(value)
        layer, db = park.layer(process), park.database(park.link(process, NAME))
        task = process.spawn(self._until_done(process, kind, layer, db, value), f"{NAME}: {kind}")
        await asyncio.wait([task])
        await process.gone()
        if not task.cancelled() and (error := task.exception()) is not None:
            park.failed(error)

    async def _until_done(self, process: Process, kind: str, layer: Layer, db: Any, value: Any) -> None:
        try:
            await aio.run(_DUTIES[kind], layer, db, value)
        except DatabaseError as error:  # it may be tried again another time
            self._park.trace.note(f"operator gave up {type(error).__name__}", kind.encode())
