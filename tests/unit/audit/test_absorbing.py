"""One fault is told once, and never at the price of another one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kubenorn.audit import audit as module
from kubenorn.audit.audit import audit
from kubenorn.audit.finding import Finding, Group, Severity
from tests.unit.audit.test_findings import context

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
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
