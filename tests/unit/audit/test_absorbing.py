"""One fault is told once, and never at the price of another one."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from kubenorn.audit import audit as module
from kubenorn.audit.audit import audit
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.audit.report import audit_html, audit_junit
from kubenorn.audit.tables import audit_tables
from tests.unit.audit.test_findings import NOW, context

INFO, WARNING, ERROR, CRITICAL = Severity
CONF, UNIT = "/etc/keepalived/keepalived.conf", "/etc/systemd/system/kube-scheduler.service"


def finding(
    severity: Severity, group: Group, subject: str, evidence: str = "is wrong", **more: Any
) -> Finding:
    return Finding(severity, group, "m1", subject, evidence, "mend it", **more)


STALE = finding(
    WARNING, Group.SERVICES, "keepalived", f"started before {CONF} was last changed", follows=CONF
)
DRIFTED = finding(WARNING, Group.DRIFT, CONF, "file: content differs", differs=True)
RESTART = finding(
    WARNING, Group.DRIFT, "keepalived", "unit: keepalived.conf changes", follows="keepalived.conf"
)
ARGUMENTS = finding(
    WARNING, Group.SERVICES, "k8s-scheduler", "with --v=3", about="kube-scheduler's arguments"
)

AWAY = finding(ERROR, Group.SERVICES, "etcd", "is inactive; without it kube-apiserver cannot work here")
CLOSED = finding(ERROR, Group.PORTS, "port 6443", "kube-apiserver runs, and does not listen")
OTHER_ARGUMENTS = replace(ARGUMENTS, evidence="with --vmodule=x=4")


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([STALE], [STALE]),
        ([DRIFTED, STALE, RESTART], [DRIFTED]),
        ([STALE, replace(DRIFTED, host="m2")], [STALE, replace(DRIFTED, host="m2")]),
        # What is good to know, or about modes alone, takes nothing away.
        *(
            ([each, STALE], [each, STALE])
            for each in (
                finding(INFO, Group.VIP, CONF, "sends its adverts to 192.168.80.99 too"),
                finding(ERROR, Group.EXPOSURE, CONF, "has mode 0644"),
            )
        ),
        (
            [
                finding(INFO, Group.SERVICES, "kube-scheduler"),
                finding(WARNING, Group.DRIFT, "kube-scheduler"),
            ],
            [
                finding(INFO, Group.SERVICES, "kube-scheduler"),
                finding(WARNING, Group.DRIFT, "kube-scheduler"),
            ],
        ),
        (
            [finding(WARNING, Group.CERTIFICATES, CONF, "ends in 25 days"), DRIFTED],
            [finding(WARNING, Group.CERTIFICATES, CONF, "ends in 25 days"), DRIFTED],
        ),
        # Another content is a fault of its own, whatever the mode.
        (
            [finding(ERROR, Group.EXPOSURE, CONF, "has mode 0644"), DRIFTED],
            [finding(ERROR, Group.EXPOSURE, CONF, "has mode 0644"), DRIFTED],
        ),
        # A port that is closed because of a neighbour is told with that one, or alone where nobody looks at that.
        ([AWAY, CLOSED], [AWAY]),
        ([CLOSED], [CLOSED]),
        (
            [AWAY, replace(CLOSED, evidence="kube-scheduler runs, and does not listen")],
            [AWAY, replace(CLOSED, evidence="kube-scheduler runs, and does not listen")],
        ),
        # The graver one says it.
        (
            [finding(ERROR, Group.CERTIFICATES, CONF, "ends in 5 days"), DRIFTED],
            [finding(ERROR, Group.CERTIFICATES, CONF, "ends in 5 days")],
        ),
        (
            [finding(ERROR, Group.CERTIFICATES, "etcd", "serves another", about=CONF), DRIFTED],
            [finding(ERROR, Group.CERTIFICATES, "etcd", "serves another", about=CONF)],
        ),
        ([ARGUMENTS, finding(WARNING, Group.EQUALITY, "kube-scheduler --v")], [ARGUMENTS]),
        (
            [
                replace(ARGUMENTS, evidence="with --vmodule=x=4"),
                finding(WARNING, Group.EQUALITY, "kube-scheduler --v"),
            ],
            [
                replace(ARGUMENTS, evidence="with --vmodule=x=4"),
                finding(WARNING, Group.EQUALITY, "kube-scheduler --v"),
            ],
        ),
    ],
)
def test_what_is_told(monkeypatch: pytest.MonkeyPatch, found: list[Finding], kept: list[Finding]) -> None:
    def checks_of(group: Group) -> Callable[[Any], Iterator[Finding]]:
        return lambda _: (each for each in found if each.group is group)

    monkeypatch.setattr(module, "CHECKS", {group: checks_of(group) for group in Group})
    assert set(audit(context(""), list(Group)).findings) == set(kept)


def test_a_baseline_does_not_know_what_became_worse() -> None:
    before = finding(WARNING, Group.CERTIFICATES, CONF, "ends in 25 days, 2026-12-16")
    assert replace(before, evidence="ends in 24 days, 2026-12-16").key == before.key
    assert (
        replace(before, severity=Severity.CRITICAL, evidence="ended 1 days ago, 2026-12-16").key != before.key
    )
    errors = finding(INFO, Group.SERVICES, "etcd", "reported errors within the last hour; its only error, x")
    assert replace(errors, evidence="is not well: no answer").key != errors.key


def test_a_baseline_tells_alarms_cards_and_differences_apart() -> None:
    one = finding(
        CRITICAL, Group.ETCD, "alarm", "memberID:7 alarm:NOSPACE", identity="memberID:7 alarm:NOSPACE"
    )
    assert one.key != replace(one, identity="memberID:7 alarm:CORRUPT").key
    assert one.key == replace(one, remedy="another").key


def test_a_host_that_gave_no_answer_is_told_whatever_is_looked_for() -> None:
    asked = context("")
    asked.missing["m4"] = "no route"
    found = audit(asked, [Group.CERTIFICATES])
    assert [(each.host, each.evidence) for each in found.findings] == [("m4", "gave no answer: no route")]
    assert found.worst is CRITICAL
    junit = ElementTree.fromstring(audit_junit([found]))
    assert junit.get("failures") == "1"
    console = Console(width=80, file=StringIO(), record=True)
    console.print(audit_tables(found, infos=False))
    assert re.search(r"m4 +\?", console.export_text())
    assert re.search(r"<td class=\"text\">m4</td><td class=\"bad\">\?</td>", audit_html([found], NOW))
