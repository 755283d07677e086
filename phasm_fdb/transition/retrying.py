"""An input in a transaction of its own: retried until it is decided, and served from the cache where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from phasm_fdb.cache import Cache, CachedReader
from phasm_fdb.database.transactional import Attempts, error_code, run
from phasm_fdb.database.waiting import wait
from phasm_fdb.errors import TransitionError
from phasm_fdb.machine import Input
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.receipts import Applied, Receipt
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.layer_transaction import LayerTransaction
from phasm_fdb.transition.submission import deliver

#: Stands for the outcome of an attempt that ends in a TransitionError.
_REJECTED = Applied()


@dataclass(frozen=True, slots=True)
class Request:
    """One input as its caller asks for it.

    Attributes:
        receipt: where the outcome is recorded, the same for every attempt; None to record nothing.
        check_receipt: the caller may have applied this input before, so the first attempt looks for its receipt.
        delivers: the untracked actions go to the handlers of a worker, and not to the caller.
    """

    input: Input
    receipt: Receipt | None
    check_receipt: bool
    delivers: bool


class OwnTransaction:
    """One input's way to its commit.

    Args:
        cache: the cached values of the layer in this database, if it has any.
    """

    def __init__(self, context: LayerContext, request: Request, cache: Cache | None) -> None:
        self._context = context
        self._request = request
        self._cache = cache
        self._attempts = Attempts()
        self._versionstamp: Any = None
        self._reader: CachedReader | None = None
        self._read_version: int | None = None
        self._rejection: TransitionError | None = None

    def run(self, db: Any) -> Applied:
        """Apply the input; raises what `LayerTransaction.apply` raises, and the database's final error."""
        applied = run(db, self._attempt, self._attempts)
        if self._rejection is not None:
            self._raise_rejection()
        if self._reader is not None:
            self._reader.committed(self._read_version)
        return applied if self._versionstamp is None else applied.completed(wait(self._versionstamp))

    def _raise_rejection(self) -> NoReturn:
        """Raise the rejection that was kept; nothing keeps it from now on, or it and this would hold each other."""
        rejection, self._rejection = self._rejection, None
        assert rejection is not None
        try:
            raise rejection
        finally:
            del rejection

    def _attempt(self, tr: Any) -> Applied:
        """Apply the input; a rejection that was journaled is kept, so that the journal entry is committed alone."""
        self._rejection = None
        try:
            return self._apply(tr, None) if self._cache is None else self._apply_cached(tr, self._cache)
        except TransitionError as rejection:
            if not self._stamps.journaled:
                raise
            self._rejection = rejection
            return _REJECTED

    def _apply_cached(self, tr: Any, cache: Cache) -> Applied:
        if self._reader is not None:
            self._reader.failed()
        reader = self._reader = CachedReader(tr, cache)
        try:
            applied = self._apply(tr, reader)
        except Exception as error:
            if error_code(error) is not None or not reader.used:
                raise
            # Nothing would be committed, so nothing would show that a cached value was stale: decide it again.
            reader.failed()
            tr.reset()
            self._reader = None
            return self._apply(tr, None)
        reader.fix_version()
        self._read_version = reader.read_version()
        return applied

    def _apply(self, tr: Any, reader: CachedReader | None) -> Applied:
        request = self._request
        self._stamps = stamps = TransactionStamps()
        check_receipt = request.check_receipt or self._attempts.maybe_committed
        at = LayerTransaction(self._context, tr, stamps, reader)
        applied = at.apply(request.input, request.receipt, check_receipt)
        if request.delivers:
            applied = deliver(LayerTransaction(self._context, tr, stamps), applied, request.input.at)
        self._versionstamp = tr.get_versionstamp() if stamps.used_by_machine and not applied.repeated else None
        return applied
