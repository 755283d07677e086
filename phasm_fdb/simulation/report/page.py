"""A run as one HTML file: what broke, the diagram of how, the program that shows it, and what the faults have met."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template

from phasm_fdb.simulation.faults import KINDS
from phasm_fdb.simulation.report.coverage import Coverage
from phasm_fdb.simulation.report.diagram import Diagram
from phasm_fdb.simulation.report.steps import steps
from phasm_fdb.simulation.run.result import Result
from phasm_fdb.simulation.run.saving import SavedRun

_TEMPLATE = "report.html"


def report(run: Result, workload: str, together: Result | None = None, coverage: Coverage | None = None) -> str:
    """The page, which needs nothing beside itself.

    Args:
        run: of one seed, or of a program, with its events kept; the one to look at.
        workload: its name, `MODULE:WORKLOAD`.
        together: all runs that were made, for the counts; `run` if left out.
        coverage: of all runs; that of `run` if left out.
    """
    together = run if together is None else together
    if coverage is None:
        coverage = Coverage()
        coverage.add(run.events)
    diagram = Diagram(run.events)
    template = Template(resources.files(__package__).joinpath(_TEMPLATE).read_text())
    return template.substitute(
        title=html.escape(f"{workload}, seed {_seed(run)}"),
        workload=html.escape(workload),
        verdict=_verdict(run),
        verdict_class="held" if run.held else "violated",
        summary=_summary(run, together),
        violation=_violation(run),
        heads=diagram.heads(),
        diagram=diagram.svg(),
        left_out=_left_out(diagram),
        steps=html.escape(steps(run)),
        program=html.escape(SavedRun.of(workload, run).to_text()),
        faults=_faults(together),
        coverage=_matrix(coverage),
        counts=_counts(together),
        settings=_settings(run),
    )


def _seed(run: Result) -> int:
    assert run.settings is not None, "a result of one run has its settings"
    return run.settings.seed


def _verdict(run: Result) -> str:
    return "Everything held" if run.held else "An invariant is violated"


def _summary(run: Result, together: Result) -> str:
    settings = run.settings
    assert settings is not None
    parts = [
        ("seed", str(settings.seed)),
        ("choices", f"{len(run.choices):,}"),
        ("operations", f"{run.operations:,}"),
        ("transitions", f"{run.transitions:,}"),
        ("rejections", f"{run.rejections:,}"),
        ("crashes", f"{run.crashes:,}"),
        ("virtual time", f"{run.events[-1].time:,.1f} s" if run.events else "-"),
    ]
    if together is not run:
        parts.append(("all seeds", f"{together.seeds:,}"))
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in parts)


def _violation(run: Result) -> str:
    if run.held:
        return ""
    violation = run.violations[0]
    name, colon, rest = violation.invariant.partition(": ")
    shown = f"<strong>{html.escape(name)}</strong>{html.escape(colon + rest)}"
    input = f"<p>after <code>{html.escape(violation.input)}</code></p>" if violation.input is not None else ""
    trace = f"<details><summary>where it was raised</summary><pre>{html.escape(violation.traceback)}</pre></details>"
    return f'<section class="violation"><p class="what">{shown}</p>{input}{trace}</section>'


def _left_out(diagram: Diagram) -> str:
    return f"<p class='note'>The first {diagram.left_out:,} events are left out.</p>" if diagram.left_out else ""


def _faults(together: Result) -> str:
    """Every kind with its count, the kinds that never happened too."""
    counts = {kind: together.counts.get(f"fault {kind}", 0) for kind in KINDS}
    most = max(1, *counts.values())
    rows = (
        f'<tr class="{"" if count else "never"}"><th>{html.escape(kind)}</th><td>{count:,}</td>'
        f'<td class="bar"><i style="width:{100 * count / most:.1f}%"></i></td>'
        f"<td>{html.escape(KINDS[kind].text)}</td></tr>"
        for kind, count in counts.items()
    )
    return f'<table class="faults">{"".join(rows)}</table>'


def _matrix(coverage: Coverage) -> str:
    if not coverage.pairs:
        return "<p class='note'>No fault has met anything.</p>"
    subjects, kinds = coverage.subjects, coverage.kinds
    head = "".join(f"<th><span>{html.escape(kind)}</span></th>" for kind in kinds)
    rows = (f"<tr><th>{html.escape(subject)}</th>{_cells(coverage, subject, kinds)}</tr>" for subject in subjects)
    met = sum(1 for subject in subjects for kind in kinds if coverage.pairs[subject, kind])
    note = f"{met:,} of {len(subjects) * len(kinds):,} pairs of these have met."
    return f'<p class="note">{note}</p><table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}</table>'


def _cells(coverage: Coverage, subject: str, kinds: Iterable[str]) -> str:
    return "".join(_cell(coverage.pairs[subject, kind], f"{subject}, {kind}") for kind in kinds)


def _cell(count: int, title: str) -> str:
    heat = min(4, len(str(count))) if count else 0
    return f'<td class="heat{heat}" title="{html.escape(title)}: {count:,}">{_short(count) if count else ""}</td>'


def _short(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.0f}k"


def _counts(together: Result) -> str:
    rows = [(name, count) for name, count in sorted(together.counts.items()) if not name.startswith("fault ")]
    return _table((name, f"{count:,}") for name, count in rows)


def _settings(run: Result) -> str:
    assert run.settings is not None
    settings = run.settings.as_dict()
    faults: Sequence[tuple[str, object]] = list(settings.pop("faults").items())
    drawn = [
        (f"faults: {kind}", f"{probability:.5f}") for kind, probability in faults if isinstance(probability, float)
    ]
    return _table([*((name, str(value)) for name, value in settings.items()), *drawn])


def _table(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f'<table class="plain">{body}</table>'
