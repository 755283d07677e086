"""Opening a FoundationDB cluster through the official binding: `open("fdb:")` and `open("fdb:/path/fdb.cluster")`."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from phasm_fdb.database.api_version import load_binding
from phasm_fdb.database.binding import make_awaitable
from phasm_fdb.database.waiting import wait
from phasm_fdb.error_codes import CLIENT_INVALID_OPERATION, TRANSACTION_TIMED_OUT
from phasm_fdb.errors import DatabaseError

#: Where FoundationDB's packages put the cluster file.
DEFAULT_CLUSTER_FILE = (
    "/usr/local/etc/foundationdb/fdb.cluster" if platform.system() == "Darwin" else "/etc/foundationdb/fdb.cluster"
)
#: `description:id@coordinator,coordinator`; comment lines are allowed around it.
CONNECTION = re.compile(r"^\s*[A-Za-z0-9_]+:[A-Za-z0-9]+@(?P<coordinators>\S+)\s*$", re.MULTILINE)


def open_cluster(
    path: str | os.PathLike[str] | None = None,
    *,
    api_version: int | str | None = None,
    connect_timeout_seconds: float | str = 5.0,
    timeout_ms: int | str = 30_000,
    retry_limit: int | str = 100,
    max_retry_delay_ms: int | str = 1000,
) -> Any:
    """Connect to a cluster and return the binding's own `fdb.Database`.

    The three limits are the defaults of the database's transactions; a transaction may set others by its options. An
    attempt lives for five seconds at most whatever they are: that is FoundationDB's own limit.

    Args:
        path: the cluster file; None for that of FDB_CLUSTER_FILE, else ./fdb.cluster, else the system's.
        api_version: the API version to select; None for the one already selected, else 730.
        connect_timeout_seconds: how long the cluster may take to answer before it counts as unreachable.
        timeout_ms: how long a transaction may take with all its retries before it fails with 1031; 0 for ever.
        retry_limit: how often `on_error` runs it again before it raises the error; -1 for no limit.
        max_retry_delay_ms: the longest pause between two attempts; pauses are random and grow up to it.

    Raises:
        DatabaseError: the binding lacks its C library or does not fit it, another API version is selected already,
            there is no (valid) cluster file, or the cluster does not answer in time; the message says what to do.
    """
    limits = {
        "timeout": _whole("timeout_ms", timeout_ms, 0),
        "retry_limit": _whole("retry_limit", retry_limit, -1),
        "max_retry_delay": _whole("max_retry_delay_ms", max_retry_delay_ms, 0),
    }
    connect_seconds = _seconds("connect_timeout_seconds", connect_timeout_seconds)
    wanted = None if api_version is None else _whole("api_version", api_version, 1)
    fdb = load_binding(wanted)
    make_awaitable()
    file = find_cluster_file(path)
    coordinators = read_coordinators(file)
    try:
        db = _connect(fdb, file)
        for name, limit in limits.items():
            getattr(db.options, f"set_transaction_{name}")(limit)
        _probe(db, connect_seconds)
    except fdb.FDBError as error:
        if error.code == TRANSACTION_TIMED_OUT:
            raise DatabaseError(
                f"the cluster of {file} did not answer within {connect_seconds:g} s: check that its processes run and "
                f"that its coordinators can be reached from here ({coordinators}), that the file is the one the "
                "servers use, and that the client library is of the servers' release; "
                f"`fdbcli -C {file} --exec status` says more"
            ) from error
        raise DatabaseError(f"the cluster of {file} cannot be opened: {error}") from error
    return db


def find_cluster_file(path: str | os.PathLike[str] | None = None) -> Path:
    """The cluster file to use, in the order in which FoundationDB's own client looks for one.

    Raises:
        DatabaseError: there is none.
    """
    if path is not None:
        named, source = Path(path), "'fdb:PATH' names it"
    elif os.environ.get("FDB_CLUSTER_FILE"):
        named, source = Path(os.environ["FDB_CLUSTER_FILE"]), "FDB_CLUSTER_FILE names it"
    else:
        for usual in (Path("fdb.cluster"), Path(DEFAULT_CLUSTER_FILE)):
            if usual.is_file():
                return usual.resolve()
        raise DatabaseError(
            f"there is no cluster file: copy that of your servers to {DEFAULT_CLUSTER_FILE}, or name it with "
            "'fdb:/path/to/fdb.cluster' or FDB_CLUSTER_FILE"
        )
    if not named.is_file():
        raise DatabaseError(
            f"there is no cluster file {named} ({source}): copy that of your servers there, or name another"
        )
    return named.resolve()


def read_coordinators(file: Path) -> str:
    """The coordinators' addresses in a cluster file, as it has them.

    Raises:
        DatabaseError: it cannot be read, or is no cluster file.
    """
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DatabaseError(f"the cluster file {file} cannot be read: {error}") from error
    lines = "\n".join(line.partition("#")[0] for line in text.splitlines())
    found = CONNECTION.search(lines)
    if found is None:
        raise DatabaseError(
            f"{file} is not a cluster file: it holds no line such as 'description:id@10.0.0.1:4500,10.0.0.2:4500'"
        )
    return found["coordinators"]


def _connect(fdb: Any, file: Path) -> Any:
    """A connection of its own: `fdb.open` shares one a file, and our limits would become the application's."""
    try:
        fdb.impl.init()
    except fdb.FDBError as error:
        if error.code != CLIENT_INVALID_OPERATION:
            raise
    return fdb.impl.create_database(str(file))


def _probe(db: Any, seconds: float) -> None:
    """Ask the cluster for a read version, which needs most of it; raises 1031 where it does not answer in time."""
    tr = db.create_transaction()
    tr.options.set_timeout(max(1, int(seconds * 1000)))
    tr.options.set_retry_limit(0)
    tr.options.set_read_lock_aware()  # a locked database can be reached, though others may not use it now
    wait(tr.get_read_version())


def _whole(name: str, value: int | str, least: int) -> int:
    """A whole number, which the query of a URL gives as text."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise DatabaseError(f"{name} is {value!r}, and must be a whole number") from None
    if number < least:
        raise DatabaseError(f"{name} is {number}, and must be {least} or more")
    return number


def _seconds(name: str, value: float | str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DatabaseError(f"{name} is {value!r}, and must be a number of seconds") from None
    if not 0 < number <= 3600:
        raise DatabaseError(f"{name} is {number:g}, and must be more than 0 and at most 3600 seconds")
    return number
