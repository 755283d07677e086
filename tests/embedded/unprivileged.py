"""Opening a database as a user who may not do everything: root is never refused by permissions."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection

from phasm_fdb.embedded import open_sqlite
from phasm_fdb.errors import DatabaseError

NOBODY = 65534


def attempt_unprivileged(path: str) -> str:
    """Open the database at `path` in a process without root's rights; returns the error's message."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_attempt, args=(path, sender))
    process.start()
    sender.close()
    message: str = receiver.recv()
    receiver.close()
    process.join()
    return message


def _attempt(path: str, answer: Connection) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        open_sqlite(path).close()
    except DatabaseError as error:
        answer.send(str(error))
    else:
        answer.send("it was opened")
