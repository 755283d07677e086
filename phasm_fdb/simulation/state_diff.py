"""What a commit changed of the machine's state, in words."""

from __future__ import annotations

from phasm_fdb.describing import Change, place_of, value_of
from phasm_fdb.simulation.commit import Commit
from phasm_fdb.simulation.inspector import Inspector


def state_diff(inspector: Inspector, commit: Commit) -> list[str]:
    """The rows of the state that are not as they were, in key order, each as `place: before -> after`."""
    state, prefix = inspector.definition.state_class, inspector.keyspace.state
    rows = set(commit.of("s"))
    for begin, end in commit.cleared:
        if begin.startswith(prefix):
            rows.update(key for key, _ in commit.before.range(begin, end, 2**62, False))
    lines = []
    for row in sorted(rows):
        before, after = commit.before.get(row), commit.after.get(row)
        if before != after:
            suffix = row[len(prefix) :]
            values = (value_of(state, suffix, before), value_of(state, suffix, after))
            lines.append(str(Change(place_of(state, suffix), *values)))
    return lines
