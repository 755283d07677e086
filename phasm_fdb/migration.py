"""Moving stored state to a newer schema, in bounded batches that can be interrupted anywhere.

While a migration runs nothing else does: code of the old schema is refused, since it would write what has been
moved already, and code of the new one, since it would read what has not. The meta row says how far it has come.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from phasm_fdb.database.transactional import run
from phasm_fdb.errors import KeyspaceError
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.decision import view_over
from phasm_fdb.transition.layer_transaction import LayerTransaction


def migrate(context: LayerContext, db: Any) -> int:
    """Bring the keyspace to the machine's `schema_version`, one call of `migrate` a transaction.

    Several processes may do it at once: their transactions conflict, and each batch is done once.

    Returns:
        How many batches this call ran; 0 if there was nothing to do.

    Raises:
        KeyspaceError: the keyspace has a newer schema.
        MachineDefinitionError: the machine has no `migrate`.
    """
    batches = 0
    while run(db, lambda tr: _batch(LayerTransaction(context, tr))):
        batches += 1
    return batches


def is_due(at: LayerTransaction) -> bool:
    """Whether the keyspace has an older schema than the machine, or its migration is not finished."""
    stored = at.context.meta.raw(at.staged)
    if stored is None:
        return False
    return stored.schema < at.context.definition.machine.schema_version or stored.migrating > 0


def _batch(at: LayerTransaction) -> bool:
    """Run one batch; False if there was nothing to do."""
    context, staged = at.context, at.staged
    stored = context.meta.raw(staged)
    target = context.definition.machine.schema_version
    if stored is None or (stored.schema == target and not stored.migrating):
        return False
    if stored.schema > target:
        raise KeyspaceError(
            f"{context.definition.name} has schema version {target}, and its keyspace is at {stored.schema}: "
            "upgrade this process"
        )
    from_version = stored.migrating or stored.schema
    context.journal.migrated(staged, stored, at.stamps, from_version)
    view = view_over(staged, context.keyspace, stored.large, at.stamps)
    more = context.definition.migrate(context.definition.state_class(view), from_version)
    reached = from_version if more else from_version + 1
    migrating = reached if reached < target else 0
    context.meta.write(staged, replace(stored, schema=target, migrating=migrating, large=tuple(sorted(view.large))))
    at.flush()
    return True
