"""An app for other processes: jobs whose outside world appends every call to a file.

Beside what the worker commits it writes, in the same transactions, rows that say under which token: an audit trail in
the order of the commits.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterable
from typing import Any

import msgpack

from phasm_fdb import Layer
from phasm_fdb.keyspace import stamped_key
from phasm_fdb.lease import Lease
from phasm_fdb.runtime import App, Attempt, Handlers, Retry, membership, settler
from phasm_fdb.runtime.ending import Settled, Verdict
from phasm_fdb.runtime.settling import settle
from phasm_fdb.runtime.worker_transaction import WorkerTransaction
from tests.runtime.machines import CheckJob, Done, Job, Jobs

layer = Layer(Jobs(), ("jobs",), lanes=8)
handlers = Handlers()

AUDIT = b"audit:"
CLAIMED, COMPLETED = "claimed", "completed"


def audit(tr: Any, what: str, leases: Iterable[Lease]) -> None:
    """Add to the audit trail what was done under these leases."""
    for number, lease in enumerate(leases):
        row = AUDIT + b"\xff" * 10 + number.to_bytes(2, "big")
        tr.set_versionstamped_key(stamped_key(row), msgpack.packb([what, lease.lane, lease.token]))


def audited_claim(at: WorkerTransaction, *args: Any) -> list[Lease]:
    leases = claim(at, *args)
    audit(at.tr, CLAIMED, leases)
    return leases


def audited_settle(at: WorkerTransaction, endings: Any) -> list[Settled]:
    settled = settle(at, endings)
    both = zip(endings, settled, strict=True)
    audit(at.tr, COMPLETED, [ending.work.lease for ending, one in both if one.verdict is Verdict.COMPLETED])
    return settled


claim = membership.claim
if "PHASM_TEST_CALLS" in os.environ:  # in a worker's process, and not in that of the tests, which import this too
    membership.claim = audited_claim  # type: ignore[assignment]
    settler.settle = audited_settle  # type: ignore[attr-defined]


def record(*fields: object) -> None:
    """Append a line to the file that PHASM_TEST_CALLS names; short appends do not mix."""
    path = os.environ["PHASM_TEST_CALLS"]
    line = " ".join(map(str, (time.monotonic_ns(), *fields))) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@handlers.on(Job, CheckJob, retry=Retry(first_delay=0.05, max_delay=0.5))
async def job(action: Any, attempt: Attempt) -> Done:
    record("begin", os.getpid(), action.id, attempt.number, attempt.idempotency_key)
    # Some take so long that their lane may be lost meanwhile, and their result comes under a token that is stale.
    await asyncio.sleep(random.random() * (4.0 if action.id % 20 == 1 else 0.02))
    if random.random() < 0.02:
        record("fail", os.getpid(), action.id, attempt.number, attempt.idempotency_key)
        raise OSError("the outside world failed")
    record("end", os.getpid(), action.id, attempt.number, attempt.idempotency_key)
    return Done(str(action.id))


app = App(layer, handlers, {"lease_seconds": 2.0, "poll_seconds": 1.0, "concurrency": 8})
