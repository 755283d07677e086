"""Python's doors to what is neither state nor input: clocks, random sources, files, sockets and the like.

A machine decides by its state and its input alone (PHASM's invariants 2, 6 and 10). The guard closes these doors
while machine code runs, and `phasm lint` finds them in its text; both say what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
        Door("foreign", "runs code that is not Python", "describe the call as a tracked action, or write it in Python"),
    )
}

#: The functions behind each door, by kind and by the module or class that has them.
FUNCTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "clock": {
        "time": (
            *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
            *("process_time", "process_time_ns", "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns"),
            *("localtime", "gmtime", "ctime", "asctime", "strftime", "get_clock_info", "pthread_getcpuclockid"),
        ),
        "timeit": ("default_timer", "timeit", "repeat"),
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
    "uuid": {"uuid": ("uuid1", "uuid4", "uuid6", "uuid7", "uuid8", "getnode")},
    "secrets": {
        "secrets": ("token_bytes", "token_hex", "token_urlsafe", "choice", "randbelow", "randbits"),
        "os": ("urandom", "getrandom"),
    },
    "environment": {
        "os": (
            *("getenv", "getenvb", "getpid", "getppid", "getlogin", "getcwd", "getcwdb", "uname", "times", "umask"),
            *("cpu_count", "process_cpu_count", "getloadavg", "sched_getaffinity", "sysconf", "confstr", "getpriority"),
            *("getuid", "geteuid", "getgid", "getegid", "getgroups", "getpgid", "getpgrp", "getsid", "getresuid"),
            *("getresgid", "isatty", "ttyname", "ctermid", "get_terminal_size"),
        ),
        "time": ("tzset", "mktime"),
        "threading": ("current_thread", "main_thread", "get_ident", "get_native_id", "active_count", "enumerate"),
        "multiprocessing": ("current_process", "parent_process", "active_children", "cpu_count"),
        "resource": ("getrusage", "getrlimit"),
        "pwd": ("getpwnam", "getpwuid", "getpwall"),
        "grp": ("getgrnam", "getgrgid", "getgrall"),
        "locale": (
            *("setlocale", "getlocale", "getdefaultlocale", "localeconv", "getpreferredencoding", "getencoding"),
            *("strcoll", "strxfrm", "format_string", "currency", "str", "atof", "atoi", "delocalize", "localize"),
        ),
    },
    # What else touches files is reported by CPython itself (`phasm_fdb.guard.auditing`).
    "file": {
        "os": (
            *("stat", "lstat", "fstat", "access", "readlink", "statvfs", "fstatvfs", "lseek", "pipe", "pipe2", "dup"),
            *("dup2", "read", "readv", "pread", "preadv", "write", "writev", "pwrite", "pwritev", "fsync"),
            *("fdatasync", "sync", "close"),
        ),
    },
    "thread": {
        "threading.Thread": ("__init__", "start"),
        "_thread": ("start_new_thread",),
        "asyncio": ("create_task", "ensure_future", "run", "run_coroutine_threadsafe"),
    },
    "sleep": {"time": ("sleep",), "select": ("select",), "signal": ("pause", "sigwait", "sigtimedwait")},
}

_LOCAL_DIRECTIVES = re.compile(r"%[-_0^#EO]*[aAbBhcpPrxXZ+]")


def is_local_format(text: object) -> bool:
    """Whether a format of a time depends on the locale or the time zone of the process: "%c" does, "%Y-%m" does not.

    See https://docs.python.org/3/library/time.html#time.strftime.
    """
    return isinstance(text, str) and _LOCAL_DIRECTIVES.search(text.replace("%%", "")) is not None


def _local(format: object) -> str | None:
    return "environment" if is_local_format(format) else None


def _unless_given(kind: str) -> Callable[..., str | None]:
    return lambda given=None, *_: kind if given is None else None


#: Functions that are a door only with some arguments, or are another one then: called with the same arguments, `self`
#: included, each gives the kind of the door, or None.
BY_ARGUMENTS: dict[str, Callable[..., str | None]] = {
    "time.localtime": lambda seconds=None: "clock" if seconds is None else "environment",
    "time.ctime": lambda seconds=None: "clock" if seconds is None else "environment",
    "time.gmtime": _unless_given("clock"),
    "time.asctime": _unless_given("clock"),
    "time.strftime": lambda format, t=None: "clock" if t is None else _local(format),
    "time.strptime": lambda string, format="%c": _local(format),
    "datetime.datetime.strptime": lambda string, format: _local(format),
    "datetime.datetime.fromtimestamp": lambda timestamp, tz=None: "environment" if tz is None else None,
    "datetime.date.fromtimestamp": lambda timestamp: "environment",
    "datetime.datetime.timestamp": lambda self: "environment" if self.tzinfo is None else None,
    "datetime.datetime.astimezone": lambda self, tz=None: "environment" if None in (tz, self.tzinfo) else None,
    "random.Random.__init__": lambda self, x=None: "random" if x is None else None,
    "random.Random.seed": lambda self, a=None, version=2: "random" if a is None else None,
    "uuid.uuid8": lambda a=None, b=None, c=None: "uuid" if None in (a, b, c) else None,
}
