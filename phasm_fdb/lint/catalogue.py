"""Which names of Python and of well-known packages a machine may not use, by their full name.

What the guard closes is in `phasm_fdb.outside`; here is what only a reader of the text can tell, or tell sooner.
"""

from __future__ import annotations

from phasm_fdb.lint.rules import DATABASE, IDENTITY, OUTPUT, SHARED_STATE
from phasm_fdb.outside import FUNCTIONS

_FILES_OF_OS = (
    *("open", "fdopen", "read", "write", "close", "listdir", "scandir", "walk", "fwalk"),
    *(
        "remove",
        "unlink",
        "rename",
        "renames",
        "replace",
        "mkdir",
        "makedirs",
        "rmdir",
        "removedirs",
        "link",
        "symlink",
    ),
    *("chmod", "chown", "truncate", "utime", "mkfifo", "pipe", "fsync", "sync", "path.exists"),
    *("path.isfile", "path.isdir", "path.islink", "path.getsize", "path.getmtime", "path.getctime", "path.getatime"),
    *("path.realpath", "path.samefile"),
)
_SURROUNDINGS_OF_OS = (
    *("environ", "environb", "getenvb", "putenv", "unsetenv", "chdir", "getuid", "geteuid", "getgid"),
    *("sched_getaffinity", "path.expanduser", "path.expandvars", "path.abspath"),
)
_PROCESSES_OF_OS = (
    *("system", "popen", "fork", "forkpty", "kill", "killpg", "wait", "waitpid", "abort", "_exit"),
    *("execv", "execve", "execvp", "execvpe", "execl", "execle", "execlp", "posix_spawn", "posix_spawnp"),
    *("spawnv", "spawnve", "spawnl", "spawnle", "spawnvp", "spawnlp"),
)
_SURROUNDINGS_OF_SYS = (
    *("argv", "orig_argv", "flags", "platform", "version", "version_info", "hexversion", "implementation", "path"),
    *("modules", "executable", "prefix", "exec_prefix", "base_prefix", "byteorder", "maxsize", "thread_info"),
    *("getdefaultencoding", "getfilesystemencoding", "getrecursionlimit", "getswitchinterval", "getallocatedblocks"),
    *("_getframe", "_current_frames"),
)
_FILES_OF_PATH = (
    *("open", "read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir", "is_symlink"),
    *("iterdir", "glob", "rglob", "walk", "mkdir", "rmdir", "unlink", "touch", "stat", "lstat", "rename", "replace"),
    *("resolve", "readlink", "symlink_to", "hardlink_to", "chmod", "lchmod", "owner", "group", "samefile", "is_mount"),
    *("is_socket", "is_fifo", "is_block_device", "is_char_device", "is_junction", "copy", "copy_into", "move", "info"),
    *("move_into",),
)
_SURROUNDINGS_OF_PATH = ("cwd", "home", "absolute", "expanduser")

#: Full names, each with its rule.
NAMES: dict[str, str] = {
    **{f"{owner}.{name}": kind for kind, owners in FUNCTIONS.items() for owner in owners for name in owners[owner]},
    **{f"os.{name}": "file" for name in _FILES_OF_OS},
    **{f"os.{name}": "environment" for name in _SURROUNDINGS_OF_OS},
    **{f"os.{name}": "subprocess" for name in _PROCESSES_OF_OS},
    **{f"pathlib.{cls}.{name}": "file" for cls in ("Path", "PosixPath") for name in _FILES_OF_PATH},
    **{f"pathlib.{cls}.{name}": "environment" for cls in ("Path", "PosixPath") for name in _SURROUNDINGS_OF_PATH},
    **{f"sys.{name}": "environment" for name in _SURROUNDINGS_OF_SYS},
    **{f"sys.{name}": IDENTITY for name in ("getsizeof", "getrefcount", "hash_info")},
    **{f"time.{name}": "environment" for name in ("tzname", "timezone", "altzone", "daylight")},
    **{f"calendar.{name}": "environment" for name in ("day_name", "day_abbr", "month_name", "month_abbr")},
    **{f"zoneinfo.{name}": "environment" for name in ("available_timezones", "TZPATH", "reset_tzpath")},
    **{f"pandas.{cls}.now": "clock" for cls in ("Timestamp", "Period", "DatetimeIndex")},
    **{f"pandas.Timestamp.{name}": "clock" for name in ("today", "utcnow")},
    **{f"pandas.core.generic.NDFrame.{name}": "random" for name in ("sample",)},
    **{f"sys.{name}": OUTPUT for name in ("stdout", "stderr")},
    "sys.stdin": "file",
    "io.open": "file",
    "random.SystemRandom": "random",
    "asyncio.sleep": "sleep",
    "socket.gethostname": "environment",
    "socket.getfqdn": "environment",
    "builtins.print": OUTPUT,
    "builtins.input": "file",
    "builtins.breakpoint": OUTPUT,
    "builtins.id": IDENTITY,
    "builtins.hash": IDENTITY,
    "contextvars.ContextVar": SHARED_STATE,
    "threading.local": SHARED_STATE,
    "os._Environ": "environment",
    "time.mktime": "environment",
    "fdb.open": DATABASE,
    "fdb.transactional": DATABASE,
    "phasm_fdb.open": DATABASE,
    "phasm_fdb.transactional": DATABASE,
}

#: Modules and packages of which nothing may be used, each with its rule.
MODULES: dict[str, str] = {
    **dict.fromkeys(("secrets",), "secrets"),
    **dict.fromkeys(("shutil", "tempfile", "glob", "fileinput", "mmap", "dbm", "shelve"), "file"),
    **dict.fromkeys(("platform", "getpass", "locale", "gettext", "resource", "pwd", "grp"), "environment"),
    **dict.fromkeys(("gc", "tracemalloc", "sysconfig", "site"), "environment"),
    **dict.fromkeys(("ctypes", "cffi"), "foreign"),
    **dict.fromkeys(
        ("socket", "ssl", "select", "selectors", "socketserver", "http.client", "urllib.request"), "socket"
    ),
    **dict.fromkeys(("ftplib", "imaplib", "poplib", "smtplib", "telnetlib", "xmlrpc"), "socket"),
    **dict.fromkeys(("requests", "httpx", "aiohttp", "urllib3", "websockets", "grpc", "boto3", "botocore"), "socket"),
    **dict.fromkeys(("subprocess", "multiprocessing", "pty", "webbrowser"), "subprocess"),
    **dict.fromkeys(
        ("threading", "_thread", "concurrent", "asyncio", "queue", "sched", "signal", "anyio", "trio"), "thread"
    ),
    **dict.fromkeys(("numpy.random",), "random"),
    **dict.fromkeys(
        (
            "sqlite3",
            "fdb.impl",
            "fdb.directory_impl",
            "redis",
            "psycopg",
            "psycopg2",
            "asyncpg",
            "pymongo",
            "sqlalchemy",
        ),
        DATABASE,
    ),
    **dict.fromkeys(("phasm_fdb.database", "phasm_fdb.embedded", "phasm_fdb.layer", "phasm_fdb.aio"), DATABASE),
    **dict.fromkeys(("logging", "structlog", "loguru"), OUTPUT),
}

#: Functions that read the clock only if they are called with no more than so many arguments.
CLOCK_UNLESS_GIVEN = {"time.localtime": 0, "time.gmtime": 0, "time.ctime": 0, "time.asctime": 0, "time.strftime": 1}

#: Functions that use the time zone of the system unless they are given one as their second argument.
LOCAL_ZONE = ("datetime.datetime.fromtimestamp", "datetime.date.fromtimestamp", "pandas.Timestamp.fromtimestamp")

#: Functions and methods of any class that take the format of a time.
FORMATS = ("strftime", "strptime")

#: What makes a time of a text, and takes "now" and "today" for one.
NOW = ("numpy.datetime64", "pandas.Timestamp", "pandas.to_datetime", "pandas.Period")

#: The modules that Python's own ones are made of, by the name that everybody knows.
_KNOWN_AS = {"posix": "os", "nt": "os", "posixpath": "os.path", "ntpath": "os.path"}


def rule_for(full_name: str) -> str | None:
    """The rule that forbids a name, or None."""
    if full_name in NAMES:
        return NAMES[full_name]
    parts = full_name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((MODULES[prefix] for prefix in prefixes if prefix in MODULES), None)


def full_name(module: str | None, name: str) -> str:
    """The name by which a thing is known, from the module that it says it is from."""
    module = module or "builtins"
    package, *rest = module.split(".")
    package = _KNOWN_AS.get(package, package)
    if package.startswith("_") and package != "_thread":  # _io, _socket, _random: the C part of a module
        package = package.lstrip("_")
    public = [part for part in rest if not part.startswith("_")]  # pathlib._local: where a package keeps what it gives
    return ".".join([package, *public, name])
