"""Opening a real cluster: what `open` gives, its limits, and the errors of one that does not answer."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import DatabaseError, FDBError, Layer, transactional
from phasm_fdb.database.transactional import run
from tests.forking import Child
from tests.machines import Charged, Deposit, Pay, Wallet

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]


def test_it_is_the_bindings_own_database(db: Any, subspace: Any) -> None:
    import fdb

    assert isinstance(db, fdb.Database)
    db[subspace.pack(("a",))] = b"1"
    assert db[subspace.pack(("a",))] == b"1"


def test_what_the_application_has_opened_itself_goes_into_every_method(cluster_file: str, subspace: Any) -> None:
    import fdb

    own: Any = fdb.open(cluster_file)
    wallets = Layer(Wallet(), subspace)
    wallets.apply(own, Deposit("ann", 500), request_id="d")

    @fdb.transactional
    def by_the_bindings_own_loop(tr: Any) -> int:
        assert isinstance(tr, fdb.Transaction)
        tr[subspace.pack(("mine",))] = b"1"
        id: int = wallets.apply(tr, Pay("ann", 200)).reply
        assert [tracked.id for tracked in wallets.pending(tr)] == [id]
        return id

    id = by_the_bindings_own_loop(own)
    assert [tracked.id for tracked in wallets.pending(own)] == [id]
    assert [tracked.id for tracked in wallets.restore(own).tracked] == [id]
    wallets.complete(own, id, Charged("x"))
    assert wallets.view(own).balance["ann"] == 300
    wallets.check(own)
    wallets.sweep(own)


def test_the_file_may_come_from_the_environment(cluster_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FDB_CLUSTER_FILE", cluster_file)
    assert run(phasm_fdb.open("fdb:"), lambda tr: tr.get_read_version().wait()) > 0


def test_a_forked_child_is_refused_at_once(db: Any, subspace: Any, cluster_file: str) -> None:
    wallets = Layer(Wallet(), subspace)
    wallets.apply(db, Deposit("ann", 500))
    open_transaction = db.create_transaction()

    def refused(call: Any) -> str:
        with pytest.raises(DatabaseError) as caught:
            call()
        return str(caught.value)

    def work(child: Child) -> list[str]:
        calls = [
            lambda: wallets.apply(db, Deposit("ann", 1)),
            lambda: open_transaction[b"key"].present(),
            lambda: phasm_fdb.open(f"fdb:{cluster_file}"),
        ]
        return [refused(call) for call in calls]

    messages = Child(work).end()
    assert len(messages) == 3
    assert all("network thread has stayed there" in message for message in messages)
    assert wallets.view(db).balance["ann"] == 500


@pytest.mark.parametrize("code", [1020, 1021])
def test_the_retry_limit_is_a_default_of_the_database(cluster_file: str, code: int) -> None:
    limited = phasm_fdb.open(f"fdb:{cluster_file}?retry_limit=2&max_retry_delay_ms=10")
    calls = []

    def body(tr: Any) -> None:
        calls.append(tr)
        raise FDBError(code)

    with pytest.raises(FDBError) as caught:
        run(limited, body)
    assert (caught.value.code, len(calls)) == (code, 3)
    assert f"raised by attempt 3 of the transaction, after {code} (2 times)" in caught.value.__notes__[0]


def test_the_timeout_is_a_default_of_the_database_and_of_no_other(cluster_file: str, subspace: Any) -> None:
    import fdb

    brief = phasm_fdb.open(f"fdb:{cluster_file}", timeout_ms=100)
    others = [phasm_fdb.open(f"fdb:{cluster_file}"), fdb.open(cluster_file)]

    def slow(tr: Any) -> None:
        tr[subspace.pack(("a",))].wait()
        time.sleep(0.3)
        tr[subspace.pack(("b",))].wait()

    for other in others:
        run(other, slow)
    with pytest.raises(FDBError) as caught:
        run(brief, slow)
    assert caught.value.code == 1031


def test_an_error_is_this_packages_and_the_bindings(db: Any, subspace: Any) -> None:
    import fdb

    @transactional
    def too_large(tr: Any) -> None:
        tr.options.set_size_limit(100)
        tr.set(subspace.pack(("a",)), bytes(200))

    for kind in (phasm_fdb.FDBError, fdb.FDBError, DatabaseError):
        with pytest.raises(kind) as caught:
            too_large(db)
        assert caught.value.code == 2101  # type: ignore[attr-defined]
    assert str(caught.value).startswith("Transaction exceeds byte limit (2101)")
    assert caught.value.retryable is False  # type: ignore[attr-defined]


@pytest.mark.usefixtures("cluster_file")  # there is a C library then
def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    file = tmp_path / "fdb.cluster"
    file.write_text("nobody:here@127.0.0.1:1\n")
    began = time.monotonic()
    with pytest.raises(DatabaseError, match=r"did not answer within 0\.5 s: check .*127\.0\.0\.1:1"):
        phasm_fdb.open(f"fdb:{file}", connect_timeout_seconds=0.5)
    assert 0.4 < time.monotonic() - began < 5


VERSIONS = """
import phasm_fdb
from phasm_fdb.database.api_version import load_binding
load_binding(720)
file = {file!r}
print(phasm_fdb.open("fdb:" + file)[b"phasm-test"] == None)
print(phasm_fdb.open("fdb:" + file + "?api_version=720") is not None)
try:
    phasm_fdb.open("fdb:" + file, api_version=730)
except phasm_fdb.DatabaseError as error:
    print(error)
"""


def test_the_api_version_that_an_application_selected_stays(cluster_file: str) -> None:
    import fdb

    if not hasattr(fdb, "LATEST_API_VERSION"):
        pytest.skip("this binding knows no other version than 710")
    code = VERSIONS.format(file=cluster_file)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    opened, again, refused = done.stdout.splitlines()
    assert (opened, again) == ("True", "True")
    assert refused.startswith("this process has selected FoundationDB API version 720 already")
