"""What must be right on the hosts before anything is changed on one: every problem, at once."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from kubenorn.binaries.elf import arch_of_machine
from kubenorn.cluster import Cluster, Master
from kubenorn.components import components
from kubenorn.errors import InputWrongError
from kubenorn.observed import ObservedHost
from kubenorn.records import is_process

NEEDED_PROGRAMS = ("tar", "gzip", "sha256sum", "base64")
FREE_BYTES = 1 << 30
"""Room for new binaries beside the old ones, and for etcd to start."""
CLOCK_TOLERANCE = timedelta(seconds=30)
"""Certificates and leases need clocks that agree; NTP keeps them within milliseconds."""


def preflight_problems(
    cluster: Cluster, observed: Mapping[str, ObservedHost], now: Mapping[str, datetime]
) -> list[str]:
    """Return one sentence a problem, over all selected hosts; `now` is the controller's time of each probe, UTC."""
    problems: list[str] = []
    for master in cluster.masters:
        if master.name in observed:
            host = observed[master.name]
            problems += [f"{master.name}: {text}" for text in _host_problems(cluster, master, host)]
            problems += [f"{master.name}: {text}" for text in _clock(host, now[master.name])]
    problems += _first_deployment(cluster, observed)
    return problems


def _host_problems(cluster: Cluster, master: Master, host: ObservedHost) -> Iterator[str]:
    if host.init is None:
        yield "is not run by systemd; kubenorn manages systemd units, choose another host."
    missing = [program for program in NEEDED_PROGRAMS if program not in host.programs]
    if missing:
        yield f"lacks {', '.join(missing)}; install them with its package manager."
    wanted = [p for p in ("haproxy", "keepalived", "curl") if p not in host.programs]
    if wanted and host.package_manager is None:
        yield f"lacks {', '.join(wanted)} and has no apt-get, dnf or yum; install them by hand."
    try:
        arch_of_machine(host.machine)
    except InputWrongError as error:
        yield f"{error}."
    yield from _network(cluster, master, host)
    yield from _ports(cluster, host)
    for mount, free in sorted(host.disks.items()):
        if free < FREE_BYTES:
            yield f"has {free >> 20} MiB free on {mount}; make at least {FREE_BYTES >> 20} MiB free."


def _network(cluster: Cluster, master: Master, host: ObservedHost) -> Iterator[str]:
    vip = cluster.settings.vip
    interface = master.interface or host.interface_of(master.address)
    if host.interface_of(master.address) is None:
        yield (
            f"has no interface with its address {master.address}; "
            "correct hostname or data.master.address in the inventory."
        )
    if interface is None:
        return
    networks = [address.network for name, address in host.addresses if name == interface]
    if not networks:
        known = ", ".join(sorted({name for name, _ in host.addresses}))
        yield f"has no interface {interface} with an IPv4 address (it has {known}); correct data.master.interface."
    elif not any(vip in network for network in networks if network.prefixlen < 32):
        yield (
            f"cannot hold the VIP: cluster.vip = {vip} is outside the networks of {interface} "
            f"({', '.join(map(str, networks))}); choose a free address of the masters' network."
        )


def _ports(cluster: Cluster, host: ObservedHost) -> Iterator[str]:
    for component in components(cluster):
        for wanted in component.listeners:
            for socket in host.listeners:
                if socket.port == wanted.port and socket.process and not is_process(socket, wanted.process):
                    yield (
                        f"port {wanted.port} of {wanted.process} is held by {socket.process} "
                        f"(pid {socket.pid}); stop that or choose another port."
                    )


def _clock(host: ObservedHost, now: datetime) -> Iterator[str]:
    skew = host.clock - now
    if abs(skew) > CLOCK_TOLERANCE:
        direction = "ahead of" if skew > timedelta() else "behind"
        yield (
            f"its clock is {abs(skew.total_seconds()):.0f} s {direction} this machine's; "
            "set it right (NTP), certificates and leases depend on it."
        )


def _first_deployment(cluster: Cluster, observed: Mapping[str, ObservedHost]) -> Iterator[str]:
    """Refuse to start etcd for the first time on fewer hosts than can agree."""
    if cluster.settings.etcd.mode != "managed":
        return
    quorum = len(cluster.masters) // 2 + 1
    runs = any("etcd" in host.units and host.units["etcd"].is_active for host in observed.values())
    if observed and not runs and len(observed) < quorum:
        yield (
            f"{cluster.name}: etcd runs on none of the selected hosts, and {len(observed)} of "
            f"{len(cluster.masters)} members cannot start it; select at least {quorum}."
        )
