"""The retry loop: what it retries, what it raises, and what it tells about the attempts."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from phasm_fdb import FDBError, transactional
from phasm_fdb.database.transactional import Attempts, error_code, is_transaction, run
from phasm_fdb.errors import DatabaseError


@transactional
def read(tr: Any, key: bytes) -> bytes | None:
    return tr.get(key).value  # type: ignore[no-any-return]


@transactional
def increment(tr: Any, key: bytes) -> int:
    number = int(tr.get(key).value or b"0") + 1
    tr.set(key, b"%d" % number)
    return number


def test_a_function_runs_in_its_own_transaction_or_in_the_callers(db: Any, subspace: Any) -> None:
    key = subspace.pack(("n",))
    assert increment(db, key) == 1

    @transactional
    def twice(tr: Any) -> int:
        increment(tr, key)
        return increment(tr, key)

    assert twice(db) == 3
    assert read(db, key) == b"3"


def test_a_conflict_runs_the_body_again(memory: Any) -> None:
    seen = []

    def body(tr: Any) -> int:
        number = int(tr.get(b"n").value or b"0")
        seen.append(number)
        if len(seen) == 1:
            memory[b"n"] = b"41"
        tr.set(b"n", b"%d" % (number + 1))
        return number + 1

    attempts = Attempts()
    assert run(memory, body, attempts) == 42
    assert seen == [0, 41]
    assert attempts.number == 2
    assert not attempts.maybe_committed


@pytest.mark.parametrize("code", [1021, 1039])
def test_an_unknown_commit_is_retried_and_told(memory: Any, code: int) -> None:
    attempts = Attempts()
    told = []

    def body(tr: Any) -> None:
        told.append(attempts.maybe_committed)
        if len(told) == 1:
            raise FDBError(code)

    run(memory, body, attempts)
    assert told == [False, True]


def test_what_cannot_be_retried_is_raised_with_the_count(memory: Any) -> None:
    calls = []

    def body(tr: Any) -> None:
        calls.append(1)
        tr.set(b"a", b"1")
        raise FDBError(1020) if len(calls) < 3 else FDBError(2101)

    with pytest.raises(FDBError) as caught:
        run(memory, body)
    assert caught.value.code == 2101
    assert caught.value.__notes__ == ["raised by attempt 3 of the transaction, after 1020 (2 times)"]
    assert memory[b"a"] == None  # noqa: E711 - the binding's values compare with None


@pytest.mark.parametrize("ending", [FDBError(1031), FDBError(1025), KeyboardInterrupt()])
def test_a_commit_that_is_given_up_in_flight_may_have_happened(memory: Any, ending: BaseException) -> None:
    class Abandoned:
        """A transaction whose commit nobody waits for to the end."""

        def commit(self) -> Any:
            raise ending

        def __getattr__(self, name: str) -> Any:
            return getattr(memory.create_transaction(), name)

    class Database:
        create_transaction = Abandoned

    attempts = Attempts()
    with pytest.raises(type(ending)) as caught:
        run(Database(), lambda tr: tr.set(b"a", b"1"), attempts)
    assert attempts.maybe_committed
    assert caught.value.__notes__ == ["raised by attempt 1 of the transaction; it may have committed"]


@pytest.mark.parametrize("ending", [FDBError(1031), FDBError(1025), ValueError()])
def test_what_ends_a_body_before_its_commit_has_committed_nothing(memory: Any, ending: Exception) -> None:
    attempts = Attempts()

    def body(tr: Any) -> None:
        raise ending

    with pytest.raises(type(ending)) as caught:
        run(memory, body, attempts)
    assert not attempts.maybe_committed
    assert not hasattr(caught.value, "__notes__")


def test_attempts_are_reported_of_calls_that_were_given_a_database(memory: Any) -> None:
    reports: list[Attempts] = []
    failures = [FDBError(1020), FDBError(1020), FDBError(1021)]

    @transactional(report=reports.append)
    def body(tr: Any) -> None:
        if failures:
            raise failures.pop(0)

    body(memory)
    assert [(each.number, each.codes, each.maybe_committed) for each in reports] == [(4, [1020, 1020, 1021], True)]
    body(memory.create_transaction())
    assert len(reports) == 1


async def test_attempts_of_a_coroutine_are_reported_also_when_it_fails(memory: Any) -> None:
    reports: list[Attempts] = []

    failures = [FDBError(1021), FDBError(2101)]

    @transactional(report=reports.append)
    async def body(tr: Any) -> None:
        raise failures.pop(0)

    with pytest.raises(FDBError) as caught:
        await body(memory)
    assert [(each.number, each.codes) for each in reports] == [(2, [1021, 2101])]
    assert caught.value.__notes__ == ["raised by attempt 2 of the transaction, after 1021; it may have committed"]


def test_the_retry_limit_of_the_transaction_holds(memory: Any) -> None:
    calls = []

    def body(tr: Any) -> None:
        tr.options.set_retry_limit(2)
        calls.append(1)
        raise FDBError(1020)

    with pytest.raises(FDBError) as caught:
        run(memory, body)
    assert (caught.value.code, len(calls)) == (1020, 3)


def test_an_error_of_the_body_drops_its_writes(memory: Any) -> None:
    @transactional
    def broken(tr: Any) -> None:
        tr.set(b"a", b"1")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        broken(memory)
    assert read(memory, b"a") is None


def test_the_transaction_is_found_by_name_or_position(memory: Any) -> None:
    @transactional(parameter="t")
    def named(key: bytes, t: Any) -> None:
        t.set(key, b"1")

    class Store:
        @transactional
        def put(self, tr: Any, key: bytes) -> None:
            tr.set(key, b"2")

    named(b"a", memory)
    named(b"b", t=memory)
    Store().put(memory, b"c")
    assert [read(memory, key) for key in (b"a", b"b", b"c")] == [b"1", b"1", b"2"]
    with pytest.raises(TypeError, match="missing its transaction"):
        named(b"a")


def test_a_function_that_cannot_be_transactional_is_refused() -> None:
    with pytest.raises(TypeError, match="generator"):

        @transactional
        def lazy(tr: Any) -> Any:
            yield tr

    with pytest.raises(TypeError, match="no parameter"):

        @transactional
        def nothing() -> None: ...

    with pytest.raises(TypeError, match="no parameter t"):

        @transactional(parameter="t")
        def other(tr: Any) -> None: ...


@pytest.mark.parametrize("wrong", [None, "memory:", 5])
def test_what_is_no_database_is_named(wrong: Any) -> None:
    with pytest.raises(DatabaseError, match="neither a database nor a transaction"):
        read(wrong, b"a")


def test_databases_and_transactions_are_told_apart(db: Any) -> None:
    assert not is_transaction(db)
    assert is_transaction(db.create_transaction())


async def test_a_coroutine_function_can_be_transactional(memory: Any) -> None:
    runs = []

    @transactional
    async def body(tr: Any) -> int:
        runs.append(int((await tr.get(b"n")).value or b"0"))
        if len(runs) == 1:
            memory[b"n"] = b"7"
        tr.set(b"n", b"%d" % (runs[-1] + 1))
        return runs[-1]

    assert await body(memory) == 7
    assert runs == [0, 7]
    with pytest.raises(FDBError):

        @transactional
        async def fails(tr: Any) -> None:
            raise FDBError(2101)

        await fails(memory)


def test_errors_know_their_code_and_survive_pickling() -> None:
    error = FDBError(1021, "while testing")
    assert error_code(error) == 1021
    assert error_code(ValueError()) is None
    assert (error.retryable, error.maybe_committed) == (True, True)
    assert str(error) == "Transaction may or may not have committed (1021): while testing"
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, again.detail) == (1021, "while testing")
