"""The VIP: who has it, and do the keepalived configurations fit together?"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kubenorn.audit.context import AuditContext
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.verify_requests import VIP_REQUEST

VIRTUAL_MAC = "00:00:5e:00:01:"


@dataclass(frozen=True)
class KeepalivedSeen:
    """What matters in a keepalived.conf; empty where it is not said."""

    router_id: str
    priority: str
    version: str
    advert_interval: str
    interface: str
    source: str
    peers: frozenset[str]
    nopreempt: bool
    weights: tuple[int, ...]
    authentication: str
    """PASS or AH."""


def read_keepalived(text: str) -> KeepalivedSeen:
    """Return what a keepalived.conf says; comments (# and !) do not count."""
    bare = re.sub(r"[#!].*", "", text)

    def value(name: str) -> str:
        found = re.search(rf"^\s*{name}\s+(\S+)", bare, re.MULTILINE)
        return found[1] if found else ""

    peers = re.search(r"unicast_peer\s*\{([^}]*)\}", bare)
    return KeepalivedSeen(
        router_id=value("virtual_router_id"),
        priority=value("priority"),
        version=value("version") or value("vrrp_version"),
        advert_interval=value("advert_int"),
        interface=value("interface"),
        source=value("unicast_src_ip"),
        peers=frozenset(peers[1].split()) if peers else frozenset(),
        nopreempt=bool(re.search(r"^\s*nopreempt\s*$", bare, re.MULTILINE)),
        weights=tuple(int(each) for each in re.findall(r"^\s*weight\s+(-?\d+)", bare, re.MULTILINE)),
        authentication=value("auth_type"),
    )


def vip(context: AuditContext) -> Iterator[Finding]:
    """Yield what is wrong with the VIP, and with what decides who has it."""
    yield from _holders(context)
    yield from _other_answers(context)
    for name, host in context.hosts.items():
        answer = host.evidence.http.get(VIP_REQUEST)
        asked = "kubeconfig" not in host.collected.lacks and host.runs("keepalived")
        if asked and (answer is None or answer.status != 200):
            said = (answer.error or answer.text if answer else "") or "no answer"
            yield _found(
                Severity.ERROR, name, "VIP", f"does not answer from here: {said}", "see the findings above"
            )
    seen = {
        name: read_keepalived(host.collected.keepalived)
        for name, host in context.hosts.items()
        if host.collected.keepalived
    }
    yield from _settings(context, seen)
    yield from _reached(context)


def _found(severity: Severity, host: str, subject: str, evidence: str, remedy: str) -> Finding:
    return Finding(severity, Group.VIP, host, subject, evidence, remedy, differs=severity > Severity.INFO)


def _holders(context: AuditContext) -> Iterator[Finding]:
    holders = context.verification.vip_holders
    vip_address = str(context.cluster.settings.vip)
    if len(holders) > 1:
        said = f"{vip_address} is on {' and '.join(holders)} at once (split brain)"
        remedy = "`ip addr del` it where keepalived is not MASTER; look at keepalived's journal"
        yield _found(Severity.CRITICAL, "", "VIP", said, remedy)
    elif not holders and context.complete:
        yield _found(Severity.CRITICAL, "", "VIP", f"{vip_address} is on no host", "journalctl -u keepalived")


def _other_answers(context: AuditContext) -> Iterator[Finding]:
    """Yield network cards that hosts send to for the VIP, and that are not the holder's.

    A host that holds the VIP itself does not ask. VRRP's own virtual MAC (RFC 5798, 7.3) is everybody's.
    """
    holders = context.verification.vip_holders
    if not context.complete or not holders:
        return
    owners = {mac: name for name, host in context.hosts.items() for mac in host.collected.macs.values()}
    asked: dict[str, list[str]] = {}
    for name, host in context.hosts.items():
        for mac in host.collected.vip_neighbours if name not in holders else ():
            if owners.get(mac) not in holders and not mac.startswith(VIRTUAL_MAC):
                asked.setdefault(mac, []).append(name)
    for mac, names in asked.items():
        whose = f"{owners[mac]}'s" if mac in owners else "none of the masters'"
        who = " and ".join(holders)
        said = f"{mac} answers for it to {', '.join(names)}; that card is {whose}, and {who} holds it"
        remedy = "find who else has the address (`ip addr`, `arping -D`), and take it away there"
        yield replace(_found(Severity.ERROR, "", "VIP", said, remedy), identity=mac)


def _reached(context: AuditContext) -> Iterator[Finding]:
    """Yield who has the VIP, and who reached the API there."""
    answers = {name: host.evidence.http.get(VIP_REQUEST) for name, host in context.hosts.items()}
    reached = [name for name, answer in answers.items() if answer and answer.status == 200]
    holders = context.verification.vip_holders
    if reached and holders:
        said = f"{context.cluster.settings.vip} is on {' and '.join(holders)}, and reached by {', '.join(reached)}"
        yield _found(Severity.INFO, "", "VIP", said, "nothing to do")


def _settings(context: AuditContext, seen: Mapping[str, KeepalivedSeen]) -> Iterator[Finding]:
    paths = {name: context.hosts[name].collected.keepalived_file for name in seen}
    path = next(iter(paths.values()), "")
    for what, values in (
        ("virtual_router_id", {name: each.router_id for name, each in seen.items()}),
        ("VRRP version", {name: each.version for name, each in seen.items()}),
        ("advert_int", {name: each.advert_interval for name, each in seen.items()}),
        ("nopreempt", {name: str(each.nopreempt) for name, each in seen.items()}),
        ("auth_type", {name: each.authentication for name, each in seen.items()}),
    ):
        if len(set(values.values())) > 1:
            each_said = ", ".join(f"{name} {value or 'none'}" for name, value in values.items())
            said = f"{what} differs: {each_said}"
            yield _found(Severity.ERROR, "", path, said, "make it the same everywhere")
    if len({context.hosts[name].collected.password_digest for name in seen}) > 1:
        said = "auth_pass differs: hosts that do not believe each other all become master"
        yield _found(Severity.ERROR, "", path, said, "make it the same everywhere")
    taken: dict[str, str] = {}
    for name, each in seen.items():
        path = paths[name]
        if each.priority in taken:
            said = f"priority {each.priority} is {taken[each.priority]}'s too: both may become master"
            yield _found(Severity.ERROR, name, path, said, "give each host a priority of its own")
        taken.setdefault(each.priority, name)
        if each.nopreempt and any(each.weights):
            said = "a weight does not move the VIP together with nopreempt"
            yield _found(Severity.WARNING, name, path, said, "use weight 0, so that a failure is FAULT")
        interfaces = {interface for interface, _ in context.hosts[name].evidence.addresses}
        if each.interface and each.interface not in interfaces:
            said = f"interface {each.interface} does not exist or has no address"
            yield _found(Severity.ERROR, name, path, said, "correct the interface")
    yield from _peers(context, seen, paths)


def _peers(
    context: AuditContext, seen: Mapping[str, KeepalivedSeen], paths: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield hosts that do not send their adverts to another one: that one believes it is alone."""
    if not any(each.peers for each in seen.values()):
        return
    # Without unicast_src_ip keepalived sends from the interface's address.
    sources = {name: each.source or str(context.cluster.master(name).address) for name, each in seen.items()}
    for name, each in seen.items():
        lacking = [other for other, source in sources.items() if other != name and source not in each.peers]
        if lacking:
            said = f"does not list {', '.join(lacking)} among its unicast_peer"
            remedy = "list every other master: else a split brain"
            yield _found(Severity.ERROR, name, paths[name], said, remedy)
        strangers = each.peers - set(sources.values())
        if strangers:
            said = f"sends its adverts to {', '.join(sorted(strangers))} too, which is none of the masters looked at"
            yield _found(
                Severity.INFO, name, paths[name], said, "remove it unless it is a master left out here"
            )
