"""The audit on real hosts: nothing on a clean cluster, and every fault that is planted."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from junitparser import JUnitXml

from lab.lab import Lab
from lab.tools import wait_for
from tests.lab.controller import Controller, Ran
from tests.lab.hosts import all_ready, all_used, everywhere, log_ssh_sessions, snapshot, vip_holders

PKI = "/etc/kubernetes/pki"
KEEPALIVED = "/etc/keepalived/keepalived.conf"
SCHEDULER_UNIT = "/etc/systemd/system/kube-scheduler.service"
SERVED = {
    "kube-apiserver",
    "kube-apiserver-loopback",
    "through-the-vip",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
    "etcd-peer",
}
Found = set[tuple[str, str, str]]
"""Check, host and subject of findings above info."""


@pytest.fixture(scope="module", autouse=True)
def peace(cluster: Controller) -> Iterator[None]:
    """Begin and end with a cluster that is as desired."""
    assert cluster.deploy().status == 0
    yield
    assert cluster.deploy().status == 0


def audited(cluster: Controller, folder: Path, *arguments: str) -> tuple[Ran, Found, list[dict[str, Any]]]:
    """Audit all masters; return how it ended, what it found above info, and all of it."""
    report = folder / "audit.json"
    ran = cluster.runbook("audit", "--filter", "role=master", "--json", str(report), *arguments)
    (found,) = json.loads(report.read_text())["clusters"].values()
    findings: list[dict[str, Any]] = found["findings"]
    above = {(f["check"], f["host"], f["subject"]) for f in findings if f["severity"] != "info"}
    return ran, above, findings


@contextmanager
def kept(lab: Lab, host: str, path: str) -> Iterator[None]:
    """Put a file back as it was, its time included, when the block ends."""
    lab.run(host, f"cp -a {path} /root/kept")
    try:
        yield
    finally:
        lab.run(host, f"mv /root/kept {path}")


@dataclass(frozen=True)
class Fault:
    """A fault on m2: what plants it, what takes it away, and what must be found."""

    name: str
    plant: str
    wanted: tuple[str, str]
    """Check and subject."""
    mend: str = ""
    kept: str = ""
    """A file that is put back afterwards."""
    also: tuple[tuple[str, str], ...] = ()
    """What else is told of it."""
    host: str = "m2"


FAULTS = [
    Fault(
        "swapped key",
        f"cat {PKI}/front-proxy-client-key.pem >{PKI}/kube-apiserver-kubelet-client-key.pem",
        ("certificates", f"{PKI}/kube-apiserver-kubelet-client-key.pem"),
        kept=f"{PKI}/kube-apiserver-kubelet-client-key.pem",
    ),
    Fault(
        "kubeconfig of another CA",
        f'other=$(base64 -w0 {PKI}/front-proxy-ca.pem); sed -i "s/\\(certificate-authority-data: \\).*/\\1$other/" '
        "/etc/kubernetes/kube-scheduler.kubeconfig",
        ("certificates", "/etc/kubernetes/kube-scheduler.kubeconfig"),
        kept="/etc/kubernetes/kube-scheduler.kubeconfig",
    ),
    Fault(
        "duplicate VRRP priority",
        f"sed -i 's/priority 240/priority 250/' {KEEPALIVED}",
        ("vip", KEEPALIVED),
        kept=KEEPALIVED,
    ),
    Fault(
        "peer list asymmetric",
        f"sed -i '/unicast_peer/{{n;d}}' {KEEPALIVED}",
        ("vip", KEEPALIVED),
        kept=KEEPALIVED,
    ),
    Fault(
        "unit edited by hand",
        f"echo '# by hand' >>{SCHEDULER_UNIT}; systemctl daemon-reload",
        ("drift", SCHEDULER_UNIT),
        kept=SCHEDULER_UNIT,
        mend="systemctl daemon-reload",
    ),
    Fault(
        "process started with another flag",
        "mkdir -p /run/systemd/system/kube-scheduler.service.d; line=$(grep -A99 ^ExecStart= "
        f"{SCHEDULER_UNIT} | sed -n '/ExecStart=/,/[^\\\\]$/p'); "
        "printf '[Service]\\nExecStart=\\n%s --v=3\\n' \"$line\" "
        ">/run/systemd/system/kube-scheduler.service.d/x.conf; "
        "systemctl daemon-reload; systemctl restart kube-scheduler; "
        "rm -r /run/systemd/system/kube-scheduler.service.d; systemctl daemon-reload",
        ("services", "kube-scheduler"),
        mend="systemctl restart kube-scheduler",
    ),
    Fault(
        "key file 0644",
        f"chmod 0644 {PKI}/kube-apiserver-key.pem",
        ("exposure", f"{PKI}/kube-apiserver-key.pem"),
        mend=f"chmod 0600 {PKI}/kube-apiserver-key.pem",
    ),
    Fault(
        "another encryption key",
        "sed -i 's/secret: ..../secret: AAAA/' /etc/kubernetes/encryption-configuration.yaml",
        ("equality", "/etc/kubernetes/encryption-configuration.yaml"),
        kept="/etc/kubernetes/encryption-configuration.yaml",
    ),
    Fault(
        "a file it was given is gone",
        "rm /etc/kubernetes/encryption-configuration.yaml",
        ("services", "/etc/kubernetes/encryption-configuration.yaml"),
        kept="/etc/kubernetes/encryption-configuration.yaml",
    ),
    Fault(
        "scheduler stopped",
        "systemctl stop kube-scheduler",
        ("services", "kube-scheduler"),
        mend="systemctl start kube-scheduler",
    ),
    Fault(
        "etcd member stopped",
        "systemctl stop etcd; sleep 8",
        ("services", "etcd"),
        mend="systemctl start etcd; sleep 8",
    ),
    Fault(
        "port 8080 opened by another process",
        "systemd-run -q --unit=squatter python3 -m http.server 8080; sleep 0.5",
        ("ports", "port 8080"),
        mend="systemctl stop squatter",
    ),
    Fault(
        "clock skew",
        'printf \'#!/bin/sh\\nexec /usr/bin/date -d "+10 minutes" "$@"\\n\' >/usr/local/sbin/date; '
        "chmod 755 /usr/local/sbin/date",
        ("host", "clock"),
        mend="rm /usr/local/sbin/date",
    ),
    Fault(
        "full disk",
        "mount -t tmpfs -o size=64k tmpfs /var/log/kubernetes; cat /dev/zero >/var/log/kubernetes/full || true",
        ("host", "/var/log/kubernetes"),
        mend="umount -l /var/log/kubernetes",
    ),
    Fault(
        "binary replaced",
        "cp -a /usr/local/bin/kube-scheduler /root/other; echo >>/root/other; "
        "mv /root/other /usr/local/bin/kube-scheduler",
        ("equality", "/usr/local/bin/kube-scheduler"),
        kept="/usr/local/bin/kube-scheduler",
        mend="systemctl restart kube-scheduler",
    ),
    Fault(
        "kube-apiserver flag differing on one master",
        "sed -i 's/--event-ttl=[^ ]*//; s/^ExecStart=\\([^ ]*\\)/ExecStart=\\1 --event-ttl=2h/' "
        "/etc/systemd/system/kube-apiserver.service; systemctl daemon-reload; "
        "systemctl restart kube-apiserver; sleep 8",
        ("equality", "kube-apiserver --event-ttl"),
        kept="/etc/systemd/system/kube-apiserver.service",
        mend="systemctl daemon-reload; systemctl restart kube-apiserver; sleep 8",
        also=(("drift", "/etc/systemd/system/kube-apiserver.service"),),
    ),
]


def test_a_clean_cluster_has_no_finding_and_is_not_touched(cluster: Controller, tmp_path: Path) -> None:
    before = snapshot(cluster.lab)
    ran, found, _ = audited(
        cluster, tmp_path, "--junit", str(tmp_path / "a.xml"), "--prom", str(tmp_path / "a.prom")
    )
    assert found == set(), ran.stdout
    assert ran.status == 0
    assert snapshot(cluster.lab) == before
    assert JUnitXml.fromfile(str(tmp_path / "a.xml")).failures == 0
    metrics = (tmp_path / "a.prom").read_text()
    assert 'kubenorn_vip_holders{cluster="test"} 1' in metrics
    assert metrics.count("kubenorn_certificate_days_left{") >= 30
    assert served_in(metrics) == {host.name: SERVED for host in cluster.lab.hosts}


def served_in(metrics: str) -> dict[str, set[str]]:
    """Return by host the endpoints whose certificate was met."""
    met: dict[str, set[str]] = {}
    for host, endpoint in re.findall(r'days_left\{.*?host="(.+?)",path="served:(.+?)"', metrics):
        met.setdefault(host, set()).add(endpoint)
    return met


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_planted_fault_is_found_and_nothing_else(cluster: Controller, tmp_path: Path, fault: Fault) -> None:
    lab = cluster.lab
    with ExitStack() as stack:
        if fault.mend:
            stack.callback(lab.run, fault.host, fault.mend)
        if fault.kept:
            stack.enter_context(kept(lab, fault.host, fault.kept))
        lab.run(fault.host, fault.plant)
        ran, found, findings = audited(cluster, tmp_path)
    assert wait_for(lambda: all_ready(lab) and all_used(lab), seconds=150)
    wanted = (fault.wanted[0], fault.host, fault.wanted[1])
    assert wanted in found, ran.stdout
    also = {(check, fault.host, subject) for check, subject in fault.also}
    assert found - {wanted} == also, ran.stdout
    assert ran.status == 1
    assert all(finding["remedy"] for finding in findings)


def reissued(lab: Lab, host: str, path: str, *, days: int, without: str = "") -> bytes:
    """Return a host's certificate issued anew by the cluster's CA: for `days`, `without` one of its names."""
    pem = lab.run(host, f"cat {path}").stdout.encode()
    old = x509.load_pem_x509_certificate(pem)
    folder = lab.folder / "artifacts" / lab.facts.name / "pki"
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    key: Any = serialization.load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        authority.subject,
        old.subject,
        old.public_key(),
        x509.random_serial_number(),
        now,
        now + timedelta(days=days),
    )
    for extension in old.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            value = x509.SubjectAlternativeName([name for name in value if str(name.value) != without])
        builder = builder.add_extension(value, extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("name", "days", "without", "wanted"),
    [
        ("kube-apiserver-kubelet-client", 5, "", {("certificates", "{path}")}),
        ("kube-apiserver", 300, "VIP", {("certificates", "{path}"), ("certificates", "kube-apiserver")}),
        ("kube-scheduler-serving", 300, "", {("certificates", "kube-scheduler")}),
    ],
    ids=["expiring-in-5-days", "without-the-VIP", "renewed-and-not-loaded"],
)
def test_certificates(
    cluster: Controller, tmp_path: Path, name: str, days: int, without: str, wanted: set[tuple[str, str]]
) -> None:
    lab, path = cluster.lab, f"{PKI}/{name}.pem"
    pem = reissued(lab, "m2", path, days=days, without=lab.vip if without else "")
    with kept(lab, "m2", path):
        lab.run("m2", f"cat >{path}", input=pem.decode())
        ran, found, _ = audited(cluster, tmp_path)
    assert found == {(check, "m2", subject.format(path=path)) for check, subject in wanted}, ran.stdout


def test_the_vip_on_a_second_host(cluster: Controller, tmp_path: Path) -> None:
    lab = cluster.lab
    other = next(host.name for host in lab.hosts if host.name not in vip_holders(lab))
    lab.run(other, f"ip addr add {lab.vip}/32 dev lo")
    try:
        ran, found, findings = audited(cluster, tmp_path)
    finally:
        lab.run(other, f"ip addr del {lab.vip}/32 dev lo")
    assert found == {("vip", "", "VIP")}, ran.stdout
    assert findings[0]["severity"] == "critical"
    assert other in findings[0]["evidence"]


def test_an_alarm_of_etcd(cluster: Controller, tmp_path: Path) -> None:
    lab = cluster.lab
    client = f"--cacert {PKI}/etcd-ca.pem --cert {PKI}/etcd-health-check-client.pem"
    client += f" --key {PKI}/etcd-health-check-client-key.pem"
    alarm = "https://127.0.0.1:2379/v3/maintenance/alarm"
    lab.run("m1", f'curl -sS {client} {alarm} -d \'{{"action":"ACTIVATE","memberID":0,"alarm":"NOSPACE"}}\'')
    try:
        ran, found, _ = audited(cluster, tmp_path, "--check", "etcd")
    finally:
        lab.run("m1", f"ETCDCTL_API=3 etcdctl {client} alarm disarm")
    assert found == {("etcd", "", "alarm")}, ran.stdout
    assert wait_for(lambda: not audited(cluster, tmp_path)[1], seconds=30)


def test_a_host_that_does_not_answer_is_a_finding_and_hides_no_other(
    cluster: Controller, tmp_path: Path
) -> None:
    config = cluster.inventory(tmp_path / "inventory", {"hosts.m3.port": 2})
    lab = cluster.lab
    lab.run("m2", f"chmod 0644 {PKI}/kube-apiserver-key.pem")
    try:
        report = tmp_path / "a.json"
        ran = cluster.runbook("audit", "--filter", "role=master", "--json", str(report), config=config)
    finally:
        lab.run("m2", f"chmod 0600 {PKI}/kube-apiserver-key.pem")
    (found,) = json.loads(report.read_text())["clusters"].values()
    seen = {(f["check"], f["host"]) for f in found["findings"] if f["severity"] != "info"}
    assert {("host", "m3"), ("exposure", "m2")} <= seen
    assert ran.status == 1


def test_a_baseline_leaves_what_is_new(cluster: Controller, tmp_path: Path) -> None:
    lab = cluster.lab
    everywhere(lab, f"chmod 0640 {PKI}/kube-apiserver-key.pem")
    try:
        _, first, _ = audited(cluster, tmp_path)
        (tmp_path / "audit.json").rename(tmp_path / "before.json")
        lab.run("m1", f"chmod 0644 {PKI}/ca-key.pem")
        ran, found, _ = audited(cluster, tmp_path, "--baseline", str(tmp_path / "before.json"))
    finally:
        everywhere(lab, f"chmod 0600 {PKI}/kube-apiserver-key.pem {PKI}/ca-key.pem")
    assert len(first) == 3
    assert found == {("exposure", "m1", f"{PKI}/ca-key.pem")}, ran.stdout
    assert audited(cluster, tmp_path, "--skip", "exposure")[0].status == 0


def test_each_host_is_asked_once_over_one_connection(cluster: Controller, tmp_path: Path) -> None:
    """sshd's own log counts; how long it takes is for the benchmark (`make bench`)."""
    lab = cluster.lab
    log_ssh_sessions(lab)
    mark = everywhere(lab, "date +%s.%N")
    assert audited(cluster, tmp_path)[0].status == 0
    for host, since in mark.items():
        log = lab.run(host, f"journalctl -u ssh --since=@{since.strip()} -o cat").stdout.splitlines()
        # The test's own look has a connection and a channel, too.
        assert sum("Accepted publickey" in line for line in log) == 2, log
        assert sum("Starting session: command" in line for line in log) == 2, log
