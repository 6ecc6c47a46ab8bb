"""The lab's bridge and routes. Nothing is forwarded: hosts reach each other and this machine."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from kubenorn.errors import InputWrongError
from lab.facts import Facts
from lab.tools import run, wait_for

INTERFACES = Path("/sys/class/net")
# The connected route of the bridge wins over it; when that is gone, packets for the hosts die here.
BLACKHOLE_METRIC = "4096"
REMEDY = "choose another with --name and --subnet"


@dataclass(frozen=True)
class Route:
    """A route of this machine: where to, and through which interface (empty for a blackhole)."""

    network: IPv4Network
    interface: str


def routes() -> list[Route]:
    """Return this machine's IPv4 routes of all tables, default routes left out."""
    return parse_routes(json.loads(run(["ip", "-j", "-4", "route", "show", "table", "all"]).stdout or "[]"))


def parse_routes(entries: list[dict[str, Any]]) -> list[Route]:
    """Return the routes in the JSON output of iproute2."""
    return [
        Route(IPv4Network(entry["dst"], strict=False), entry.get("dev", ""))
        for entry in entries
        if entry.get("dst", "default") not in ("default", "0.0.0.0/0")
    ]


def refuse_taken(facts: Facts, folder: Path) -> None:
    """Raise InputWrongError when the bridge or a part of the subnet belongs to somebody else."""
    owner = bridge_owner(facts.bridge)
    if owner is not None and owner != str(folder):
        who = f"the lab in {owner}" if owner else "something that is no lab"
        raise InputWrongError(f"The bridge {facts.bridge} belongs to {who}: {REMEDY}.")
    for route in routes():
        if not route.network.overlaps(facts.subnet) or route.interface == facts.bridge:
            continue
        if not route.interface and route.network == facts.subnet:
            continue  # the blackhole, left by this lab: nobody else's bridge has the subnet
        owner = bridge_owner(route.interface)
        who = f"the lab in {owner}" if owner else route.interface or "a route without an interface"
        raise InputWrongError(
            f"The subnet {facts.subnet} overlaps {route.network}, which belongs to {who}: {REMEDY}."
        )


def bridge_owner(interface: str) -> str | None:
    """Return the lab folder an interface belongs to, "" for one that is no lab's, None if there is none."""
    if not interface or not (INTERFACES / interface).exists():
        return None
    alias = (INTERFACES / interface / "ifalias").read_text().strip()
    return alias.removeprefix(_ALIAS) if alias.startswith(_ALIAS) else ""


_ALIAS = "kubenorn lab in "


def subnet_of(bridge: str) -> IPv4Network | None:
    """Return the network of a bridge that is up, or None."""
    return next(
        (route.network for route in routes() if route.interface == bridge and route.network.prefixlen < 32),
        None,
    )


def is_up(facts: Facts) -> bool:
    """Return whether the bridge has its address and the blackhole route is there."""
    wanted = {Route(facts.subnet, facts.bridge), Route(facts.subnet, "")}
    return wanted <= set(routes())


def raise_network(facts: Facts, folder: Path) -> None:
    """Make the bridge and the blackhole route, or complete what is there."""
    bridge = facts.bridge
    if not (INTERFACES / bridge).exists():
        run(["ip", "link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
        run(["ip", "link", "set", bridge, "alias", _ALIAS + str(folder)])
        # Without a fixed one a bridge takes over the lowest address of its ports, and hosts that come and go
        # would leave stale ARP entries for the machine in the others.
        run(["ip", "link", "set", bridge, "address", mac_address(str(folder))])
        # VRRP adverts go to a multicast group nobody joins by IGMP.
        run(["ip", "link", "set", bridge, "type", "bridge", "mcast_snooping", "0"])
    run(["ip", "address", "replace", f"{facts.gateway}/{facts.subnet.prefixlen}", "dev", bridge])
    run(["ip", "link", "set", bridge, "up"])
    run(["ip", "route", "replace", "blackhole", str(facts.subnet), "metric", BLACKHOLE_METRIC])
    if _firewall_sees_bridges() and run(_firewall("-C", bridge), check=False).returncode != 0:
        run(_firewall("-I", bridge))


def _firewall_sees_bridges() -> bool:
    """Whether this machine filters what passes through its bridges, as container engines make it do."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    return setting.exists() and setting.read_text().strip() == "1" and shutil.which("iptables") is not None


def _firewall(action: str, bridge: str) -> list[str]:
    """The rule that lets hosts of one bridge talk to each other, for iptables -C, -I or -D."""
    return ["iptables", "-w", action, "FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"]


def attach(facts: Facts, port: str) -> None:
    """Plug a host's interface in again when it lost its bridge."""
    if (INTERFACES / port).exists() and not (INTERFACES / port / "master").exists():
        run(["ip", "link", "set", port, "master", facts.bridge, "up"])


def mac_address(seed: str) -> str:
    """Return a locally administered unicast address that is the same for the same seed."""
    octets = hashlib.sha256(seed.encode()).digest()[:5]
    return ":".join(["02", *(f"{octet:02x}" for octet in octets)])


def remove_network(facts: Facts, folder: Path) -> None:
    """Remove the bridge, its ports and the routes, where they are this lab's."""
    if bridge_owner(facts.bridge) == str(folder):
        for port in list((INTERFACES / facts.bridge / "brif").iterdir()):
            run(["ip", "link", "delete", port.name], check=False)
        if _firewall_sees_bridges():
            run(_firewall("-D", facts.bridge), check=False)
        run(["ip", "link", "delete", facts.bridge], check=False)
    elif any(route.network == facts.subnet and route.interface for route in routes()):
        return  # somebody else's bridge has the subnet now: the blackhole is theirs
    run(["ip", "route", "delete", "blackhole", str(facts.subnet), "metric", BLACKHOLE_METRIC], check=False)


def remove_interface(name: str) -> None:
    """Wait for an interface to vanish with its host; remove it if it is still there after two seconds."""
    if not wait_for(lambda: not (INTERFACES / name).exists(), seconds=2):
        run(["ip", "link", "delete", name], check=False)
