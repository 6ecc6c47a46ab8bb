"""Single checks of the audit, on what hosts might say. The whole is tested on real hosts."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from kubenorn.audit.audit import Audit
from kubenorn.audit.collected import Collected
from kubenorn.audit.context import HostAudit
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.audit.fleet import equality
from kubenorn.audit.given_files import given_files
from kubenorn.audit.parse import parse_collected
from kubenorn.audit.report import audit_html, audit_json, audit_junit, audit_prometheus, known_keys
from kubenorn.audit.tables import audit_tables
from kubenorn.audit.vip import read_keepalived, vip
from kubenorn.errors import HostsWrongError
from kubenorn.evidence import Evidence
from tests.unit.builders import a_cluster

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def keepalived(
    priority: int = 250, peers: str = "192.168.80.8 192.168.80.9", own: str = "192.168.80.7"
) -> str:
    listed = "\n        ".join(peers.split())
    return f"""
vrrp_instance production {{
    nopreempt
    version 3
    interface ens192   # the first
    virtual_router_id 68
    priority {priority}
    advert_int 0.2
    unicast_src_ip {own}
    unicast_peer {{
        {listed}
    }}
    track_script {{
        check weight 0
    }}
}}
"""


def collected(*lines: str, conf: str = "") -> Collected:
    start = "{ path=/usr/local/bin/etcd ; argv[]=/usr/local/bin/etcd --name=m1 ; ignore_errors=no ; }"
    said = [
        "audit\t2",
        "openssl",
        "process\tetcd\t41\t1\t/system.slice/etcd.service\t/usr/local/bin/etcd (deleted)",
        "process\tetcd\t42\t41\t/system.slice/etcd.service\t/usr/local/bin/etcd",
        "argument\t41\t/usr/local/bin/etcd",
        "argument\t41\t--name=m1",
        "argument\t41\t--data-dir",
        "argument\t41\t/var/lib/etcd",
        "argument\t41\t--quiet",
        "variable\t41\tETCD_CERT_FILE=/etc/etcd/server.pem",
        "variable\t41\tETCD_NAME=other",
        "unit\tId=etcd.service",
        f"unit\tExecStart={start}",
        "unit\tFragmentPath=/etc/systemd/system/etcd.service",
        "unit\t",
        "usage\t/\t96\t7",
        "usage\t/boot\t-\t-",
        f"keepalived\t/etc/keepalived/keepalived.conf\tabc\t{encoded(conf)}",
        *lines,
        "end",
    ]
    return parse_collected("\n".join(said))


def test_what_a_host_said_is_parsed() -> None:
    seen = collected(
        "file\t644\troot\troot\t1795246589.5\tf\t/etc/kubernetes/pki/ca-key.pem",
        "sha256\tabc\t/etc/kubernetes/pki/ca-key.pem",
        "swap\t/dev/sda2",
        "reboot",
        "journal\tetcd\t3\t1795246589.5\t{level: error}",
        "neighbour\teth0\tAA:bb:cc:dd:ee:ff",
    )
    etcd = seen.processes["etcd"]
    assert (etcd.pid, etcd.unit, etcd.others) == (41, "etcd", ())
    assert etcd.flags == {
        "cert-file": "/etc/etcd/server.pem",
        "name": "m1",
        "data-dir": "/var/lib/etcd",
        "quiet": "true",
    }
    assert seen.started_with["etcd"] == "/usr/local/bin/etcd --name=m1"
    assert seen.unit_files["etcd"] == ("/etc/systemd/system/etcd.service",)
    key = seen.files["/etc/kubernetes/pki/ca-key.pem"]
    assert (key.mode, key.owner, key.is_directory, key.sha256) == (0o644, "root", False, "abc")
    assert (seen.file_systems["/"].bytes_percent, seen.file_systems["/boot"].bytes_percent) == (96, 0)
    assert seen.swap == ("/dev/sda2",)
    assert seen.reboot_pending
    assert not seen.default_credentials
    assert seen.journal["etcd"].count == 3
    assert seen.vip_neighbours == {"aa:bb:cc:dd:ee:ff"}
    assert seen.members is None


def test_a_process_tells_its_unit_and_of_several_the_one_in_its_own_unit_counts() -> None:
    seen = collected(
        "process\tkube-apiserver\t8\t1\t/user.slice/user-0.slice/session-1.scope\t/root/kube-apiserver",
        "process\tkube-apiserver\t9\t1\t/system.slice/kube-apiserver.service\t/opt/kube-apiserver",
        "process\tkube-scheduler\t7\t1\t/kubepods/besteffort/podx/y\t/usr/bin/kube-scheduler",
        "process\tkube-controller-manager\t6\t1\t/system.slice/k8s-manager.service\t/opt/kube-controller-manager",
    )
    apiserver, scheduler = seen.processes["kube-apiserver"], seen.processes["kube-scheduler"]
    assert (apiserver.pid, apiserver.others) == (9, (8,))
    assert (scheduler.unit, scheduler.in_container) == ("", True)
    assert seen.unit_of("kube-controller-manager") == "k8s-manager"
    assert seen.unit_of("haproxy") == "haproxy"


@pytest.mark.parametrize("output", ["", "audit\t2\n", "audit\t3\nend\n", "audit\t2\nprocess\tetcd\nend\n"])
def test_what_makes_no_sense_is_refused(output: str) -> None:
    with pytest.raises(HostsWrongError, match="audit script"):
        parse_collected(output)


def test_keepalived_is_read() -> None:
    seen = read_keepalived(keepalived())
    assert (seen.priority, seen.router_id, seen.interface, seen.nopreempt) == ("250", "68", "ens192", True)
    assert seen.peers == {"192.168.80.8", "192.168.80.9"}
    assert read_keepalived("! nothing\n").peers == frozenset()


def context(
    *configurations: str,
    flags: tuple[str, ...] = (),
    more: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Any:
    names = ("m1", "m2", "m3")[: len(configurations)]
    cluster = a_cluster(names)
    hosts: dict[str, HostAudit] = {}
    for index, (name, conf) in enumerate(zip(names, configurations, strict=True)):
        own = f"192.168.80.{7 + index}"
        words = ["kube-apiserver", f"--advertise-address={own}", f"--etcd-servers=https://{own}:2379"]
        words += [flags[index]] if flags else []
        evidence: Any = SimpleNamespace(
            addresses=(("ens192", own),),
            http={},
            hostname=name,
            etcd_status=None,
            etcd_error="",
            units={},
            listeners=(),
            clock=NOW,
        )
        evidence.metrics = partial(Evidence.metrics, evidence)
        observed: Any = SimpleNamespace(units={}, files={}, listeners=(), clock=NOW)
        program = "process\tkube-apiserver\t7\t1\t/system.slice/kube-apiserver.service\t/usr/local/bin/kube-apiserver"
        said = collected(
            program,
            *(f"argument\t7\t{word}" for word in words),
            f"mac\tens192\taa:aa:aa:aa:aa:0{index}",
            *more.get(name, ()),
            conf=conf,
        )
        hosts[name] = HostAudit(observed, evidence, said, NOW, NOW)
    verification = SimpleNamespace(vip_holders=("m1",), leaders=(), whole=())
    return SimpleNamespace(
        cluster=cluster,
        hosts=hosts,
        missing={},
        complete=len(hosts) == len(cluster.masters),
        verification=verification,
        plans={},
        now=NOW,
    )


def right() -> list[str]:
    addresses = [f"192.168.80.{n}" for n in (7, 8, 9)]
    return [
        keepalived(250 - 10 * index, " ".join(a for a in addresses if a != own), own)
        for index, own in enumerate(addresses)
    ]


def test_keepalived_as_it_should_be_is_no_finding() -> None:
    assert list(vip(context(*right()))) == []


@pytest.mark.parametrize(
    ("change", "evidence"),
    [
        (("priority 240", "priority 250"), "priority 250 is m1's too"),
        (("        192.168.80.9\n", ""), "does not list m3 among its unicast_peer"),
        (("interface ens192", "interface eth9"), "interface eth9 does not exist"),
        (("weight 0", "\nweight -20"), "a weight does not move the VIP together with nopreempt"),
        (("virtual_router_id 68", "virtual_router_id 69"), "virtual_router_id differs: m1 68, m2 69, m3 68"),
    ],
)
def test_keepalived_that_is_wrong_on_one_host(change: tuple[str, str], evidence: str) -> None:
    configurations = right()
    configurations[1] = configurations[1].replace(*change)
    found = [finding.evidence for finding in vip(context(*configurations))]
    assert len(found) == 1
    assert evidence in found[0]


def test_a_forgotten_peer_is_found_without_a_source_address_too() -> None:
    configurations = [re.sub(r"unicast_src_ip .*", "", each) for each in right()]
    assert list(vip(context(*configurations))) == []
    configurations[1] = configurations[1].replace("        192.168.80.9\n", "")
    (found,) = vip(context(*configurations))
    assert "does not list m3 among its unicast_peer" in found.evidence


def test_a_file_that_a_component_was_given_and_that_is_gone() -> None:
    seen = "file\t640\troot\troot\t1.0\tf\t/etc/kubernetes/pki/ca.pem"
    flag = "argument\t7\t--{}"
    flags = [
        flag.format("client-ca-file=/etc/kubernetes/pki/ca.pem"),
        flag.format("encryption-provider-config=/etc/kubernetes/encryption.yaml"),
        flag.format("log-file=/var/log/it"),
        flag.format("audit-log-path=/var/log/audit"),
    ]
    found = context(*right(), more={"m1": (*flags, seen)})
    told = [
        (each.subject, each.evidence.partition(",")[0])
        for each in given_files("m1", found.hosts["m1"])
        if "kube-apiserver has it" in each.evidence
    ]
    assert told == [
        ("/etc/kubernetes/pki/ca.pem", "holds no certificate"),
        ("/etc/kubernetes/encryption.yaml", "does not exist any more"),
    ]


def test_a_flag_that_differs_on_one_master_is_found_and_own_addresses_are_not() -> None:
    flags = ("--event-ttl=1h", "--event-ttl=2h", "--event-ttl=1h")
    found = list(equality(context(*right(), flags=flags)))
    assert [(f.host, f.subject, f.evidence) for f in found] == [
        ("m2", "kube-apiserver --event-ttl", "is 2h, the others' is 1h")
    ]


def test_a_clock_is_only_wrong_outside_of_what_was_measured() -> None:
    def skew(clock: datetime) -> timedelta:
        observed: Any = SimpleNamespace(clock=clock)
        nothing: Any = None
        return HostAudit(observed, nothing, nothing, NOW, NOW + timedelta(seconds=3)).clock_skew

    assert skew(NOW + timedelta(seconds=2)) == timedelta()
    assert skew(NOW - timedelta(seconds=5)) == timedelta(seconds=-5)
    assert skew(NOW + timedelta(seconds=10)) == timedelta(seconds=7)


FINDING = Finding(Severity.ERROR, Group.PORTS, "m1", "port 8080", "<b>python3</b> listens", "close it")
INFO = Finding(Severity.INFO, Group.HOST, "m1", "reboot", "waits", "reboot")


def an_audit(*findings: Finding) -> Audit:
    return Audit("production", ("m1", "m2"), (Group.PORTS, Group.HOST), findings)


def test_reports_tell_the_same() -> None:
    found = an_audit(FINDING, INFO)
    assert found.worst is Severity.ERROR
    assert known_keys(json.loads(json.dumps(audit_json([found], NOW)))) == {
        ("production", FINDING.key),
        ("production", INFO.key),
    }
    junit = ElementTree.fromstring(audit_junit([found]))
    assert (junit.get("tests"), junit.get("failures")) == ("6", "1")
    page = audit_html([found], NOW)
    assert "&lt;b&gt;python3" in page
    metrics = audit_prometheus([found], [context(*right())]).decode()
    assert 'kubenorn_audit_findings{cluster="production",severity="error"} 1' in metrics
    assert 'kubenorn_vip_holders{cluster="production"} 1' in metrics


def test_the_same_on_several_hosts_is_told_once() -> None:
    found = an_audit(FINDING, replace(FINDING, host="m2"), INFO)
    assert [hosts for hosts, _ in found.merged] == [("m1", "m2"), ("m1",)]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits(columns: int) -> None:
    whole = Audit("production", ("k8s-master1", "k8s-master2"), tuple(Group), (FINDING, INFO))
    printing = Console(width=columns)
    with printing.capture() as text:
        printing.print(audit_tables(whole, infos=False))
    assert max(map(len, text.get().splitlines())) <= columns
    assert "1 more that are only good to know" in text.get()
