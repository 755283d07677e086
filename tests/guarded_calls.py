"""Every way out that the guard closes, as a machine would write it; and what stays open.

The names are imported before any guard is on, as a machine's module does it.
"""

from __future__ import annotations

import asyncio
import ctypes
import datetime as datetimes
import importlib
import locale
import logging
import multiprocessing
import os
import pathlib
import posix
import pwd
import random
import resource
import secrets
import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import timeit
import urllib.request
import uuid
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from os import urandom
from random import choice
from time import monotonic as now
from time import sleep
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Ticket:
    id: Any = field(default_factory=uuid4)


class Later(datetime):
    """A class of the project's own, which inherits `now`."""


GENERATOR = random.Random(7)
LIBRARY = ctypes.CDLL(None)


def call_in_a_pool() -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(int).result()


#: By the kind of the door.
CLOSED: dict[str, list[Callable[[], object]]] = {
    "reads the clock": [
        lambda: time.time(),
        lambda: time.time_ns(),
        lambda: time.perf_counter(),
        lambda: time.process_time(),
        lambda: now(),
        lambda: time.localtime(),
        lambda: time.gmtime(),
        lambda: time.ctime(),
        lambda: time.strftime("%H:%M"),
        lambda: datetime.now(),
        lambda: datetime.now(UTC),
        lambda: datetimes.datetime.utcnow(),
        lambda: datetime.today(),
        lambda: date.today(),
        lambda: datetimes.date.today(),
        lambda: Later.now(),
        lambda: timeit.default_timer(),
        lambda: time.clock_gettime(0),
    ],
    "draws from a random source": [
        lambda: random.random(),
        lambda: random.randint(1, 6),
        lambda: random.shuffle([1, 2]),
        lambda: random.seed(1),
        lambda: choice([1, 2]),
        lambda: random.Random(),
        lambda: random.SystemRandom(),
        lambda: GENERATOR.seed(),
    ],
    "makes an id by chance": [lambda: uuid.uuid1(), lambda: uuid.uuid4(), lambda: uuid4()],
    "asks the system for random bytes": [
        lambda: secrets.token_hex(),
        lambda: secrets.choice([1, 2]),
        lambda: secrets.randbelow(6),
        lambda: os.urandom(8),
        lambda: urandom(8),
        lambda: Ticket(),
    ],
    "looks at the process or machine it runs on": [
        lambda: os.environ["HOME"],
        lambda: os.environ.get("HOME"),
        lambda: "HOME" in os.environ,
        lambda: dict(os.environ),
        lambda: os.getenv("HOME"),
        lambda: os.environ.update(PHASM="1"),
        lambda: os.getpid(),
        lambda: os.times(),
        lambda: os.getcwd(),  # noqa: PTH109
        lambda: socket.gethostname(),
        lambda: os.chdir("/"),
        lambda: posix.getpid(),
        lambda: os.getuid(),
        lambda: os.sysconf("SC_NPROCESSORS_ONLN"),
        lambda: resource.getrusage(resource.RUSAGE_SELF),
        lambda: pwd.getpwuid(0),
        lambda: threading.current_thread().name,
        lambda: threading.get_ident(),
        lambda: multiprocessing.current_process().name,
        lambda: locale.getlocale(),
        lambda: locale.format_string("%d", 1),
        lambda: time.localtime(0),
        lambda: time.ctime(0),
        lambda: time.mktime(time.gmtime(0)),
        lambda: time.strftime("%c", time.gmtime(0)),
        lambda: time.strptime("Monday", "%A"),
        lambda: datetime(2026, 1, 1).strftime("%x"),
        lambda: f"{date(2026, 1, 1):%B}",
        lambda: datetime.strptime("May 2026", "%b %Y"),
        lambda: datetime(2026, 1, 1).timestamp(),
        lambda: datetime(2026, 1, 1).astimezone(UTC),
        lambda: datetime(2026, 1, 1, tzinfo=UTC).astimezone(),
        lambda: datetime.fromtimestamp(0),
        lambda: Later.fromtimestamp(0),
        lambda: date.fromtimestamp(0),
    ],
    "touches files": [
        lambda: open("/dev/null"),  # noqa: PTH123, SIM115 - the built-in is what is meant
        lambda: os.open("/dev/null", os.O_RDONLY),
        lambda: pathlib.Path("/dev/null").read_bytes(),
        lambda: pathlib.Path("/tmp/phasm-nothing").unlink(),
        lambda: os.listdir("/"),  # noqa: PTH208
        lambda: list(os.scandir("/")),
        lambda: shutil.copyfile("/dev/null", "/tmp/phasm-nothing"),
        lambda: pathlib.Path("/dev/null").exists(),
        lambda: os.path.getmtime("/dev/null"),  # noqa: PTH204
        lambda: os.access("/dev/null", os.R_OK),
        lambda: pathlib.Path("/dev/null").is_symlink(),
        lambda: sqlite3.connect(":memory:"),
        lambda: os.fstat(0),
        lambda: posix.stat("/"),
        lambda: os.read(0, 0),
    ],
    "uses the network": [
        lambda: socket.socket(),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: socket.getaddrinfo("127.0.0.1", 9),
    ],
    "starts a process": [
        lambda: subprocess.run(["true"], check=False),
        lambda: os.system("true"),
        lambda: os.fork(),
        lambda: os.kill(0, 0),
    ],
    "starts what runs beside it": [
        lambda: threading.Thread(target=int).start(),
        lambda: threading.Timer(0, int).start(),
        lambda: call_in_a_pool(),
        lambda: asyncio.create_task(None),  # type: ignore[arg-type]
    ],
    "waits for time to pass": [lambda: time.sleep(0), lambda: sleep(0), lambda: select.select([], [], [], 0)],
    "runs code that is not Python": [lambda: ctypes.CDLL(None), lambda: LIBRARY.time],
}

#: These go through several doors, and which comes first is Python's business.
CLOSED_SOMEHOW: list[Callable[[], object]] = [
    lambda: tempfile.mkdtemp(),
    lambda: tempfile.TemporaryFile(),  # noqa: SIM115
    lambda: urllib.request.urlopen("http://127.0.0.1:9/"),
    lambda: os.popen("true"),
]


def import_a_module() -> object:
    sys.modules.pop("this_is_not_imported", None)
    sys.modules.pop("colorsys", None)
    return importlib.import_module("colorsys")


def warn() -> None:
    warnings.warn("the machine warns", DeprecationWarning, stacklevel=1)


OPEN: list[Callable[[], object]] = [
    lambda: time.gmtime(0),
    lambda: time.strftime("%H", time.gmtime(0)),
    lambda: time.strptime("2026", "%Y"),
    lambda: datetime(2026, 1, 1),
    lambda: datetime.fromtimestamp(0, UTC),
    lambda: Later.fromtimestamp(0, tz=UTC),
    lambda: datetime(2026, 1, 1, tzinfo=UTC).timestamp(),
    lambda: datetime(2026, 1, 1, tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin")),
    lambda: datetime.strptime("2026-01-01", "%Y-%m-%d"),
    lambda: datetime(2026, 1, 1).strftime("%Y-%m-%d 100%%c"),
    lambda: f"{date(2026, 1, 1):%d.%m.%Y}",
    lambda: isinstance(datetime(2026, 1, 1), datetime),
    lambda: ZoneInfo("Europe/Berlin") or ZoneInfo.no_cache("UTC"),
    lambda: random.Random(7).random(),
    lambda: random.Random("seed").sample(range(9), 3),
    lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "phasm"),
    lambda: uuid.UUID(int=7),
    lambda: secrets.compare_digest("a", "b"),
    lambda: pathlib.PurePath("a") / "b",
    lambda: repr(Ticket("fixed")),
    lambda: logging.getLogger("phasm.tests").warning("for people"),
    import_a_module,
]
