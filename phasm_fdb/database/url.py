"""`open(url)`: one name for every kind of database."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from phasm_fdb.errors import DatabaseError

KINDS = """memory:                               in this process, gone when it ends
embedded:PATH                         one SQLite file, for several threads and processes of this machine
embedded:PATH?synchronous=normal      the same, where a power cut (not a crash) may lose the last commits
fdb:                                  the cluster of FDB_CLUSTER_FILE or the default cluster file
fdb:/path/to/fdb.cluster              the cluster of that file"""


def open(url: str, **options: Any) -> Any:
    """Open a database by its URL, which is one of

        memory:                               in this process, gone when it ends
        embedded:PATH                         one SQLite file, for several threads and processes of this machine
        embedded:PATH?synchronous=normal      the same, where a power cut (not a crash) may lose the last commits
        fdb:                                  the cluster of FDB_CLUSTER_FILE or the default cluster file
        fdb:/path/to/fdb.cluster              the cluster of that file

    Args:
        options: passed to the engine's own opening function, such as `clock`.

    Raises:
        DatabaseError: the URL is none of these, or the database cannot be opened; the message says what to do.
    """
    kind, colon, rest = url.partition(":") if isinstance(url, str) else ("", "", "")
    path, _, query = rest.partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True)) | options
    if not colon or kind not in _OPENERS:
        raise DatabaseError(f"{url!r} is not the URL of a database; it is one of\n{KINDS}")
    try:
        return _OPENERS[kind](path, settings)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            raise DatabaseError(f"{url!r}: {error}; the URLs are\n{KINDS}") from error
        raise


def _memory(path: str, settings: dict[str, Any]) -> Any:
    from phasm_fdb.embedded import open_memory

    if path:
        raise DatabaseError(f"'memory:' takes no path, and got {path!r}; a file is 'embedded:{path}'")
    return open_memory(**settings)


def _embedded(path: str, settings: dict[str, Any]) -> Any:
    from phasm_fdb.embedded import open_sqlite

    if not path:
        raise DatabaseError("'embedded:' needs the path of its file, as in 'embedded:./app.phasm'")
    return open_sqlite(path, **settings)


def _cluster(path: str, settings: dict[str, Any]) -> Any:
    from phasm_fdb.database.cluster import open_cluster

    return open_cluster(path or None, **settings)


_OPENERS = {"memory": _memory, "embedded": _embedded, "fdb": _cluster}
