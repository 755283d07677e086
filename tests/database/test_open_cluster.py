"""Opening a cluster where something is missing: each error says what to do. Nothing here needs a C library."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb.database import api_version
from phasm_fdb.database.cluster import find_cluster_file, open_cluster, read_coordinators
from phasm_fdb.errors import DatabaseError

ROOT = Path(__file__).resolve().parents[2]


class Binding:
    """The part of the module `fdb` that the choice of a version sees.

    Args:
        newest: the newest API version that this binding knows.
        library: the newest that its C library knows.
        selected: what the application has selected before.
    """

    def __init__(self, newest: int, library: int, selected: int | None = None) -> None:
        self.LATEST_API_VERSION = newest
        self.library = library
        self.selected = selected
        self.header: int | None = None
        self.loaded: Any = None
        self.newer_function = ""

    def is_api_version_selected(self) -> bool:
        return self.selected is not None

    def get_api_version(self) -> int | None:
        return self.selected

    def api_version(self, version: int) -> None:
        if self.library < self.LATEST_API_VERSION:
            raise RuntimeError("This version of the binding is not supported by the installed C library.")
        self.header = self.LATEST_API_VERSION
        self.selected = version
        if self.newer_function:
            getattr(self.loaded, self.newer_function).argtypes = []


class Library(ctypes.CDLL):
    """A C library of that API version, with the functions of the C library proper in place of FoundationDB's."""

    def __init__(self, newest: int) -> None:
        super().__init__(None)
        self.fdb_get_max_api_version = lambda: newest


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`load(binding, wanted)` with that binding in place of the real one."""

    def load(binding: Binding, wanted: int | None = None) -> Any:
        monkeypatch.setitem(sys.modules, "fdb", binding)
        library = binding.loaded = Library(binding.library)
        monkeypatch.setattr(api_version, "_load_library", lambda: library)
        return api_version.load_binding(wanted)

    return load


@pytest.mark.parametrize(
    ("newest", "library", "chosen"),
    [(800, 800, 730), (730, 730, 730), (800, 730, 730), (730, 800, 730), (710, 730, 710), (730, 710, 710)],
)
def test_the_version_is_730_or_the_best_that_both_sides_know(load: Any, newest: int, library: int, chosen: int) -> None:
    binding = Binding(newest, library)
    assert load(binding) is binding
    assert binding.selected == chosen
    assert binding.header == min(newest, library)
    assert newest == binding.LATEST_API_VERSION


def test_a_selected_version_is_kept_and_another_one_refused(load: Any) -> None:
    binding = Binding(800, 800, selected=720)
    load(binding)
    load(binding, 720)
    assert binding.selected == 720
    with pytest.raises(DatabaseError, match=r"selected FoundationDB API version 720 already.*api_version=730"):
        load(binding, 730)


@pytest.mark.parametrize(
    ("newest", "library", "wanted", "message"),
    [
        (
            730,
            730,
            740,
            "740 is not to be had here: the binding .* knows versions up to 730, the C library up to 730",
        ),
        (800, 730, 740, "the C library up to 730; upgrade the older one"),
        (730, 730, 630, "630 is older than 710"),
        (800, 630, None, "630 is older than 710"),
    ],
)
def test_a_version_that_is_not_to_be_had(load: Any, newest: int, library: int, wanted: int, message: str) -> None:
    with pytest.raises(DatabaseError, match=message):
        load(Binding(newest, library), wanted)


def test_a_binding_may_be_newer_than_its_library(load: Any) -> None:
    binding = Binding(800, 730)
    binding.newer_function = "fdb_made_for_800"
    load(binding)
    assert type(binding.loaded) is Library
    with pytest.raises(DatabaseError, match="C library has no fdb_made_for_800: it is older than the binding"):
        binding.loaded.fdb_made_for_800(1, 2)
    with pytest.raises(AttributeError):  # only what the binding declared is there
        _ = binding.loaded.fdb_never_declared


def test_a_library_that_lacks_what_the_binding_needs(load: Any) -> None:
    binding = Binding(730, 800)
    binding.newer_function = "fdb_removed_in_800"
    with pytest.raises(DatabaseError, match=r"undefined symbol.*pip install 'foundationdb==8\.0\.\*'"):
        load(binding)


def test_without_the_c_library_the_error_says_what_to_install() -> None:
    code = """
import ctypes, ctypes.util, phasm_fdb, phasm_fdb.database.cluster
def missing(name): raise OSError(name)
ctypes.CDLL, ctypes.util.find_library = missing, lambda name: None
try:
    phasm_fdb.open("fdb:")
except phasm_fdb.DatabaseError as error:
    print(error)
phasm_fdb.open("memory:")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "cannot load its C library, libfdb_c" in done.stdout
    assert "Install the foundationdb-clients package" in done.stdout
    assert "'memory:' or 'embedded:PATH'" in done.stdout


# ------------------------------------------------------------------------------------- the cluster file


@pytest.fixture
def no_cluster_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder on a machine that has no cluster file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FDB_CLUSTER_FILE", raising=False)
    monkeypatch.setattr("phasm_fdb.database.cluster.DEFAULT_CLUSTER_FILE", str(tmp_path / "system" / "fdb.cluster"))
    return tmp_path


def test_no_cluster_file_at_all(no_cluster_file: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no cluster file: copy that of your servers to"):
        find_cluster_file()


def test_the_cluster_file_is_found_where_foundationdb_looks(
    no_cluster_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [no_cluster_file / "system" / "fdb.cluster", no_cluster_file / "fdb.cluster", no_cluster_file / "named"]
    for number, place in enumerate(places):
        place.parent.mkdir(exist_ok=True)
        place.write_text("a:b@127.0.0.1:4500\n")
        if number == 2:
            monkeypatch.setenv("FDB_CLUSTER_FILE", str(place))
        assert find_cluster_file() == place
    assert find_cluster_file(places[0]) == places[0]


def test_a_named_cluster_file_that_is_not_there(no_cluster_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseError, match=r"no cluster file nowhere/fdb.cluster \('fdb:PATH' names it"):
        find_cluster_file("nowhere/fdb.cluster")
    monkeypatch.setenv("FDB_CLUSTER_FILE", "gone.cluster")
    with pytest.raises(DatabaseError, match=r"no cluster file gone.cluster \(FDB_CLUSTER_FILE names it"):
        find_cluster_file()


@pytest.mark.parametrize("text", ["", "# only a comment\n", "a@127.0.0.1:1\n", "SQLite format 3\0", "name:id@\n"])
def test_what_is_no_cluster_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "fdb.cluster"
    file.write_text(text)
    with pytest.raises(DatabaseError, match="is not a cluster file"):
        read_coordinators(file)


def test_bytes_that_are_no_text_and_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "fdb.cluster"
    file.write_bytes(b"\xff\xfe\0")
    with pytest.raises(DatabaseError, match="cannot be read"):
        read_coordinators(file)
    with pytest.raises(DatabaseError, match="cannot be read"):
        read_coordinators(tmp_path)


def test_the_coordinators_of_a_cluster_file(tmp_path: Path) -> None:
    file = tmp_path / "fdb.cluster"
    file.write_text("# DO NOT EDIT!\n\nmine:4kd92@10.0.0.1:4500,10.0.0.2:4500:tls # three soon\n")
    assert read_coordinators(file) == "10.0.0.1:4500,10.0.0.2:4500:tls"


# ------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout_ms": "soon"}, "timeout_ms is 'soon', and must be a whole number"),
        ({"timeout_ms": -1}, "timeout_ms is -1, and must be 0 or more"),
        ({"retry_limit": -2}, "retry_limit is -2, and must be -1 or more"),
        ({"max_retry_delay_ms": None}, "max_retry_delay_ms is None"),
        ({"connect_timeout_seconds": 0}, "connect_timeout_seconds is 0, and must be more than 0"),
        ({"connect_timeout_seconds": "x"}, "connect_timeout_seconds is 'x', and must be a number of seconds"),
        ({"api_version": "latest"}, "api_version is 'latest'"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_loaded(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DatabaseError, match=message):
        open_cluster("fdb.cluster", **settings)


def test_settings_can_stand_in_the_url_and_unknown_ones_are_named() -> None:
    with pytest.raises(DatabaseError, match="timeout_ms is '1s'"):
        phasm_fdb.open("fdb:?timeout_ms=1s")
    with pytest.raises(DatabaseError, match="timeuot_ms"):
        phasm_fdb.open("fdb:?timeuot_ms=1")
