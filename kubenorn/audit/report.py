"""The audit for other programs: JSON, JUnit XML and a node-exporter textfile."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from junitparser import TestSuite

from kubenorn.audit.audit import Audit
from kubenorn.audit.certificates import days_left
from kubenorn.audit.context import AuditContext
from kubenorn.audit.finding import Severity
from kubenorn.junit import checked_case, junit_document
from kubenorn.render import render_page


def audit_json(audits: Sequence[Audit], at: datetime) -> dict[str, Any]:
    """Return everything that was found, ready for JSON; `key` names a finding for --baseline."""
    return {
        "at": at.isoformat(),
        "clusters": {
            each.cluster: {
                "hosts": list(each.hosts),
                "checks": [group.value for group in each.groups],
                "findings": [
                    {
                        "severity": str(finding.severity),
                        "check": finding.group.value,
                        "host": finding.host,
                        "subject": finding.subject,
                        "evidence": finding.evidence,
                        "remedy": finding.remedy,
                        **({"diff": finding.diff} if finding.diff else {}),
                        "key": finding.key,
                    }
                    for finding in each.findings
                ],
            }
            for each in audits
        },
    }


def known_keys(report: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return cluster and key of each finding in an earlier audit's JSON.

    Raises LookupError, TypeError or AttributeError when it is none.
    """
    return {
        (cluster, finding["key"])
        for cluster, each in report["clusters"].items()
        for finding in each["findings"]
    }


def audit_junit(audits: Sequence[Audit]) -> bytes:
    """Return JUnit XML: a suite a host, a testcase a check; findings above info fail it."""
    return junit_document(
        "kubenorn audit", (_suite(each, host) for each in audits for host in (*each.hosts, ""))
    )


def _suite(audit: Audit, host: str) -> TestSuite:
    name = f"{audit.cluster}.{host}" if host else audit.cluster
    cases = []
    for group in audit.groups:
        bad = [
            f"{finding.severity}: {finding.subject} {finding.evidence}"
            for finding in audit.serious
            if finding.host == host and finding.group is group
        ]
        if host in audit.silent:
            bad.append("the host gave no answer, so this was not looked at")
        cases.append(checked_case(name, "audit", group.value, not bad, "\n".join(bad)))
    suite = TestSuite(name)
    suite.add_testcases(cases)
    return suite


def audit_html(audits: Sequence[Audit], at: datetime) -> str:
    """Return one self-contained page, for screens and paper."""
    return render_page("audit.html.j2", {"audits": audits, "at": at})


def audit_prometheus(audits: Sequence[Audit], contexts: Sequence[AuditContext]) -> bytes:
    """Return metrics for node-exporter's textfile collector: findings, VIP holders, leaders, certificates' days."""
    families = [
        ("kubenorn_audit_findings", "Findings by severity.", _finding_counts(audits)),
        ("kubenorn_vip_holders", "Hosts that have the VIP.", _holders(contexts)),
        ("kubenorn_leader", "1 for the host that leads a component.", _leaders(contexts)),
        ("kubenorn_certificate_days_left", "Days until a certificate ends.", _days(contexts)),
    ]
    lines = []
    for name, meaning, samples in families:
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        for labels, value in samples:
            shown = ",".join(f'{label}="{_label(text)}"' for label, text in labels.items())
            lines.append(f"{name}{{{shown}}} {value}")
    return ("\n".join(lines) + "\n").encode()


_Samples = Iterator[tuple[dict[str, str], str]]


def _finding_counts(audits: Sequence[Audit]) -> _Samples:
    for each in audits:
        for severity in Severity:
            count = sum(finding.severity is severity for finding in each.findings)
            yield {"cluster": each.cluster, "severity": str(severity)}, str(count)


def _holders(contexts: Sequence[AuditContext]) -> _Samples:
    for each in contexts:
        yield {"cluster": each.cluster.name}, str(len(each.verification.vip_holders))


def _leaders(contexts: Sequence[AuditContext]) -> _Samples:
    for each in contexts:
        for leader in each.verification.leaders:
            holder = leader.host or leader.holder
            yield {"cluster": each.cluster.name, "component": leader.component, "host": holder}, "1"


def _days(contexts: Sequence[AuditContext]) -> _Samples:
    for each in contexts:
        for (host, path), left in sorted(days_left(each.hosts, each.now).items()):
            yield {"cluster": each.cluster.name, "host": host, "path": path}, f"{left:.2f}"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
