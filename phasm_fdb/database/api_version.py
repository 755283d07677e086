"""Loading the official binding, and choosing the API version that it, its C library and we can all speak.

A process selects an API version once. An application that has already done so keeps its choice; otherwise the layer
asks for 730, or for the newest older version that both sides know.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
from collections.abc import Iterator
from typing import Any

from phasm_fdb.errors import DatabaseError

#: The version that the recorded answers of the conformance suite come from.
PREFERRED = 730
#: What the oldest binding that the package is tested with (7.1) selects.
OLDEST = 710

CLIENT_PACKAGES = "https://github.com/apple/foundationdb/releases"


def load_binding(wanted: int | None = None) -> Any:
    """The module `fdb` with an API version selected.

    Args:
        wanted: the API version to select; None for the one that is selected already, else the best one up to 730.

    Raises:
        DatabaseError: the binding's C library is missing or does not fit the binding, `wanted` is not to be had, or
            another version is selected already.
    """
    import fdb

    if fdb.is_api_version_selected():
        selected = fdb.get_api_version()
        if wanted is not None and wanted != selected:
            raise DatabaseError(
                f"this process has selected FoundationDB API version {selected} already and cannot change it: leave "
                f"out api_version={wanted}, or call fdb.api_version({wanted}) before anything else does"
            )
        return fdb
    library = _load_library()
    _select(fdb, library, wanted)
    return fdb


def _load_library() -> Any:
    """The C library, as the binding loads it."""
    try:
        return importlib.import_module("fdb.impl")._capi
    except Exception as error:  # the binding raises a bare Exception where it finds none
        raise DatabaseError(
            f"the FoundationDB binding {_release()} cannot load its C library, libfdb_c: {error} Install the "
            f"foundationdb-clients package of your cluster's release ({CLIENT_PACKAGES}), or put libfdb_c.so into a "
            "folder of LD_LIBRARY_PATH. Without a cluster, open 'memory:' or 'embedded:PATH'"
        ) from None


def _select(fdb: Any, library: Any, wanted: int | None) -> None:
    # Binding 7.1 keeps its newest version in a local variable.
    binding_newest, library_newest = getattr(fdb, "LATEST_API_VERSION", 710), library.fdb_get_max_api_version()
    newest = min(binding_newest, library_newest)
    version = min(PREFERRED, newest) if wanted is None else wanted
    if version < OLDEST:
        raise DatabaseError(
            f"API version {version} is older than {OLDEST}, the oldest that this package works with: install binding "
            f"and client library of FoundationDB 7.1 or newer (here: binding {binding_newest}, library "
            f"{library_newest})"
        )
    if version > newest:
        raise DatabaseError(
            f"API version {version} is not to be had here: the binding {_release()} knows versions up to "
            f"{binding_newest}, the C library up to {library_newest}; upgrade the older one, or leave out api_version"
        )
    try:
        with _made_for(fdb, library, newest):
            fdb.api_version(version)
    except (RuntimeError, AttributeError) as error:  # AttributeError: a function that the library does not have
        raise DatabaseError(
            f"the FoundationDB binding {_release()} does not work with the installed C library (API versions up to "
            f"{library_newest}): {error}; install those of the same release, as in pip install "
            f"'foundationdb=={library_newest // 100}.{library_newest // 10 % 10}.*'"
        ) from error


def _release() -> str:
    """The release of the binding, as it was installed."""
    try:
        return importlib.metadata.version("foundationdb")
    except importlib.metadata.PackageNotFoundError:
        return "(of unknown release)"


@contextlib.contextmanager
def _made_for(fdb: Any, library: Any, newest: int) -> Iterator[None]:
    """Let a binding that is newer than its C library select a version that both know.

    `fdb.api_version` tells the library which header its caller was made for, and a library refuses a newer one than
    its own; then it declares every function, also those that only newer libraries have (binding 8.0 declares one that
    7.3 lacks). Selecting the library's own header is what a program compiled against it does.
    """
    latest = getattr(fdb, "LATEST_API_VERSION", newest)
    if latest <= newest:
        yield
        return
    fdb.LATEST_API_VERSION = newest
    loaded_as, library.__class__ = library.__class__, _OlderLibrary
    try:
        yield
    finally:
        library.__class__ = loaded_as
        fdb.LATEST_API_VERSION = latest


class _OlderLibrary(ctypes.CDLL):
    """A C library in which the functions that it lacks can be declared, though not called."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if not name.startswith("fdb_"):
                raise
        missing = _Missing(name)
        setattr(self, name, missing)
        return missing


class _Missing:
    """A function that the binding declares and its C library does not have."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any) -> Any:
        raise DatabaseError(
            f"the installed FoundationDB C library has no {self._name}: it is older than the binding; upgrade it"
        )
