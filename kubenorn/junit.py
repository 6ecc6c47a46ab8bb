"""JUnit XML of a run, for what shows test results: a suite a host, and one for the cluster."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from kubenorn.files import check_can_be_written, write_atomically
from kubenorn.run_record import HostResult, HostState, Outcome, RunRecord
from kubenorn.verification import Verification

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GOOD = frozenset({HostState.UNCHANGED, HostState.CHANGED})
ROLLBACK = "rollback"
"""The runbook that is to leave hosts rolled back; of any other that is a failure."""
_RUNS_WELL = {Outcome.OK, Outcome.RUNNING}


def run_junit(
    records: Sequence[RunRecord], verifications: Sequence[Verification] = (), *, step: str = "apply"
) -> bytes:
    """Return JUnit XML of the records of one run, one a cluster, and of what verification saw.

    Each host has a testcase `step`, which is skipped where nothing was begun; the cluster has one called
    `run`, so that a run that was refused is not all green. Times are in seconds.
    """
    seen = {each.cluster: each for each in verifications}
    return junit_document(
        "kubenorn", (suite for record in records for suite in _suites(record, seen.get(record.cluster), step))
    )


def junit_document(name: str, suites: Iterable[TestSuite]) -> bytes:
    """Return the XML of a document of suites, with its counts."""
    document = JUnitXml(name)
    for suite in suites:
        # add_testsuite would compare it with all others, to merge those that look alike
        document.append(suite)  # type: ignore[no-untyped-call]  # the library has no types there
    document.update_statistics()  # type: ignore[no-untyped-call]  # nor there
    content = BytesIO()
    document.write(content)
    return content.getvalue()


def _suites(record: RunRecord, verification: Verification | None, step: str) -> Iterator[TestSuite]:
    hosts = verification.hosts if verification else {}
    for host in {**record.results, **hosts}:
        name = f"{record.cluster}.{host}"
        good = {*_GOOD, HostState.ROLLED_BACK} if record.runbook == ROLLBACK else _GOOD
        cases = [_applied(name, step, record.results[host], good)] if host in record.results else []
        cases += [checked_case(name, c.group, c.name, c.ok, c.detail) for c in hosts.get(host, ())]
        yield _suite(record, name, host, cases)
    whole = verification.whole if verification else ()
    cases = [checked_case(record.cluster, c.group, c.name, c.ok, c.detail) for c in whole]
    yield _suite(record, record.cluster, record.who.controller, [_run(record), *cases])


def _suite(record: RunRecord, name: str, hostname: str, cases: Sequence[TestCase]) -> TestSuite:
    suite = TestSuite(_xml(name))
    suite.hostname = _xml(hostname)
    # The schema has times of day without a zone: UTC.
    suite.timestamp = record.started.strftime("%Y-%m-%dT%H:%M:%S")
    for key, value in (("runbook", record.runbook), ("run", record.id), ("dry run", str(record.dry_run))):
        suite.add_property(key, _xml(value))
    suite.add_testcases(list(cases))
    return suite


def _case(suite: str, name: str, seconds: float = 0.0) -> TestCase:
    return TestCase(_xml(name), classname=_xml(suite), time=round(seconds, 3))


def _failed(case: TestCase, kind: str, detail: str) -> TestCase:
    failure = Failure(_xml(detail.partition("\n")[0]), kind)
    failure.text = _xml(detail)
    case.result = [failure]
    return case


def _applied(suite: str, step: str, result: HostResult, good: Collection[HostState]) -> TestCase:
    case = _case(suite, step, result.seconds)
    if result.state is HostState.NOT_BEGUN:
        case.result = [Skipped(_xml(result.detail or result.state))]
    elif result.state not in good:
        return _failed(case, result.state.value, result.detail or result.state)
    return case


def checked_case(suite: str, group: str, name: str, ok: bool, detail: str) -> TestCase:
    """Return one check as a testcase, failed with what was seen."""
    case = _case(suite, f"{group}: {name}")
    return case if ok else _failed(case, group, detail)


def _run(record: RunRecord) -> TestCase:
    case = _case(record.cluster, "run", record.seconds or 0.0)
    if record.outcome in _RUNS_WELL:
        return case
    said = [f"{record.outcome}, exit code {record.exit_code}", *record.remarks]
    return _failed(case, record.outcome.value, "\n".join(said))


def _xml(text: str) -> str:
    """Return the text without the characters XML 1.0 cannot hold: hosts say what they like."""
    return _NOT_XML.sub("�", text)


def check_junit_path(path: Path | None) -> None:
    """Raise InputWrongError when the file could not be written later: better told before a run than after."""
    check_can_be_written(path, "--junit")


def write_junit(path: Path | None, content: bytes) -> None:
    """Write the XML, readable for everyone; nothing without a path. Raises InputWrongError when it cannot be."""
    if path is not None:
        write_atomically(path, content, mode=0o644)
