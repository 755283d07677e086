"""Opening a database by its URL: each kind, and one clear error for everything that is not one."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb.errors import DatabaseError


def test_memory_is_a_new_database_each_time() -> None:
    first, second = phasm_fdb.open("memory:"), phasm_fdb.open("memory:")
    first[b"a"] = b"1"
    assert second[b"a"] == None  # noqa: E711 - the binding's values compare with None


def test_embedded_is_a_file(tmp_path: Path) -> None:
    url = f"embedded:{tmp_path / 'app.phasm'}"
    db = phasm_fdb.open(url)
    db[b"a"] = b"1"
    db.close()
    assert phasm_fdb.open(f"{url}?synchronous=normal")[b"a"] == b"1"


@pytest.mark.parametrize("url", ["", "memory", "postgres://x", "/tmp/app", None, 5, "Memory:"])
def test_what_is_no_url_lists_what_is(url: Any) -> None:
    with pytest.raises(
        DatabaseError, match=r"is not the URL of a database[\s\S]*memory:[\s\S]*embedded:PATH[\s\S]*fdb:"
    ):
        phasm_fdb.open(url)


def test_a_path_where_none_belongs_and_none_where_one_does() -> None:
    with pytest.raises(DatabaseError, match="a file is 'embedded:app'"):
        phasm_fdb.open("memory:app")
    with pytest.raises(DatabaseError, match="needs the path"):
        phasm_fdb.open("embedded:")


@pytest.mark.parametrize("query", ["colour=red", "synchronous=sometimes"])
def test_a_setting_that_is_not_known_is_named(tmp_path: Path, query: str) -> None:
    path = tmp_path / "app.phasm"
    with pytest.raises(DatabaseError, match=query.split("=")[0]):
        phasm_fdb.open(f"embedded:{path}?{query}")
    assert not path.exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="missing"):
        phasm_fdb.open(f"embedded:{tmp_path / 'missing' / 'app.phasm'}")


def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("just some text, longer than the header of a database file, so that it is read as one\n" * 3)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("create table mine (a)")
    connection.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(DatabaseError, match=path.name):
            phasm_fdb.open(f"embedded:{path}")
        assert path.read_bytes() == before
