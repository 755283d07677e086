"""Python's doors to what is neither state nor input: clocks, random sources, files, sockets and the like.

A machine decides by its state and its input alone (PHASM's invariants 2, 6 and 10). The guard closes these doors
while machine code runs, and `phasm lint` finds them in its text; both say what to do instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Door:
    """One kind of way out.

    Attributes:
        kind: its name, which is also that of the lint rule.
        does: what a call does, as a message says it: "reads the clock".
        instead: what a machine does in its place.
    """

    kind: str
    does: str
    instead: str


DOORS = {
    door.kind: door
    for door in (
        Door("clock", "reads the clock", "take the time from `input.at`"),
        Door(
            "random",
            "draws from a random source",
            "draw from `input.random()`, which gives the same numbers to every attempt and replay",
        ),
        Door("uuid", "makes an id by chance", "take ids from a Counter of the state, or from `actions.new_id()`"),
        Door("secrets", "asks the system for random bytes", "let the caller make them and put them in the input"),
        Door("environment", "looks at the process or machine it runs on", "put settings in the input or the state"),
        Door("file", "touches files", "put what is read in the input, and describe what is written as an action"),
        Door("socket", "uses the network", "describe the call as a tracked action: its result comes back as an input"),
        Door("subprocess", "starts a process", "describe it as a tracked action: its result comes back as an input"),
        Door("thread", "starts what runs beside it", "describe the work as an action, and let a handler do it"),
        Door("sleep", "waits for time to pass", "emit `Tracked(..., after=seconds)`, or use `actions.later(...)`"),
    )
}

#: The functions behind each door, by kind and by the module or class that has them.
FUNCTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "clock": {
        "time": (
            *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
            *("process_time", "process_time_ns", "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns"),
            *("localtime", "gmtime", "ctime", "asctime", "strftime"),
        ),
        "datetime.datetime": ("now", "utcnow", "today"),
        "datetime.date": ("today",),
    },
    "random": {
        "random": (
            *("random", "uniform", "triangular", "randint", "choice", "randrange", "sample", "shuffle", "choices"),
            *("normalvariate", "lognormvariate", "expovariate", "vonmisesvariate", "gammavariate", "gauss"),
            *("betavariate", "binomialvariate", "paretovariate", "weibullvariate", "getrandbits", "randbytes"),
            *("seed", "getstate", "setstate"),
        ),
        "random.SystemRandom": ("random", "getrandbits", "randbytes"),
    },
    "uuid": {"uuid": ("uuid1", "uuid4", "uuid6", "uuid7", "getnode")},
    "secrets": {
        "secrets": ("token_bytes", "token_hex", "token_urlsafe", "choice", "randbelow", "randbits"),
        "os": ("urandom", "getrandom"),
    },
    "environment": {
        "os": ("getenv", "getpid", "getppid", "getlogin", "getcwd", "cpu_count", "getloadavg", "uname", "times"),
    },
    # What else touches files is reported by CPython itself (`phasm_fdb.guard.auditing`).
    "file": {"os": ("stat", "lstat", "access", "readlink", "statvfs")},
    "thread": {
        "threading.Thread": ("start",),
        "_thread": ("start_new_thread",),
        "asyncio": ("create_task", "ensure_future", "run", "run_coroutine_threadsafe"),
    },
    "sleep": {"time": ("sleep",)},
}

#: Functions that read the clock only if they are called with no more than so many arguments.
CLOCK_UNLESS_GIVEN = {"time.localtime": 0, "time.gmtime": 0, "time.ctime": 0, "time.asctime": 0, "time.strftime": 1}
