"""Run plain layer code from asyncio: `await aio.run(layer.apply, db, Pay("ann", 500))`."""

from phasm_fdb.database.aio import ready, run

__all__ = ["ready", "run"]
