"""From where a drill looks at a cluster: this machine and its jump hosts must not be what it takes away."""

import socket
from collections.abc import Collection
from contextlib import suppress
from ipaddress import IPv4Address

from kubenorn.cluster import Cluster, Master
from tasks.login import login_to
from tasks.session import Session

ANY_PORT = 9


def is_own(address: IPv4Address) -> bool:
    """Return whether an address is one of this machine's; nothing is sent."""
    # To its own addresses a machine speaks from that very address. That an address can be bound would tell less: with
    # net.ipv4.ip_nonlocal_bind, which is common beside keepalived, every one can.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, suppress(OSError):
        asking.connect((str(address), ANY_PORT))
        return bool(asking.getsockname()[0] == str(address))
    return False


def standing_on(cluster: Cluster, targets: Collection[str]) -> str | None:
    """Return which of the `targets` this machine is; None: it is none of them."""
    masters = [master for master in cluster.masters if master.name in targets]
    return next((master.name for master in masters if is_own(master.address)), None)


def jumping_over(session: Session, cluster: Cluster, targets: Collection[str]) -> str | None:
    """Return which of the `targets` is a jump host on the way to a master; None: none is."""
    hosts = session.everyone.inventory.hosts
    jumps = {
        jump.hostname
        for master in cluster.masters
        for jump in login_to(hosts[master.name]).endpoint.route[:-1]
    }
    reached = jumps.union(*map(_addresses, jumps))

    def names(master: Master) -> set[str]:
        return {master.name, str(master.address), login_to(hosts[master.name]).endpoint.hostname}

    masters = [master for master in cluster.masters if master.name in targets]
    return next((master.name for master in masters if names(master) & reached), None)


def _addresses(hostname: str) -> set[str]:
    """Return a host's addresses; none where only another jump host knows the name."""
    with suppress(OSError, UnicodeError):
        return {str(found[4][0]) for found in socket.getaddrinfo(hostname, None, socket.AF_INET)}
    return set()
