"""The report: one HTML file that needs nothing else, and says what happened."""

from __future__ import annotations

import html
import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from phasm_fdb.simulation import Result, simulate
from phasm_fdb.simulation.report.coverage import NOTHING, Coverage
from phasm_fdb.simulation.report.diagram import MOST_EVENTS, TIMES, Diagram
from phasm_fdb.simulation.report.page import report
from tests.simulation import machines
from tests.simulation.theatre import TheatreWorkload

HEAVY = {
    "1020": 0.1,
    "1021 done": 0.1,
    "call slow": 0.3,
    "result lost": 0.2,
    "crash": 0.1,
    "pause": 0.05,
    "switch": 0.3,
}


@pytest.fixture(scope="module")
def run() -> Result:
    return simulate(TheatreWorkload, seed=2, ops=150, workers=2, faults=HEAVY, keep_events=True)


@pytest.fixture(scope="module")
def page(run: Result) -> str:
    return report(run, "tests.simulation.theatre:TheatreWorkload")


def shown(svg: str) -> list[dict[str, Any]]:
    """What the marks of a diagram hold for the browser."""
    return [json.loads(html.unescape(found)) for found in re.findall(r'data-event="([^"]*)"', svg)]


# --------------------------------------------------------------------------------------------------- page


def test_the_page_loads_nothing(page: str) -> None:
    assert re.findall(r"(?:src|href)=|url\(|@import|https?://(?!www\.w3\.org)", page) == []
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert "$" not in re.sub(r"<pre>.*?</pre>|data-event=\"[^\"]*\"", "", page, flags=re.DOTALL), (
        "a hole in the template"
    )


def test_the_page_says_what_broke() -> None:
    run = simulate(machines.BreaksWorkload, ops=50, keep_events=True)
    page = report(run, "tests.simulation.machines:BreaksWorkload")
    assert "An invariant is violated" in page
    assert "<strong>ZeroDivisionError</strong>: a bug" in page
    assert "in shipped" in page, "where it was raised"
    assert "# workload: tests.simulation.machines:BreaksWorkload" in page


def test_the_page_counts_every_kind_of_fault(page: str, run: Result) -> None:
    table = re.search(r'<table class="faults">.*?</table>', page, re.DOTALL)
    assert table is not None
    rows = dict(re.findall(r"<th>([^<]*)</th><td>([\d,]*)</td>", table[0]))
    assert {kind: int(count.replace(",", "")) for kind, count in rows.items() if count != "0"} == {
        name.removeprefix("fault "): count
        for name, count in run.counts.items()
        if name.startswith("fault ") and name != "fault schedule"
    }
    assert rows["torn tail"] == "0"


class Nasty(machines.ShopWorkload):
    """Its outside world answers with markup."""

    def perform(self, rng: Any, action: Any) -> Any:
        raise ConnectionError("</script><b>&\"'")


def test_markup_in_values_is_text() -> None:
    run = simulate(Nasty, ops=5, faults="none", keep_events=True)
    page = report(run, "a:<b>")
    assert "<b>" not in page
    assert page.count("</script>") == 1
    assert any("</script><b>" in one["text"] for one in shown(page))


# ------------------------------------------------------------------------------------------------ diagram


def test_the_diagram_is_well_formed_and_has_a_column_for_each(run: Result) -> None:
    diagram = Diagram(run.events)
    root = ET.fromstring(diagram.svg())
    assert root.tag == "svg"
    clients = [column for column in diagram.columns if column.startswith("client ")]
    assert diagram.columns == [*clients, "database", "worker 1", "worker 2", "world"]
    assert clients == sorted(clients, key=lambda column: int(column.split()[1]))
    assert all(column in diagram.heads() for column in diagram.columns)


def test_every_kind_of_event_is_drawn(run: Result) -> None:
    drawn = {one["kind"] for one in shown(Diagram(run.events).svg())}
    assert drawn >= {"phase", "input", "reply", "commit", "fault", "crash", "restart", "pause", "call", "result"}


def test_a_commit_shows_what_it_changed(run: Result) -> None:
    commits = [one for one in shown(Diagram(run.events).svg()) if one["kind"] == "commit"]
    changes = [line for commit in commits for line in commit["diff"]]
    assert any(line.startswith("bookings[1]: nothing -> Booking(") for line in changes)
    assert any(re.match(r"takings: \d+ -> \d+", line) for line in changes)


def test_time_goes_down(run: Result) -> None:
    root = ET.fromstring(Diagram(run.events).svg())
    marks = [group for group in root.iter("g") if group.get("data-event")]
    ys = [float(group[0].get("y", "nan")) for group in marks if group[0].tag == "rect"]
    times = [
        json.loads(group.get("data-event", ""))["number"] for group in marks if "band" not in group.get("class", "")
    ]
    assert times == sorted(times)
    assert len(set(ys)) == len(ys), "a row an event"


def test_a_dead_worker_has_no_line(run: Result) -> None:
    root = ET.fromstring(Diagram(run.events).svg())
    kinds = {line.get("class") for line in root.iter("line")}
    assert {"life alive", "life dead", "life paused"} <= kinds


def test_the_same_fault_in_a_row_is_one_mark() -> None:
    run = simulate(machines.ShopWorkload, ops=20, faults={"switch": 0.5}, keep_events=True)
    svg = Diagram(run.events).svg()
    faults = sum(event.kind == "fault" for event in run.events)
    assert re.search(rf"switch {TIMES}\d", svg)
    assert sum(one["kind"] == "fault" for one in shown(svg)) < faults


def test_of_very_many_events_the_last_are_drawn(run: Result) -> None:
    many = [event for event in run.events if event.kind == "input"] * 200
    diagram = Diagram(many)
    assert diagram.left_out == len(many) - MOST_EVENTS


# ----------------------------------------------------------------------------------------------- coverage


def test_coverage_pairs_what_was_done_with_what_met_it(run: Result) -> None:
    coverage = Coverage()
    coverage.add(run.events)
    assert coverage.pairs["Charge", "result lost"] > 0
    assert coverage.pairs["Reserve", "1021 done"] > 0
    assert coverage.pairs["Paid", "1020"] + coverage.pairs["Paid", "1021 done"] > 0
    assert not any(kind == "result lost" and what in ("Reserve", "Cancel", "Paid") for what, kind in coverage.pairs)
    assert set(coverage.subjects) <= {
        *("Reserve", "Cancel", "Remind", "Charge", "CheckCharge", "Refund", "Paid", "Declined", "NotCharged"),
        *("Refunded", NOTHING),
    }


def test_every_fault_is_counted_in_some_pair(run: Result) -> None:
    coverage = Coverage()
    coverage.add(run.events)
    happened = {str(event.details["fault"]) for event in run.events if event.kind == "fault"}
    assert set(coverage.kinds) == happened
