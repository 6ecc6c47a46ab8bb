"""Checks of the audit that faults on real hosts do not reach, or reach only slowly."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubenorn.audit import services as service_checks
from kubenorn.audit.certificates import certificates
from kubenorn.audit.collected import EtcdMember, KubeconfigSeen, load_certificates
from kubenorn.audit.finding import Severity
from kubenorn.audit.host import hosts
from kubenorn.audit.members import etcd, leaders
from kubenorn.audit.skew import build_version, skew
from kubenorn.audit.vip import vip
from kubenorn.audit.wire import wire
from kubenorn.components import components
from kubenorn.evidence import HttpAnswer
from tests.unit.audit.test_findings import context, right

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)


def with_versions(**versions: tuple[str, str, str]) -> Any:
    """Return a context in which components of m1, m2 and m3 run in these versions."""
    found = context(*right())
    for index, host in enumerate(found.hosts.values()):
        answer = SimpleNamespace(
            status=200, json=lambda index=index: {"gitVersion": versions["server"][index]}
        )
        host.evidence.http["version-kube-apiserver"] = answer
        for key, component in (("manager", "kube-controller-manager"), ("scheduler", "kube-scheduler")):
            version = versions.get(key, versions["server"])[index]
            text = f'kubernetes_build_info{{gitVersion="{version}",major="1"}} 1\n'
            host.evidence.http[f"metrics-{component}"] = HttpAnswer(200, 0.0, 0, text.encode(), "")
    return found


@pytest.mark.parametrize(
    ("versions", "wanted"),
    [
        ({"server": ("v1.20.2",) * 3}, []),
        ({"server": ("v1.20.2", "v1.20.2", "v1.20.4")}, [("kube-apiserver", "warning")]),
        ({"server": ("v1.18.1", "v1.20.2", "v1.20.2")}, [("kube-apiserver", "error")]),
        ({"server": ("v1.20.2",) * 3, "manager": ("v1.19.9",) * 3}, []),
        ({"server": ("v1.20.2",) * 3, "manager": ("v1.21.0",) * 3}, [("kube-controller-manager", "error")]),
        ({"server": ("v1.20.2",) * 3, "scheduler": ("v1.18.0",) * 3}, [("kube-scheduler", "error")]),
    ],
)
def test_the_version_skew_policy(
    versions: dict[str, tuple[str, str, str]], wanted: list[tuple[str, str]]
) -> None:
    found = {
        (each.subject, str(each.severity))
        for each in skew(with_versions(**versions))
        if each.subject in {subject for subject, _ in wanted} or not wanted
    }
    assert found == set(wanted)


def test_the_version_in_a_metric() -> None:
    old = 'kubernetes_build_info{buildDate="x",gitVersion="v1.12.3",goVersion="go1.10"} 1'
    assert build_version(f"# HELP\n{old}\n") == "1.12.3"
    assert build_version('kubernetes_build_info{git_version="v1.22.0"} 1') == "1.22.0"
    assert build_version("") == ""


def signed(
    name: str, issuer: tuple[str, Any], *, usage: Any = None, days: int = 300, authority: bool = False
) -> tuple[str, Any]:
    """Return a certificate, PEM with lines ended by |, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_name, issuer_key = issuer
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        key.public_key(),
        x509.random_serial_number(),
        NOW - timedelta(days=1),
        NOW + timedelta(days=days),
    ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    pem = builder.sign(issuer_key or key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return pem.decode().replace("\n", "|"), key


def of_one_host(*lines: str) -> list[str]:
    """Return what is found about the certificates of m1."""
    return [each.evidence for each in certificates(context(right()[0], more={"m1": lines}))]


def test_a_certificate_of_a_ca_that_is_on_no_host() -> None:
    ca, ca_key = signed("ca", ("ca", None), authority=True)
    good, _ = signed("good", ("ca", ca_key))
    stranger, _ = signed("stranger", ("other", ec.generate_private_key(ec.SECP256R1())))
    twin, _ = signed("twin", ("ca", ec.generate_private_key(ec.SECP256R1())))
    found = of_one_host(
        f"certificate\t/ca.pem\t{ca}",
        f"certificate\t/good.pem\t{good}",
        f"certificate\t/stranger.pem\t{stranger}",
        f"certificate\t/twin.pem\t{twin}",
    )
    assert found == ["is signed by CN=other, which is on no host", "is not signed by CN=ca as it stands here"]


def test_a_certificate_that_is_for_something_else() -> None:
    ca, ca_key = signed("ca", ("ca", None), authority=True)
    client, _ = signed("c", ("ca", ca_key), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    server, _ = signed("s", ("ca", ca_key), usage=ExtendedKeyUsageOID.SERVER_AUTH)
    found = of_one_host(
        f"certificate\t/ca.pem\t{ca}",
        f"certificate\t/c.pem\t{client}",
        f"certificate\t/s.pem\t{server}",
        "argument\t7\t--kubelet-client-certificate=/s.pem",
        "argument\t7\t--proxy-client-cert-file",
        "argument\t7\t/c.pem",
    )
    assert found == ["kube-apiserver --kubelet-client-certificate has it, and it is not for clients"]


def test_what_is_served_and_about_to_end() -> None:
    pem, _ = signed(
        "apiserver-loopback-client-ca", ("apiserver-loopback-client-ca", None), days=3, authority=True
    )
    lines = (f"served\t/run/x/kube-apiserver-loopback\t{pem}",)
    found = [each.evidence for each in wire(context(right()[0], more={"m1": lines}))]
    assert found == ["its in-memory loopback certificate ends in 3 days, 2026-11-24"]


def test_who_is_met_through_the_vip() -> None:
    own = {
        name: signed(name, ("ca", ec.generate_private_key(ec.SECP256R1())))[0] for name in ("m1", "m2", "m3")
    }
    stranger, _ = signed("stranger", ("ca", ec.generate_private_key(ec.SECP256R1())))

    def met(by_m3: str) -> list[str]:
        more = {
            name: (
                f"served\t/run/x/kube-apiserver\t{pem}",
                f"served\t/run/x/through-the-vip\t{by_m3 if name == 'm3' else own['m1']}",
            )
            for name, pem in own.items()
        }
        return [f"{f.host}: {f.evidence}" for f in wire(context(*right(), more=more))]

    assert met(own["m2"]) == []
    assert met(stranger) == [
        "m3: is met with the certificate CN=stranger, which no master's kube-apiserver serves"
    ]


def test_members_that_are_no_masters_and_masters_that_are_no_members() -> None:
    found = context(*right())
    listed = (
        EtcdMember("m1", ("https://192.168.80.7:2380",), False),
        EtcdMember("", ("https://192.168.80.8:2380",), False),
        EtcdMember("old", ("https://192.168.80.99:2380",), True),
    )
    object.__setattr__(found.hosts["m1"].collected, "members", listed)
    told = [(each.host, each.evidence) for each in etcd(found) if each.subject == "members"]
    assert told == [
        ("", "the member at https://192.168.80.8:2380 was added and never started: it counts for the quorum"),
        ("", "old is a member and none of the masters: it counts for the quorum"),
        ("", "old is a learner: it does not vote"),
        ("m3", "is no member of etcd"),
    ]


def test_a_member_that_is_cut_off_from_the_others() -> None:
    found = context(*right())
    for index, (name, host) in enumerate(found.hosts.items()):
        header = {"cluster_id": 1, "member_id": index + 1, "revision": 5}
        host.evidence.etcd_status = {"header": header, "leader": 0 if name == "m3" else 1, "dbSize": 0}
    told = [(each.host, each.evidence) for each in etcd(found) if each.subject == "etcd"]
    assert told == [("m3", "knows no leader, which others do: it is cut off from the other members")]


@pytest.mark.parametrize(
    ("status", "is_told"),
    [
        ("UP", False),
        ("DOWN 1/2", False),
        ("no check", False),
        ("DOWN", True),
        ("MAINT", True),
        ("DRAIN", True),
    ],
)
def test_a_kube_apiserver_that_haproxy_leaves_out(
    monkeypatch: pytest.MonkeyPatch, status: str, is_told: bool
) -> None:
    monkeypatch.setattr(service_checks, "unwell_on", lambda *_: SimpleNamespace(said={}))
    monkeypatch.setattr(service_checks, "backend_states", lambda _: {"m1": "UP", "m2": status})
    told = [each.evidence for each in service_checks._backends(context(*right()))]
    assert bool(told) == is_told


def test_a_certificate_whose_extensions_make_no_sense_is_none_that_can_be_read() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=900))
    odd = builder.add_extension(
        # An iPAddress of five bytes (RFC 5280, 4.2.1.6 has four or sixteen).
        x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("300787050102030405")),
        False,
    ).sign(key, hashes.SHA256())
    assert load_certificates(odd.public_bytes(serialization.Encoding.PEM)) == ()


def test_two_that_say_they_lead() -> None:
    found = context(*right())
    for name in ("m1", "m3"):
        status = 'leader_election_master_status{name="kube-scheduler"} 1\n'
        answer = HttpAnswer(200, 0.0, 0, status.encode(), "")
        found.hosts[name].evidence.http["metrics-kube-scheduler"] = answer
    critical = [each for each in leaders(found) if each.severity is Severity.CRITICAL]
    assert [each.evidence for each in critical] == [
        "m1 and m3 all say they lead: they undo each other's work"
    ]


def test_one_that_works_without_being_elected() -> None:
    lines = (
        "process\tkube-scheduler\t9\t1\t/system.slice/kube-scheduler.service\t/usr/local/bin/kube-scheduler",
        "argument\t9\t/usr/local/bin/kube-scheduler",
        "argument\t9\t--leader-elect=false",
    )
    critical = [
        each for each in leaders(context(*right(), more={"m2": lines})) if each.severity is Severity.CRITICAL
    ]
    assert [each.evidence for each in critical] == [
        "works on m2 without being elected (--leader-elect=false)"
    ]


@pytest.mark.parametrize(
    ("neighbour", "evidence"),
    [
        ("aa:aa:aa:aa:aa:00", None),
        ("00:00:5e:00:01:44", None),
        ("aa:aa:aa:aa:aa:02", "that card is m3's, and m1 holds it"),
        ("de:ad:be:ef:00:01", "that card is none of the masters', and m1 holds it"),
    ],
)
def test_who_answers_for_the_vip(neighbour: str, evidence: str | None) -> None:
    lines = {"m2": (f"neighbour\tens192\t{neighbour}",)}
    found = [each for each in vip(context(*right(), more=lines)) if each.severity]
    assert [each.evidence.partition("; ")[2] for each in found] == ([evidence] if evidence else [])


def test_clocks_that_agree_with_each_other_and_not_with_this_machine() -> None:
    found = context(*right())
    for host in found.hosts.values():
        host.observed.clock = NOW + timedelta(minutes=10)
        host.observed.system, host.observed.kernel = "debian 12", "6.1"
    (only,) = (each for each in hosts(found) if each.subject == "clock")
    assert (only.host, only.evidence) == ("", "all hosts agree, and are 600 s ahead of this machine's clock")


@pytest.mark.parametrize(
    ("flag", "more", "stale"),
    [
        ("encryption-provider-config", (), True),
        ("encryption-provider-config", ("--encryption-provider-config-automatic-reload=true",), False),
        ("authorization-config", (), False),
        ("audit-policy-file", (), True),
    ],
)
def test_a_file_that_is_younger_than_the_process_that_read_it_once(
    flag: str, more: tuple[str, ...], stale: bool
) -> None:
    start, changed = NOW - timedelta(hours=1), (NOW - timedelta(minutes=10)).timestamp()
    said = (
        "unit\tId=kube-apiserver.service",
        f"unit\tExecMainStartTimestamp={start:%a %Y-%m-%d %H:%M:%S.%f} UTC",
        "unit\t",
        f"argument\t7\t--{flag}=/etc/kubernetes/given.yaml",
        *(f"argument\t7\t{word}" for word in more),
        f"file\t600\troot\troot\t{changed}\tf\t/etc/kubernetes/given.yaml",
    )
    found = context(right()[0], more={"m1": said})
    host = found.hosts["m1"]
    (component,) = (each for each in components(found.cluster) if each.name == "kube-apiserver")
    process = host.collected.processes["kube-apiserver"]
    told = list(service_checks._stale("m1", host, component, process))
    assert bool(told) is stale


def test_a_kubeconfig_without_tls() -> None:
    found = context(right()[0])
    seen = {"/etc/kubernetes/scheduler.conf": KubeconfigSeen("http://127.0.0.1:8080", b"", b"")}
    object.__setattr__(found.hosts["m1"].collected, "kubeconfigs", seen)
    assert [each.evidence for each in certificates(found)] == ["asks http://127.0.0.1:8080, without TLS"]
