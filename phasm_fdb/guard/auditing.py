"""The doors that CPython itself reports: files, sockets and processes, by its audit events.

See https://docs.python.org/3/library/audit_events.html for the events. They come from the C code that does the work,
so it does not matter by which function of which library it was reached.
"""

from __future__ import annotations

import sys
from typing import Any

from phasm_fdb.guard.judging import judge
from phasm_fdb.guard.mode import watched

#: Events by their name.
EVENTS = {
    "open": "file",
    "builtins.input": "file",
    "os.putenv": "environment",
    "os.unsetenv": "environment",
    "os.chdir": "environment",
    "os.system": "subprocess",
    "os.exec": "subprocess",
    "os.fork": "subprocess",
    "os.forkpty": "subprocess",
    "os.spawn": "subprocess",
    "os.posix_spawn": "subprocess",
    "os.kill": "subprocess",
    "os.killpg": "subprocess",
    "socket.gethostname": "environment",
}

#: All other events of a module.
MODULES = {
    "os": "file",
    "shutil": "file",
    "tempfile": "file",
    "glob": "file",
    "mmap": "file",
    "pathlib": "file",
    "sqlite3": "file",
    "socket": "socket",
    "urllib": "socket",
    "http": "socket",
    "ftplib": "socket",
    "imaplib": "socket",
    "poplib": "socket",
    "smtplib": "socket",
    "webbrowser": "subprocess",
    "subprocess": "subprocess",
    "pty": "subprocess",
    "ctypes": "foreign",
}

#: How messages name the calls that have another name than their event.
CALLS = {"socket.__new__": "socket.socket", "builtins.input": "input"}


def close_audited() -> None:
    """Listen to the audit events; CPython has no way to stop listening."""
    sys.addaudithook(_on_event)


def _is_time_zone(file: Any) -> bool:
    """Whether a file has the rules of a time zone, which are no more outside data than Python itself is.

    `zoneinfo` opens it once for each zone, from C code, so no caller is to be seen.
    """
    zoneinfo = sys.modules.get("zoneinfo")
    return zoneinfo is not None and isinstance(file, str) and file.startswith(zoneinfo.TZPATH)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if watched.get() is None:
        return
    if event == "open" and _is_time_zone(arguments[0]):
        return
    kind = EVENTS.get(event) or MODULES.get(event.partition(".")[0])
    if kind is not None:
        shown = repr(arguments[0]) if event == "open" else ""
        judge(kind, f"{CALLS.get(event, event)}({shown})", sys._getframe(1))
