"""Clusters, material and hosts for the tests of the pure core: nothing here is anybody's secret."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address, IPv4Interface
from pathlib import PurePosixPath
from typing import Any

from kubenorn.cluster import Cluster, Master
from kubenorn.desired import DesiredHost, binary_versions, desired_host
from kubenorn.material import Material, PemPair
from kubenorn.objects import ApiObject, desired_bindings
from kubenorn.observed import ObservedDirectory, ObservedFile, ObservedHost, ObservedObjects
from kubenorn.plan import HostPlan, plan_host
from kubenorn.records import UnitState
from kubenorn.render import render_purely
from kubenorn.settings import ClusterSettings

VERSIONS = ("1.8.4", "1.12.3", "1.13.0", "1.18.0", "1.20.2", "1.24.0", "1.29.0", "1.34.0")
ADDRESSES = ("192.168.80.7", "192.168.80.8", "192.168.80.9")
NAMES = ("k8s-master1", "k8s-master2", "k8s-master3")
MARKER = "TOPSECRET"
"""Part of everything secret in the material: it must never be seen where people or logs read."""
DEPLOYED = datetime(2026, 11, 21, 1, 0, 0, tzinfo=UTC)
"""When every file of an observed host was written."""
STARTED = DEPLOYED + timedelta(seconds=20)
CLOCK = DEPLOYED + timedelta(hours=3)
NEEDED = ("apt-get", "haproxy", "keepalived", "curl", "zstd", "gzip", "tar", "sha256sum", "base64")


def cluster_data(**changes: Any) -> dict[str, Any]:
    """Return a `cluster` mapping as an operator writes it; nested mappings in `changes` replace whole."""
    data: dict[str, Any] = {
        "name": "production",
        "vip": "192.168.80.13",
        "service_cidr": "10.254.0.0/16",
        "pod_cidr": "172.30.0.0/16",
        "kubernetes_version": "1.20.2",
        "vrrp": {"router_id": 68},
        "binaries": {"source": "/srv/binaries"},
    }
    return data | changes


def a_cluster(names: tuple[str, ...] = NAMES, **changes: Any) -> Cluster:
    """Return a validated cluster of one to three masters."""
    settings = ClusterSettings.model_validate(cluster_data(**changes), context={"folder": "/srv"})
    masters = (
        Master(name, IPv4Address(address), 120 - 10 * index, None)
        for index, (name, address) in enumerate(zip(names, ADDRESSES, strict=False))
    )
    return Cluster(settings, tuple(masters))


class _Pairs(dict[str, PemPair]):
    def __missing__(self, name: str) -> PemPair:
        return PemPair(f"certificate of {name}\n".encode(), f"{MARKER} key of {name}\n".encode())


@cache
def material() -> Material:
    """Return material whose secrets all contain MARKER."""
    return Material(
        ca=b"certificate of ca\n",
        ca_key=f"{MARKER} key of ca\n".encode(),
        etcd_ca=b"certificate of etcd-ca\n",
        front_proxy_ca=b"certificate of front-proxy-ca\n",
        service_account_public_key=b"public key of service-account\n",
        service_account_key=f"{MARKER} key of service-account\n".encode(),
        certificates=_Pairs(),
        encryption_key_name="key1",
        encryption_key=MARKER.encode().ljust(32, b"-"),
        bootstrap_token=f"abcdef.{MARKER.lower()}",
    )


SECRETS = (
    MARKER,
    MARKER.lower(),
    base64.b64encode(MARKER.encode().ljust(32, b"-")).decode()[:12],
    base64.b64encode(f"{MARKER} key of admin\n".encode()).decode()[:12],
    base64.b64encode(MARKER.lower().encode()).decode()[:12],
)
"""What the secrets of the material look like in clear text and in base64."""


def a_desired_host(cluster: Cluster | None = None, name: str = NAMES[0], **changes: Any) -> DesiredHost:
    """Return what a master of `cluster` should be; `changes` make the cluster."""
    cluster = cluster or a_cluster(**changes)
    digests = {binary: f"{index:064x}" for index, binary in enumerate(binary_versions(cluster), start=1)}
    return desired_host(
        cluster,
        cluster.master(name),
        interface="eth0",
        material=material(),
        digests=digests,
        render=render_purely,
    )


def a_unit(name: str, **changes: Any) -> UnitState:
    """Return a unit that runs since STARTED."""
    state = UnitState(
        name=name,
        load="loaded",
        active="active",
        sub="running",
        result="success",
        enabled="enabled",
        restarts=0,
        main_pid=100,
        needs_daemon_reload=False,
        active_since=STARTED,
        started=None,
        changed=STARTED,
    )
    return replace(state, **changes)


def as_observed(desired: DesiredHost, **changes: Any) -> ObservedHost:
    """Return what a probe sees on a host that is exactly as desired."""
    files = {
        file.path: ObservedFile(
            mode=file.mode,
            owner=file.owner,
            group=file.group,
            size=len(file.content),
            modified=DEPLOYED,
            sha256=file.sha256,
            kind="regular file",
            text=None if file.secret else file.content,
        )
        for file in desired.files
    } | {
        binary.path: ObservedFile(0o755, "root", "root", 1 << 20, DEPLOYED, binary.sha256, "regular file")
        for binary in desired.binaries
    }
    host = ObservedHost(
        machine="x86_64",
        hostname=desired.name,
        kernel="6.1.0",
        clock=CLOCK,
        init="systemd",
        system="debian 12",
        programs=frozenset(NEEDED),
        users=frozenset(desired.users),
        addresses=(
            ("lo", IPv4Interface("127.0.0.1/8")),
            ("eth0", IPv4Interface("192.168.80.7/24")),
        ),
        disks={"/": 50 << 30},
        directories={d.path: ObservedDirectory(d.mode, d.owner, d.group) for d in desired.directories},
        files=files,
        units={unit.name: a_unit(unit.name) for unit in desired.units},
        listeners=(),
        objects=None,
    )
    return replace(host, **changes)


def a_bare_host(**changes: Any) -> ObservedHost:
    """Return what a probe sees on a host nothing was ever deployed on."""
    host = as_observed(a_desired_host())
    bare = replace(
        host,
        programs=frozenset(NEEDED) - {"haproxy", "keepalived", "curl"},
        users=frozenset(),
        directories={},
        files={},
        units={
            name: a_unit(
                name,
                load="not-found",
                active="inactive",
                sub="dead",
                enabled="",
                main_pid=0,
                active_since=None,
                changed=None,
            )
            for name in host.units
        },
    )
    return replace(bare, **changes)


def a_full_plan(**changes: Any) -> HostPlan:
    """Return the plan of a first deployment."""
    return plan_host(a_desired_host(**changes), a_bare_host())


def as_observed_objects(secret_sha256: str | None = None) -> ObservedObjects:
    """Return the project's objects as an API that has them all answers."""
    return ObservedObjects({each.name: _served(each) for each in desired_bindings()}, secret_sha256)


def _served(each: ApiObject) -> dict[str, Any]:
    # kube-apiserver adds what nobody asked for
    return each.manifest | {"metadata": {**each.manifest["metadata"], "uid": "1", "resourceVersion": "9"}}


def path(text: str) -> PurePosixPath:
    return PurePosixPath(text)
