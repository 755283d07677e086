"""A failing run as a regression test: the text of a pytest file."""

from __future__ import annotations

import re

from phasm_fdb.simulation.saving import SavedRun
from phasm_fdb.simulation.shrinking import way_of

_TEMPLATE = '''"""{title}

Found by `phasm simulate`, which shrank it to {size} choices.
"""

from phasm_fdb.simulation import replay

PROGRAM = r"""
{program}"""


def test_{name}() -> None:
    result = replay(PROGRAM, "{workload}")
    assert result.held, result.violations[0].invariant
'''


def test_file(run: SavedRun) -> str:
    """The text of a test that fails while the run does, and passes once the bug is gone."""
    fails = run.fails or "everything held"
    title = way_of(fails).replace("#", "...").replace('"', "'").replace("\\", "/")
    name = re.sub(r"\W+", "_", way_of(fails)).strip("_").lower()[:60] or "it_holds"
    program = run.to_text().replace('"""', "'''")
    return _TEMPLATE.format(
        title=title[:1].upper() + title[1:] + ".",
        size=len(run.choices),
        name=name,
        program=program,
        workload=run.workload,
    )
