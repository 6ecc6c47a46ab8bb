"""A drill as tables, JSON, JUnit XML and a page: the same facts, whatever names hosts have."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.console import Console

from kubenorn.drill.expectations import Limits
from kubenorn.drill.page import timeline
from kubenorn.drill.prediction import Vrrp
from kubenorn.drill.report import drill_html, drill_json, drill_junit
from kubenorn.drill.results import Drilled, DrillReport, summaries
from kubenorn.drill.scenarios import Scenario, faults
from kubenorn.drill.tables import drill_tables, one_line, preview
from tests.unit.builders import a_cluster
from tests.unit.drill_builders import STARTED, drilled, haproxy_stop, probes


def report(*found: Drilled, ended_early: str = "", dropped: tuple[str, ...] = ()) -> DrillReport:
    return DrillReport(
        cluster="production",
        started=STARTED,
        limits=Limits(200, 50),
        hosts=("m1", "m2", "m3"),
        priorities={"m1": 250, "m2": 240, "m3": 230},
        vrrp={"advert_int": "0.2 s"},
        probe_interval=25,
        drilled=found,
        ended_early=ended_early,
        dropped=dropped,
    )


def printed(renderable: object, columns: int) -> str:
    console = Console(width=columns, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(renderable)
    return console.export_text()


def test_phases_add_up_to_when_the_api_was_back() -> None:
    found = drilled()
    assert found.phases == {
        "noticed": pytest.approx(35),
        "released": pytest.approx(5),
        "taken": pytest.approx(20),
        "answered": pytest.approx(45),
    }
    assert sum(each or 0 for each in found.phases.values()) == pytest.approx(found.measured.api_back)


def test_the_summary_names_the_phase_that_dominates() -> None:
    (summary,) = summaries(report(drilled(1), drilled(2)), Vrrp(3, 0.2, 240))
    assert (summary.cycles, summary.dominant) == (2, "answered")
    assert summary.outage_median == pytest.approx(100)
    assert summary.predicted == 12.5


def a_loss(scenario: Scenario, **moments: float | None) -> Drilled:
    whole = drilled()
    fault = faults(scenario, a_cluster(), holder="m1", leaders={}, etcd_leader=None)[0]
    return replace(whole, measured=replace(whole.measured, fault=fault, **moments))  # type: ignore[arg-type]


def test_vrrp_is_priced_only_where_it_decides() -> None:
    vrrp = Vrrp(3, 0.2, 240)
    (by_others,) = summaries(report(a_loss(Scenario.POWER_OFF, vip_there=100.0, api_back=900.0)), vrrp)
    assert by_others.dominant == "answered"
    assert "etcd.election_timeout" in by_others.governed_by
    assert by_others.what_ifs == ()
    (by_vrrp,) = summaries(report(a_loss(Scenario.POWER_OFF, vip_there=800.0, api_back=900.0)), vrrp)
    assert (by_vrrp.dominant, by_vrrp.governed_by) == ("taken", "three missed adverts: vrrp.advert_interval")
    assert by_vrrp.what_ifs
    (cut,) = summaries(report(a_loss(Scenario.NETWORK_CUT, vip_there=100.0, api_back=900.0)), vrrp)
    assert "etcd" not in cut.governed_by, "a cut leaves etcd alone"


def test_an_api_that_never_came_back_has_no_median() -> None:
    lost = drilled(2, ok=False, probes=probes(99, 103, 0.025, bad=(100.01, 200)))
    (summary,) = summaries(report(drilled(1), lost), Vrrp(3, 0.2, 240))
    assert summary.outage_median is None
    text = printed(drill_tables(report(drilled(1), lost), [summary]), 100)
    assert re.search(r"haproxy-stop +2 +∞ +∞ ", text)
    page = drill_html(report(drilled(1), lost), [summary])
    assert page.count("<td>∞</td>") == 3
    (most,) = summaries(report(drilled(1), drilled(2), lost), Vrrp(3, 0.2, 240))
    assert most.outage_median == pytest.approx(100)
    assert most.outage_longest is None
    assert "the API did not come back" in str(one_line(lost))


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit(columns: int) -> None:
    whole = report(drilled(1), drilled(2, ok=False))
    text = printed(drill_tables(whole, summaries(whole, Vrrp(3, 0.2, 240))), columns)
    assert max(map(len, text.splitlines())) <= columns
    assert "…" not in text
    assert re.search(r"✓ 1 +m1 → m2 +35 +40 +60 +105 +100 +3 +1 +0", text)
    assert "expected outage up to 200 ms; 100 ms" in text
    assert "haproxy-stop" in printed(preview([(haproxy_stop(), 3)]), columns)


def test_json_is_json_and_holds_every_probe() -> None:
    whole = report(drilled(1))
    loaded = json.loads(json.dumps(drill_json(whole, summaries(whole, Vrrp(3, 0.2, 240)))))
    (fault,) = loaded["faults"]
    assert fault["scenario"] == "haproxy-stop"
    assert fault["measured_ms"]["vip_there"] == pytest.approx(60)
    assert len(fault["probes"]) == 160
    assert loaded["ok"] is True


def test_junit_fails_where_an_expectation_does_and_when_it_ended_early() -> None:
    found = ElementTree.fromstring(drill_junit(report(drilled(1, ok=False), ended_early="m1: is gone")))
    assert (found.get("tests"), found.get("failures")) == ("2", "2")


def test_cycles_that_were_not_drilled_are_told_everywhere() -> None:
    said = "1 of 2 cycles of haproxy-stop were drilled: no selected host is the one it breaks."
    whole = report(drilled(1), dropped=(said,))
    found = summaries(whole, Vrrp(3, 0.2, 240))
    assert said in printed(drill_tables(whole, found), 120)
    assert drill_json(whole, found)["dropped"] == [said]
    assert drill_json(whole, found)["ok"] is False
    xml = ElementTree.fromstring(drill_junit(whole))
    assert (xml.get("tests"), xml.get("failures")) == ("2", "1")
    page = drill_html(whole, found)
    assert said in page
    assert "Not everything was drilled" in page


def test_the_page_stands_alone_and_escapes_what_it_is_told() -> None:
    whole = report(drilled(1), ended_early="<script>alert(1)</script>")
    page = drill_html(whole, summaries(whole, Vrrp(3, 0.2, 240)))
    assert "<script>" not in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    ElementTree.fromstring(svg)


def test_the_timeline_keeps_within_its_frame() -> None:
    drawing = timeline(drilled())
    assert [row.name for row in drawing.rows] == ["m1", "m2"]
    for row in drawing.rows:
        for bar in row.bars:
            assert drawing.left <= bar.x
            assert bar.x + bar.width <= drawing.width
    assert drawing.left < drawing.fault_x < drawing.width
    assert {mark.kind for mark in drawing.probes} == {"ok", "failed"}
    assert 3 <= len(drawing.ticks) <= 9
