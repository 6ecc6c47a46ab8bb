"""What must hold between several settings of a cluster, beyond each being right by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from kubenorn.cluster import Cluster
from kubenorn.components import components
from kubenorn.problem import Problem


@dataclass(frozen=True)
class MasterPlaces:
    """Where a master's address and its VRRP priority stand, or would stand."""

    address: str
    priority: str


def cluster_problems(cluster: Cluster, place: str, masters: Mapping[str, MasterPlaces]) -> list[Problem]:
    """Return every problem of the cluster's settings; `place` is where they stand."""
    return [
        *_addresses(cluster, place, masters),
        *_priorities(cluster, masters),
        *_networks(cluster, place),
        *_ports(cluster, place),
        *_external_etcd(cluster, place),
        *_elections(cluster, place),
        *_vrrp(cluster, place),
        *_lifetimes(cluster, place),
    ]


def cluster_warnings(cluster: Cluster, place: str) -> list[Problem]:
    """Return what is allowed but unwise."""
    count = len(cluster.masters)
    if cluster.settings.etcd.mode == "managed" and count % 2 == 0:
        return [
            Problem(
                f"{place}.etcd",
                None,
                f"runs on {count} members, which survive no more losses than {count - 1}; add or remove one",
            )
        ]
    return []


def _addresses(cluster: Cluster, place: str, masters: Mapping[str, MasterPlaces]) -> Iterator[Problem]:
    for first, second in combinations(cluster.masters, 2):
        if first.address == second.address:
            yield Problem(
                masters[second.name].address,
                second.address,
                f"is the address of {first.name} too; each host needs its own",
            )
    for master in cluster.masters:
        if master.address == cluster.settings.vip:
            yield Problem(
                f"{place}.vip",
                cluster.settings.vip,
                f"is the address of host {master.name}; the VIP must be an address no host has",
            )


def _priorities(cluster: Cluster, masters: Mapping[str, MasterPlaces]) -> Iterator[Problem]:
    for first, second in combinations(cluster.masters, 2):
        if first.vrrp_priority == second.vrrp_priority != 0:
            yield Problem(
                masters[second.name].priority,
                second.vrrp_priority,
                f"is the VRRP priority of {first.name} too; give each host its own (1 to 254)",
            )
    for master in cluster.masters:
        if master.vrrp_priority == 0:
            yield Problem(
                masters[master.name].priority,
                None,
                "is missing; there are more masters than priorities by order, so set it",
            )


def _networks(cluster: Cluster, place: str) -> Iterator[Problem]:
    settings = cluster.settings
    networks = {"service_cidr": settings.service_cidr, "pod_cidr": settings.pod_cidr}
    if settings.service_cidr.overlaps(settings.pod_cidr):
        yield Problem(
            f"{place}.service_cidr",
            settings.service_cidr,
            f"overlaps pod_cidr {settings.pod_cidr}; choose networks apart",
        )
    if not 12 <= settings.service_cidr.prefixlen <= 30:
        yield Problem(
            f"{place}.service_cidr",
            settings.service_cidr,
            "must have a prefix of 12 to 30 bits; kube-apiserver allows at most 20 bits of service addresses",
        )
    if not 8 <= settings.pod_cidr.prefixlen <= 24 and not _own_node_mask(cluster):
        yield Problem(
            f"{place}.pod_cidr",
            settings.pod_cidr,
            "must have a prefix of 8 to 24 bits; kube-controller-manager gives each node a /24 of it",
        )
    for key, network in networks.items():
        for name, address in [("the VIP", settings.vip)] + [(m.name, m.address) for m in cluster.masters]:
            if address in network:
                yield Problem(
                    f"{place}.{key}",
                    network,
                    f"contains {address} of {name}; choose a network no host is in",
                )


def _own_node_mask(cluster: Cluster) -> bool:
    extra = cluster.settings.extra_arguments.get("kube-controller-manager", {})
    return any(
        name in extra for name in ("node-cidr-mask-size", "node-cidr-mask-size-ipv4", "allocate-node-cidrs")
    )


def _ports(cluster: Cluster, place: str) -> Iterator[Problem]:
    settings = cluster.settings
    taken = {"apiserver_port": settings.apiserver_port, "vip_port": settings.vip_port}
    statistics = settings.haproxy.statistics
    if statistics:
        taken["haproxy.statistics.port"] = statistics.port
    reserved = {
        listener.port: component.name
        for component in components(cluster)
        if component.name not in {"kube-apiserver", "haproxy"}
        for listener in component.listeners
    }
    for (first, port), (second, other) in combinations(taken.items(), 2):
        if port == other:
            yield Problem(f"{place}.{first}", port, f"is {second} too; both listen on every master")
    for key, port in taken.items():
        if port in reserved:
            yield Problem(f"{place}.{key}", port, f"is the port of {reserved[port]}; choose another")
        if settings.node_port_range.first <= port <= settings.node_port_range.last:
            yield Problem(
                f"{place}.{key}",
                port,
                f"lies in node_port_range {settings.node_port_range}; choose one outside",
            )


def _external_etcd(cluster: Cluster, place: str) -> Iterator[Problem]:
    etcd = cluster.settings.etcd
    needed = ("endpoints", "ca_file", "certificate_file", "key_file")
    if etcd.mode == "external":
        for key in needed:
            value = getattr(etcd, key)
            if not value:
                yield Problem(f"{place}.etcd.{key}", None, "is missing; external etcd needs it")
            elif key != "endpoints" and not value.is_file():
                yield Problem(f"{place}.etcd.{key}", value, "is not a file on this machine")
    else:
        for key in needed:
            if getattr(etcd, key):
                yield Problem(
                    f"{place}.etcd.{key}", None, "is for external etcd; remove it or set mode: external"
                )


def _elections(cluster: Cluster, place: str) -> Iterator[Problem]:
    """Yield timers of etcd that it refuses to start with (etcd's tuning guide), extra arguments counted."""
    etcd, extra = cluster.settings.etcd, cluster.settings.extra_arguments.get("etcd", {})
    heartbeat = extra.get("heartbeat-interval") or f"{etcd.heartbeat_interval * 1000:.0f}"
    election = extra.get("election-timeout") or f"{etcd.election_timeout * 1000:.0f}"
    if heartbeat.isdigit() and election.isdigit() and int(election) < 5 * int(heartbeat):
        yield Problem(
            f"{place}.etcd.election_timeout",
            f"{election} ms",
            f"is less than 5 times heartbeat_interval {heartbeat} ms; etcd refuses that",
        )


def _vrrp(cluster: Cluster, place: str) -> Iterator[Problem]:
    vrrp = cluster.settings.vrrp
    if vrrp.version == 3 and vrrp.password:
        yield Problem(f"{place}.vrrp.password", None, "needs version: 2; VRRP 3 has no passwords (RFC 5798)")
    if vrrp.version == 2 and vrrp.advert_interval != int(vrrp.advert_interval):
        yield Problem(
            f"{place}.vrrp.advert_interval",
            vrrp.advert_interval,
            "must be whole seconds with version: 2 (RFC 3768)",
        )
    if vrrp.version == 3 and vrrp.advert_interval > 40:
        yield Problem(
            f"{place}.vrrp.advert_interval", vrrp.advert_interval, "is over VRRP 3's 40 seconds (RFC 5798)"
        )
    if vrrp.password and len(vrrp.password.get_secret_value()) > 8:
        yield Problem(f"{place}.vrrp.password", None, "is longer than the 8 characters keepalived uses")


def _lifetimes(cluster: Cluster, place: str) -> Iterator[Problem]:
    pki = cluster.settings.pki
    if pki.renew_before_days >= pki.certificate_days:
        yield Problem(
            f"{place}.pki.renew_before_days",
            pki.renew_before_days,
            f"is not less than certificate_days {pki.certificate_days}; every run would reissue",
        )
