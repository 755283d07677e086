"""What a database holds, for tests that compare it before and after."""

from __future__ import annotations

from typing import Any

from phasm_fdb import Subspace


def everything(db: Any, subspace: Subspace) -> dict[bytes, bytes]:
    """All rows of a subspace."""
    span = subspace.range(())
    tr = db.create_transaction()
    return {row.key: row.value for row in tr.get_range(span.start, span.stop)}
