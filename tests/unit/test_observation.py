"""What probe and verify script of real hosts answered, parsed; and answers that make no sense."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenorn.errors import HostsWrongError
from kubenorn.evidence import Evidence, parse_evidence
from kubenorn.observed import parse_probe
from kubenorn.records import (
    ListeningSocket,
    is_process,
    parse_listener,
    parse_timestamp,
    parse_units,
    records,
)
from tests.unit.builders import path

CAPTURED = Path(__file__).parent / "captured"
"""Of a lab's hosts with Kubernetes 1.20.2, long answers left out."""


def captured(name: str) -> str:
    return (CAPTURED / f"{name}.txt").read_text(encoding="utf-8")


PROBE, VERIFY = captured("probe-m1"), captured("verify-m1")


def test_a_real_probe() -> None:
    host = parse_probe(PROBE)
    assert (host.machine, host.hostname, host.init, host.system) == ("x86_64", "m1", "systemd", "debian 12")
    assert host.package_manager == "apt-get"
    assert host.users == {"etcd"}
    assert host.interface_of(IPv4Address("198.18.80.11")) == "host0"
    assert host.interface_of(IPv4Address("198.18.80.99")) is None
    assert host.disks.keys() == {"/", "/tmp"}
    assert min(host.disks.values()) > 1 << 20
    assert host.directories[path("/etc/etcd/pki")].mode == 0o700
    key = host.files[path("/etc/kubernetes/pki/ca-key.pem")]
    assert (key.mode, key.owner, key.kind, key.text) == (0o600, "root", "regular file", None)
    assert len(key.sha256 or "") == 64
    assert b"frontend" in (host.files[path("/etc/haproxy/haproxy.cfg")].text or b"")
    assert host.files[path("/usr/local/bin/etcd")].mode == 0o755
    assert set(host.units) == {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "haproxy",
        "keepalived",
    }
    unit = host.units["etcd"]
    assert unit.is_active
    assert unit.enabled == "enabled"
    assert unit.active_since is not None
    assert unit.active_since.tzinfo is UTC
    assert {(s.port, s.process) for s in host.listeners} >= {
        (6443, "kube-apiserver"),
        (10257, "kube-controlle"),
        (8443, "haproxy"),
        (22, "sshd"),
    }
    assert host.objects is not None
    assert len(host.objects.bindings) == 5
    assert len(host.objects.token_sha256 or "") == 64


def test_a_host_that_does_not_speak_with_the_api() -> None:
    assert parse_probe(captured("probe-m2")).objects is None


def test_a_host_without_tar_is_read_all_the_same() -> None:
    """Preflight then says that it lacks it."""
    bare = re.sub(r"^texts\t.*$", "texts\t", PROBE, flags=re.MULTILINE)
    assert bare != PROBE
    assert not any(file.text for file in parse_probe(bare).files.values())
    assert any(file.text for file in parse_probe(PROBE).files.values())


def test_real_evidence() -> None:
    seen = parse_evidence(VERIFY)
    assert seen.hostname == "m1"
    assert seen.http["health-kube-apiserver"].text == "ok"
    assert seen.http["through-the-vip"].status == 200
    assert seen.http["leader-kube-scheduler"].json()["kind"] == "Lease"
    assert seen.etcd_status is not None
    assert seen.etcd_status["version"] == "3.4.23"
    assert "\x1b" not in seen.cluster_info
    assert "is running at https://198.18.80.100:8443" in seen.cluster_info
    assert all(secret.beginning.startswith(b"k8s:enc:aescbc:v1:key1:") for secret in seen.secrets)
    assert seen.secrets[0].key.startswith("/registry/secrets/")


def sockets(tool: str) -> set[tuple[str, int, int | None]]:
    lines = [fields[1] for fields in records(captured("ss") if tool == "ss" else PROBE) if fields[0] == tool]
    found = [parse_listener(tool, line) for line in lines]
    assert None not in found
    return {(s.address, s.port, s.pid) for s in found if s}


def test_ss_and_netstat_tell_the_same() -> None:
    ports = {port for _, port, _ in sockets("netstat")}
    assert {port for _, port, _ in sockets("ss")} == ports == {22, 2379, 2380, 6443, 8443, 10257, 10259}


@pytest.mark.parametrize(
    ("tool", "line", "expected"),
    [
        (
            "netstat",
            "tcp 0 0 127.0.0.1:10257 0.0.0.0:* LISTEN 4194303/kube-contro",
            ListeningSocket("127.0.0.1", 10257, "kube-contro", 4194303),
        ),
        ("netstat", "tcp6 0 0 :::6443 :::* LISTEN -", ListeningSocket("::", 6443, "", None)),
        ("netstat", "tcp6 0 0 :::6443 :::* LISTEN", ListeningSocket("::", 6443, "", None)),
        (
            "netstat",
            "tcp 0 0 0.0.0.0:80 0.0.0.0:* LISTEN 1/nginx: master",
            ListeningSocket("0.0.0.0", 80, "nginx", 1),
        ),
        ("netstat", "tcp 0 0", None),
        ("netstat", "", None),
        ("netstat", "tcp 0 0 0.0.0.0:http 0.0.0.0:* LISTEN 1/x", None),
        (
            "ss",
            'LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=32,fd=4))',
            ListeningSocket("::", 22, "sshd", 32),
        ),
        (
            "ss",
            'LISTEN 0 4096 *:8443 *:* users:(("haproxy",pid=9,fd=6),("haproxy",pid=8,fd=6))',
            ListeningSocket("*", 8443, "haproxy", 9),
        ),
        (
            "ss",
            'LISTEN 0 128 *:2379 *:* users:(("etcd",1021,7))',
            ListeningSocket("*", 2379, "etcd", 1021),
        ),
        ("netstat", "tcp 0 0 *:80 *:* LISTEN ²/x", ListeningSocket("*", 80, "x", None)),
        ("ss", "LISTEN 0 4096 127.0.0.1%lo:53 0.0.0.0:*", ListeningSocket("127.0.0.1%lo", 53, "", None)),
        ("ss", "LISTEN 0", None),
        ("lsof", "anything", None),
    ],
)
def test_listeners(tool: str, line: str, expected: ListeningSocket | None) -> None:
    assert parse_listener(tool, line) == expected


@pytest.mark.parametrize(
    ("seen", "wanted", "same"),
    [
        ("kube-controlle", "kube-controller-manager", True),
        ("kube-contro", "kube-controller-manager", True),
        ("kube-apiserver", "kube-apiserver", True),
        ("etcd", "etcd", True),
        ("kube-", "kube-apiserver", False),
        ("etc", "etcd", False),
        ("etcd2", "etcd", False),
        ("", "etcd", False),
        ("haproxy", "haproxy", True),
        ("kube-scheduler", "kube-controller-manager", False),
    ],
)
def test_a_process_is_known_by_its_cut_name(seen: str, wanted: str, same: bool) -> None:
    assert is_process(ListeningSocket("*", 1, seen, 1), wanted) is same


def test_times_to_the_microsecond_and_to_the_second() -> None:
    exact = parse_timestamp("Sat 2026-11-21 00:45:01.123456 UTC")
    assert exact == datetime(2026, 11, 21, 0, 45, 1, 123456, UTC)
    # systemd before 248: cut; the unit was active at the end of that second at the latest
    assert parse_timestamp("Sat 2026-11-21 00:45:01 UTC") == datetime(2026, 11, 21, 0, 45, 1, 999999, UTC)
    for never in ("", "n/a", "0"):
        assert parse_timestamp(never) is None


def test_units_without_what_old_systemd_does_not_tell() -> None:
    lines = [
        "Id=etcd.service",
        "LoadState=loaded",
        "ActiveState=active",
        "ActiveEnterTimestamp=Sat 2026-11-21 00:45:01 UTC",
        "",
        "Id=nosuch.service",
        "LoadState=not-found",
        "ActiveState=inactive",
        "ActiveEnterTimestamp=",
        "NRestarts=[not set]",
    ]
    units = parse_units(lines)
    assert (units["etcd"].restarts, units["etcd"].main_pid, units["etcd"].needs_daemon_reload) == (
        0,
        0,
        False,
    )
    assert (units["nosuch"].active_since, units["nosuch"].is_active) == (None, False)


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_a_line_ends_at_a_line_feed_only(sign: str) -> None:
    assert list(records(f"http\ta\t{sign}b\n\nend\t\n")) == [["http", "a", f"{sign}b"], ["end", ""]]


@pytest.mark.parametrize("text", ["", "\n", "end\t", "probe\t1", "probe\t2\nend\t", "sh: not found"])
def test_a_probe_that_did_not_run_to_its_end(text: str) -> None:
    with pytest.raises(HostsWrongError, match="did not run to its end; run again with --verbose"):
        parse_probe(text)
    with pytest.raises(HostsWrongError, match="did not run to its end; run again with --verbose"):
        parse_evidence(text)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_answer(share: float) -> None:
    for text, parse in ((PROBE, parse_probe), (VERIFY, parse_evidence)):
        with pytest.raises(HostsWrongError, match="did not run to its end"):
            parse(text[: int(len(text) * share)])


def refusal(text: str) -> str:
    try:
        if text.startswith("probe"):
            parse_probe(text)
        else:
            parse_evidence(text)
    except HostsWrongError as error:
        return str(error)
    return ""


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_an_answer_with_a_line_lost_or_cut_is_understood_or_refused_in_words(data: st.DataObject) -> None:
    for text in (PROBE, VERIFY):
        lines = text.split("\n")
        index = data.draw(st.integers(1, len(lines) - 3))
        lines[index] = lines[index][: data.draw(st.integers(0, len(lines[index])))]
        said = refusal("\n".join(lines))
        assert not said or "makes no sense" in said


@pytest.mark.parametrize("name", ["m-1.example.com", "主机", "a b", "x" * 64, "localhost"])
def test_hosts_with_odd_names(name: str) -> None:
    assert parse_probe(PROBE.replace("x86_64\tm1\t", f"x86_64\t{name}\t")).hostname == name
    assert parse_evidence(VERIFY.replace("hostname\tm1", f"hostname\t{name}")).hostname == name


def with_record(kind: str, *fields: str) -> Evidence:
    lines = [line for line in VERIFY.split("\n") if not line.startswith(f"{kind}\t")]
    return parse_evidence("\n".join([lines[0], "\t".join([kind, *fields]), *lines[1:]]))


@pytest.mark.parametrize("said", [b"", b"[]", b"Error: context deadline exceeded", b"[{", b"null"])
def test_etcd_that_answers_nothing_of_use(said: bytes) -> None:
    seen = with_record("etcd-status", base64.b64encode(said).decode(), "context deadline exceeded ")
    assert seen.etcd_status is None
    assert seen.etcd_error.strip() == "context deadline exceeded"


def test_curl_that_was_killed() -> None:
    lines = [
        line if not line.startswith("http\thealth-etcd\t") else "http\thealth-etcd\t\t"
        for line in VERIFY.split("\n")
    ]
    seen = parse_evidence("\n".join(lines))
    assert seen.http["health-etcd"].status == 0


def test_a_body_that_is_no_json() -> None:
    seen = parse_evidence(VERIFY)
    for body in (b"", b"ok", b"[1]", b"null", b"\xff"):
        answer = seen.http["health-etcd"].__class__(200, 0.1, len(body), body, "")
        assert answer.json() == {}
    assert json.loads(seen.http["health-etcd"].body) == {"health": "true"}


def test_the_clock_is_utc() -> None:
    assert parse_probe(PROBE).clock.utcoffset() == timedelta()
