"""A client process, which goes through every door: python -m tests.crash.client URL FOLDER NAME."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from phasm_fdb import InputFailed, PhasmError, TransitionError, aio, transactional
from phasm_fdb.database.transactional import error_code
from tests.crash.scene import NOTES, Scene
from tests.simulation.torture.drawing import Drawer
from tests.simulation.torture.machine import Bug
from tests.simulation.torture.steps import Do


class Client:
    """Asks for one thing after another, under request ids that it logs first.

    Args:
        name: of the process; the tokens of its inputs begin with it.
    """

    def __init__(self, scene: Scene, db: Any) -> None:
        self._scene = scene
        self._db = db
        self._layer = scene.layer()
        self._rng = scene.rng
        self._drawer = Drawer(self._rng, frozenset({"Boast"}))
        self._asked = 0
        self._doors: dict[Callable[[], Awaitable[None]], float] = {
            self._apply: 4,
            self._apply_once: 1,
            self._submit: 3,
            self._call: 2,
            self._together: 3,
            self._repeat: 1,
            self._mend: 0.5,
            self._look: 0.5,
            self._keep_up: 0.1,
        }
        self._past: list[tuple[str, Do]] = []
        self.is_stopped = False

    async def run(self) -> None:
        """Go on until SIGTERM."""
        while not self.is_stopped:
            (door,) = self._rng.choices(list(self._doors), list(self._doors.values()))
            try:
                await door()
            except (PhasmError, Bug) as error:
                if error_code(error) is None and not isinstance(error, PhasmError | Bug):
                    raise
                self._scene.log("error", type(error).__name__, str(error)[:200])

    def _new(self) -> tuple[str, Do]:
        """A request id and an input of its own."""
        self._asked += 1
        id = f"{self._scene.name}/{self._asked}"
        do = self._drawer.do(id)
        self._past.append((id, do))
        return id, do

    def _told(self, id: str, applied: Any) -> None:
        self._scene.log("ok", id, applied.reply, applied.repeated, [one.action.token for one in applied.untracked])

    async def _asking(self, id: str, ask: Awaitable[Any]) -> None:
        """Log what is asked and what is answered."""
        self._scene.log("ask", id)
        try:
            self._told(id, await ask)
        except (TransitionError, InputFailed, Bug) as error:
            self._scene.log("refused", id, type(error).__name__)

    async def _apply(self) -> None:
        id, do = self._new()
        await self._asking(id, aio.run(self._layer.apply, self._db, do, id))

    async def _apply_once(self) -> None:
        id, do = self._new()
        self._past.pop()
        self._scene.log("ask once", id)
        applied = await aio.run(self._layer.apply, self._db, do)
        self._scene.log("ok once", id, applied.reply)

    async def _submit(self) -> None:
        id, do = self._new()
        key = self._rng.choice((None, "first", 2))
        self._scene.log("ask", id)
        await aio.run(self._layer.submit, self._db, do, id, key)
        self._scene.log("submitted", id)

    async def _call(self) -> None:
        id, do = self._new()
        try:
            await self._asking(id, self._layer.call(self._db, do, id, timeout=20))
        except TimeoutError:  # its key waits for one whose worker was lost, or the server is not back yet
            self._scene.log("unheard", id)

    async def _repeat(self) -> None:
        if self._past:
            id, do = self._rng.choice(self._past)
            await self._asking(id, aio.run(self._layer.apply, self._db, do, id))

    async def _together(self) -> None:
        """Several inputs in a transaction of the client's own, with a row of its own."""
        inputs = [self._new() for _ in range(self._rng.randint(1, 4))]
        note = NOTES.pack((inputs[0][0],))
        self._scene.log("ask together", *[id for id, _ in inputs])

        @transactional
        def body(tr: Any) -> list[Any]:
            taken = []
            for id, do in inputs:
                try:
                    taken.append((id, self._layer.apply(tr, do, id)))
                except (PhasmError, Bug) as error:
                    if error_code(error) is not None:
                        raise
            tr[note] = b"\0".join(id.encode() for id, _ in taken)
            return taken

        for id, applied in await aio.run(body, self._db):
            self._told(id, applied)

    async def _mend(self) -> None:
        """Put dead letters back."""
        for letter in (await aio.run(self._layer.dead_letters, self._db))[:5]:
            self._scene.log("requeue", getattr(letter.payload, "token", ""))
            await aio.run(self._layer.requeue, self._db, letter.stamp)

    async def _look(self) -> None:
        await aio.run(lambda: [one.id for one in self._layer.pending(self._db)])
        await aio.run(self._layer.check, self._db)

    async def _keep_up(self) -> None:
        """What an operator does."""
        match self._rng.randrange(4):
            case 0 | 1:
                await aio.run(self._layer.sweep, self._db)
            case 2:
                await aio.run(self._layer.snapshot, self._db)
            case 3:
                await aio.run(self._layer.resize, self._db, self._rng.choice((2, 3, 5)))


async def ask(scene: Scene, db: Any) -> None:
    """Run a client until SIGTERM."""
    client = Client(scene, db)

    def stop() -> None:
        client.is_stopped = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    await client.run()


if __name__ == "__main__":
    here = Scene(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    database = here.open()
    asyncio.run(ask(here, database))
    database.close()
