"""What must be right before anything is touched: each reason in a sentence, all of them at once."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Interface
from typing import Any

import pytest

from kubenorn.cluster import Cluster
from kubenorn.observed import ObservedHost
from kubenorn.preflight import preflight_problems
from kubenorn.records import ListeningSocket
from tests.unit.builders import (
    ADDRESSES,
    CLOCK,
    NAMES,
    a_bare_host,
    a_cluster,
    a_desired_host,
    a_unit,
    as_observed,
)

CLUSTER = a_cluster()


def hosts(cluster: Cluster = CLUSTER, **changes: Any) -> dict[str, ObservedHost]:
    """Return good hosts, the first of them changed."""
    good = {
        name: a_bare_host(
            hostname=name,
            addresses=(("lo", IPv4Interface("127.0.0.1/8")), ("eth0", IPv4Interface(f"{address}/24"))),
        )
        for name, address in zip(NAMES, ADDRESSES, strict=True)
    }
    return good | {NAMES[0]: replace(good[NAMES[0]], **changes)}


def problems(cluster: Cluster = CLUSTER, **changes: Any) -> list[str]:
    found = hosts(cluster, **changes)
    return preflight_problems(cluster, found, dict.fromkeys(found, CLOCK))


def test_good_hosts_have_none() -> None:
    assert problems() == []


FULL = frozenset({"apt-get", "curl", "tar", "gzip", "sha256sum", "base64"})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"init": None},
            "is not run by systemd; kubenorn manages systemd units, choose another host.",
        ),
        (
            {"programs": FULL - {"tar", "gzip"}},
            "lacks tar, gzip; install them with its package manager.",
        ),
        (
            {"programs": FULL - {"apt-get"}},
            "lacks haproxy, keepalived and has no apt-get, dnf or yum; install them by hand.",
        ),
        (
            {"addresses": (("eth0", IPv4Interface("192.168.80.70/24")),)},
            "has no interface with its address 192.168.80.7; "
            "correct hostname or data.master.address in the inventory.",
        ),
        (
            {"addresses": (("eth0", IPv4Interface("192.168.80.7/29")),)},
            "cannot hold the VIP: cluster.vip = 192.168.80.13 is outside the networks of eth0 "
            "(192.168.80.0/29); choose a free address of the masters' network.",
        ),
        (
            {"listeners": (ListeningSocket("0.0.0.0", 8443, "nginx", 7),)},
            "port 8443 of haproxy is held by nginx (pid 7); stop that or choose another port.",
        ),
        (
            {"clock": CLOCK + timedelta(seconds=40)},
            "its clock is 40 s ahead of this machine's; "
            "set it right (NTP), certificates and leases depend on it.",
        ),
        (
            {"clock": CLOCK - timedelta(hours=1)},
            "its clock is 3600 s behind this machine's; "
            "set it right (NTP), certificates and leases depend on it.",
        ),
        ({"disks": {"/": 100 << 20}}, "has 100 MiB free on /; make at least 1024 MiB free."),
    ],
)
def test_each_reason_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert problems(**changes) == [f"{NAMES[0]}: {sentence}"]


def test_an_unknown_architecture() -> None:
    (line,) = problems(machine="m68k")
    assert line.startswith(f"{NAMES[0]}: ")
    assert "m68k" in line
    assert not line.endswith("..")


def test_a_wrong_interface() -> None:
    cluster = replace(CLUSTER, masters=tuple(replace(m, interface="bond0") for m in CLUSTER.masters))
    assert problems(cluster)[0] == (
        f"{NAMES[0]}: has no interface bond0 with an IPv4 address (it has eth0, lo); correct data.master.interface."
    )


def test_what_already_runs_is_no_problem() -> None:
    listeners = (
        ListeningSocket("*", 8443, "haproxy", 1),
        ListeningSocket("*", 6443, "kube-apiserver", 1),
        ListeningSocket("127.0.0.1", 10257, "kube-controlle", 1),
        ListeningSocket("*", 2379, "", None),
        ListeningSocket("*", 22, "sshd", 1),
    )
    assert problems(listeners=listeners) == []


def test_everything_at_once() -> None:
    found = problems(init=None, disks={"/": 0}, clock=CLOCK + timedelta(days=1))
    assert len(found) == 3


def test_etcd_needs_a_quorum_to_start_for_the_first_time() -> None:
    one = {NAMES[0]: hosts()[NAMES[0]]}
    (line,) = preflight_problems(CLUSTER, one, {NAMES[0]: CLOCK})
    assert line == (
        "production: etcd runs on none of the selected hosts, and 1 of 3 members cannot start it; select at least 2."
    )
    two = {name: hosts()[name] for name in NAMES[:2]}
    assert preflight_problems(CLUSTER, two, dict.fromkeys(two, CLOCK)) == []
    running = {NAMES[0]: replace(one[NAMES[0]], units={"etcd": a_unit("etcd")})}
    assert preflight_problems(CLUSTER, running, {NAMES[0]: CLOCK}) == []


def test_a_deployed_host_passes() -> None:
    host = as_observed(a_desired_host())
    assert preflight_problems(CLUSTER, {NAMES[0]: host}, {NAMES[0]: CLOCK}) == []
