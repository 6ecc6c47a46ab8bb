"""JUnit XML: what each schema wants, and that nothing a host says can spoil it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenorn.errors import InputWrongError
from kubenorn.junit import check_junit_path, run_junit, write_junit
from kubenorn.run_record import HostResult, HostState, Outcome, RunRecord, new_record
from kubenorn.verification import Verification, verify
from tests.unit.builders import NAMES, a_cluster

MOMENT = datetime(2026, 11, 21, 2, 15, 7, 123000, tzinfo=UTC)
SAMPLE = verify(a_cluster(), {}, {NAMES[0]: "no answer"}).hosts[NAMES[0]][0]
GOOD = replace(SAMPLE, group="ports", name="haproxy 8443", ok=True, detail="0.0.0.0:8443 haproxy")
BAD = replace(SAMPLE, group="services", name="haproxy", ok=False, detail="is failed\nits journal: x")


def a_record(cluster: str = "lab", outcome: Outcome = Outcome.OK, **results: HostResult) -> RunRecord:
    record = new_record("deploy", cluster, list(results), [], started=MOMENT)
    record.who = replace(record.who, controller="controller-1")
    record.results.update(results)
    record.finish(outcome, 0 if outcome is Outcome.OK else 1, MOMENT + timedelta(seconds=61.25))
    return record


def parsed(*records: RunRecord, verifications: tuple[Verification, ...] = ()) -> dict[str, ET.Element]:
    root = ET.fromstring(run_junit(records, verifications))
    assert root.tag == "testsuites"
    return {str(suite.get("name")): suite for suite in root}


def test_a_suite_a_host_and_one_for_the_cluster() -> None:
    record = a_record(
        m1=HostResult(HostState.CHANGED, "2 changes", 1.23456),
        m2=HostResult(HostState.ROLLED_BACK, "haproxy did not start"),
        m3=HostResult(HostState.NOT_BEGUN),
    )
    verification = Verification("lab", {"m1": (GOOD, BAD)}, (GOOD,), (), ())
    suites = parsed(record, verifications=(verification,))
    assert list(suites) == ["lab.m1", "lab.m2", "lab.m3", "lab"]
    counts = {
        n: tuple(s.get(k) for k in ("tests", "failures", "skipped", "errors")) for n, s in suites.items()
    }
    assert counts == {
        "lab.m1": ("3", "1", "0", "0"),
        "lab.m2": ("1", "1", "0", "0"),
        "lab.m3": ("1", "0", "1", "0"),
        "lab": ("2", "0", "0", "0"),
    }
    assert (suites["lab.m1"].get("hostname"), suites["lab"].get("hostname")) == ("m1", "controller-1")
    assert [case.get("time") for case in suites["lab.m1"].iter("testcase")] == ["1.235", "0.0", "0.0"]
    assert suites["lab"].get("time") == "61.25"
    failure = suites["lab.m1"].find("testcase[@name='services: haproxy']/failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("is failed", "is failed\nits journal: x")
    undone = suites["lab.m2"].find("testcase[@name='apply']/failure")
    assert undone is not None
    assert (undone.get("type"), undone.get("message")) == ("rolled back", "haproxy did not start")


def test_the_sums_of_the_whole() -> None:
    records = [a_record(name, m1=HostResult(HostState.FAILED, "x")) for name in ("a", "b")]
    root = ET.fromstring(run_junit(records))
    assert [root.get(key) for key in ("tests", "failures", "skipped", "time")] == ["4", "2", "0", "122.5"]


@pytest.mark.parametrize(
    ("state", "child"),
    [
        (HostState.UNCHANGED, None),
        (HostState.CHANGED, None),
        (HostState.NOT_BEGUN, "skipped"),
        (HostState.FAILED, "failure"),
        (HostState.ROLLED_BACK, "failure"),
        (HostState.NOT_REACHED, "failure"),
    ],
)
def test_the_state_of_a_host(state: HostState, child: str | None) -> None:
    (case,) = parsed(a_record(m1=HostResult(state)))["lab.m1"].iter("testcase")
    assert [each.tag for each in case] == ([child] if child else [])
    assert all(each.get("message") == state for each in case)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED, Outcome.INTERRUPTED])
def test_a_run_that_was_not_what_was_asked_is_never_all_green(outcome: Outcome) -> None:
    record = a_record(outcome=outcome, m1=HostResult(HostState.NOT_BEGUN))
    record.remarks = ["m1: the disk is full"]
    failure = parsed(record)["lab"].find("testcase[@name='run']/failure")
    assert failure is not None
    assert failure.get("message") == f"{outcome}, exit code 1"
    assert "m1: the disk is full" in str(failure.text)


anything = st.text(st.characters(codec=None))


@given(host=anything, name=anything, detail=anything, seconds=st.floats(0, 1e6))
def test_no_words_of_a_host_spoil_it(host: str, name: str, detail: str, seconds: float) -> None:
    record = a_record(outcome=Outcome.FAILED)
    record.results[host] = HostResult(HostState.FAILED, detail, seconds)
    record.remarks = [detail]
    check = replace(BAD, name=name, detail=detail)
    content = run_junit([record], [Verification("lab", {host: (check,)}, (check,), (), ())])
    assert_follows_the_schema(ET.fromstring(content))


def assert_follows_the_schema(root: ET.Element) -> None:
    """Check what the schemas of Ant, Jenkins and Maven have in common."""
    for suite in root:
        assert next(child.tag for child in suite) == "properties"
        assert set(suite.keys()) == {
            *("name", "hostname", "timestamp", "time"),
            *("tests", "failures", "errors", "skipped"),
        }
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(suite.get("timestamp")))
        cases = suite.findall("testcase")
        for key, path in (
            ("tests", "testcase"),
            ("failures", "testcase/failure"),
            ("skipped", "testcase/skipped"),
        ):
            assert suite.get(key) == str(len(suite.findall(path)))
        for case in cases:
            assert set(case.keys()) == {"name", "classname", "time"}
        for timed in (suite, *cases):
            assert re.fullmatch(r"\d+(\.\d{1,3})?", str(timed.get("time")))


def test_writing(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    write_junit(file, run_junit([a_record(m1=HostResult(HostState.CHANGED))]))
    assert file.stat().st_mode & 0o777 == 0o644
    assert file.read_bytes().startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    write_junit(None, b"")


def test_a_file_that_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    check_junit_path(None)
    check_junit_path(tmp_path / "new.xml")
    with pytest.raises(InputWrongError, match="is a folder; name a file"):
        check_junit_path(tmp_path)
    with pytest.raises(InputWrongError, match="there is no folder"):
        check_junit_path(tmp_path / "no" / "junit.xml")
    with pytest.raises(InputWrongError, match="cannot write"):
        write_junit(tmp_path / "no" / "junit.xml", b"")
