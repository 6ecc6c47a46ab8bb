"""A drill as JSON, JUnit XML and one HTML page: the same facts as its tables."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from junitparser import TestSuite

from kubenorn.drill.page import timeline
from kubenorn.drill.results import PHASES, DrillReport, Summary
from kubenorn.junit import checked_case, junit_document
from kubenorn.render import render_page


def drill_json(report: DrillReport, found: Sequence[Summary]) -> dict[str, Any]:
    """Return everything a drill found, times in milliseconds since each fault, ready for JSON."""
    return {
        "cluster": report.cluster,
        "started": report.started.isoformat(),
        "ok": report.ok,
        "ended_early": report.ended_early,
        "limits_ms": asdict(report.limits),
        "hosts": list(report.hosts),
        "vrrp": report.vrrp,
        "vrrp_priorities": report.priorities,
        "probe_interval_ms": report.probe_interval,
        "summary": [asdict(each) for each in found],
        "faults": [
            {
                "number": drilled.number,
                "at": drilled.at.isoformat(),
                "ok": drilled.ok,
                "scenario": drilled.measured.fault.scenario.value,
                "host": drilled.measured.fault.host,
                "what": drilled.measured.fault.what,
                "predicted_ms": drilled.predicted,
                "phases_ms": drilled.phases,
                "measured_ms": {
                    key: value for key, value in asdict(drilled.measured).items() if key != "fault"
                },
                "expectations": [asdict(each) for each in drilled.expectations],
                "probes": [list(sample) for sample in drilled.samples],
            }
            for drilled in report.drilled
        ],
        "skipped": list(report.skipped),
        "dropped": list(report.dropped),
    }


def drill_junit(report: DrillReport) -> bytes:
    """Return JUnit XML: a suite a fault, a testcase an expectation, and one for the drill as a whole."""
    return junit_document("kubenorn failover", _suites(report))


def _suites(report: DrillReport) -> Iterator[TestSuite]:
    for drilled in report.drilled:
        name = f"{report.cluster}.{drilled.number}.{drilled.measured.fault.scenario}"
        suite = TestSuite(name)
        suite.hostname = drilled.measured.fault.host
        suite.timestamp = drilled.at.strftime("%Y-%m-%dT%H:%M:%S")
        suite.add_testcases([checked_case(name, "drill", e.name, e.ok, e.seen) for e in drilled.expectations])
        yield suite
    whole = TestSuite(report.cluster)
    missing = "\n".join([report.ended_early, *report.dropped]).strip()
    whole.add_testcases([checked_case(report.cluster, "drill", "came to its end", not missing, missing)])
    yield whole


def drill_html(report: DrillReport, found: Sequence[Summary]) -> str:
    """Return one self-contained page, for screens and paper."""
    return render_page(
        "failover.html.j2",
        {
            "report": report,
            "summaries": found,
            "phases": PHASES,
            "timelines": {drilled.number: timeline(drilled) for drilled in report.drilled},
        },
    )
