"""Waiting for a watch from asyncio, with a bound: watches may be lost, so nothing relies on one alone."""

from __future__ import annotations

import asyncio
from typing import Any

from phasm_fdb.database.aio import ready


async def changed(watch: Any, seconds: float | None) -> None:
    """Return when `watch` fires, or after that many seconds of the loop's time; it is cancelled then.

    A watch that fails (1032, there are too many of them) is as good as none: the time runs out.
    """
    try:
        async with asyncio.timeout(seconds):
            await ready(watch)
            try:
                watch.wait()
            except Exception:
                await asyncio.sleep(3600 if seconds is None else seconds)
    except TimeoutError:
        pass
    finally:
        watch.cancel()
