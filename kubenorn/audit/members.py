"""Leaders and etcd: does exactly one lead, and is the quorum whole?"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.components import LEADER_ELECTED
from kubenorn.verification import Leader

LEASE_AGE = timedelta(seconds=20)
"""A lease lives 15 s and is renewed every 2; with the hosts' clocks a little apart."""
MANY_TRANSITIONS_AN_HOUR = 1.0
DEFAULT_QUOTA = 2 << 30
"""etcd's, in bytes (--quota-backend-bytes)."""
FULL_SHARE = 0.8
REVISION_LAG = 1000


def leaders(context: AuditContext) -> Iterator[Finding]:
    """Yield components that nobody leads, or several, or somebody who is none of the hosts."""
    seen = {leader.component: leader for leader in context.verification.leaders}
    for component in LEADER_ELECTED:
        yield from _active(context, component)
        leader = seen.get(component)
        if leader is None and all("kubeconfig" in host.collected.lacks for host in context.hosts.values()):
            continue  # nobody could ask
        if leader is None:
            said, remedy = "no lease tells who leads", f"systemctl status {component} on every master"
            yield _leader(Severity.ERROR, "", component, said, remedy)
            continue
        if leader.host is None and context.complete:
            said = f"is led by {leader.holder}, which is none of the masters"
            remedy = "find the host that runs it, and stop it there"
            yield _leader(Severity.ERROR, "", component, said, remedy)
        if leader.age > LEASE_AGE:
            said = f"its lease was renewed {leader.age.total_seconds():.0f} s ago"
            yield _leader(Severity.ERROR, leader.host or "", component, said, f"journalctl -u {component}")
        yield from _transitions(leader)


def _active(context: AuditContext, component: str) -> Iterator[Finding]:
    """Yield a component that several hosts say they lead, or that works on several without being elected."""
    active = [name for name, host in context.hosts.items() if says_it_leads(host, component)]
    if len(active) > 1:
        said = f"{' and '.join(active)} all say they lead: they undo each other's work"
        yield _leader(Severity.CRITICAL, "", component, said, f"restart {component} on all but one of them")
    unelected = [
        name
        for name, host in context.hosts.items()
        if host.collected.flag(component, "leader-elect") == "false"
    ]
    if unelected and len(context.cluster.masters) > 1:
        said = f"works on {', '.join(unelected)} without being elected (--leader-elect=false)"
        yield _leader(Severity.CRITICAL, "", component, said, "set --leader-elect=true on every master")


def says_it_leads(host: HostAudit, component: str) -> bool:
    """Return whether a component's own metric says that it leads (client-go, leader_election_master_status)."""
    pattern = r"^leader_election_master_status\{[^}]*\} 1(\.0+)?$"
    return bool(re.search(pattern, host.evidence.metrics(component), re.MULTILINE))


def _transitions(leader: Leader) -> Iterator[Finding]:
    """Yield a lease that keeps changing hands: so often an hour since it is there."""
    hours = max(leader.exists_for.total_seconds() / 3600, 1.0)
    rate = leader.transitions / hours
    if rate > MANY_TRANSITIONS_AN_HOUR:
        minutes = leader.held_for.total_seconds() / 60
        said = (
            f"changed hands {leader.transitions} times, {rate:.1f} times an hour, last {minutes:.0f} min ago"
        )
        remedy = f"look for restarts, slow disks and a VIP that moves: journalctl -u {leader.component}"
        yield _leader(Severity.INFO, "", leader.component, said, remedy)


def _leader(severity: Severity, host: str, subject: str, evidence: str, remedy: str) -> Finding:
    return Finding(severity, Group.LEADERS, host, subject, evidence, remedy)


def etcd(context: AuditContext) -> Iterator[Finding]:
    """Yield what is wrong with etcd's members and their data."""
    if context.cluster.settings.etcd.mode != "managed":
        return
    statuses = {
        name: host.evidence.etcd_status for name, host in context.hosts.items() if host.evidence.etcd_status
    }
    yield from _quorum(context, statuses)
    yield from _members(context)
    for name, host in context.hosts.items():
        if name not in statuses and host.runs("etcd") and "etcdctl" not in host.collected.lacks:
            said = host.evidence.etcd_error or "does not answer"
            yield _etcd(
                Severity.ERROR, name, "etcd", said[:160], f"journalctl -u {host.collected.unit_of('etcd')}"
            )
        if name in statuses and _is_cut_off(statuses, name):
            said = "knows no leader, which others do: it is cut off from the other members"
            remedy = "look at the network, its firewall and the peer certificates (port 2380)"
            yield _etcd(Severity.ERROR, name, "etcd", said, remedy)
        for alarm in host.collected.alarms:
            remedy = (
                "NOSPACE: compact, `etcdctl defrag`, then `etcdctl alarm disarm`; CORRUPT: replace the member"
            )
            yield replace(_etcd(Severity.CRITICAL, "", "alarm", alarm, remedy), identity=alarm)
    revisions = {name: int(status["header"].get("revision", 0)) for name, status in statuses.items()}
    for name, status in statuses.items():
        yield from _size(context, name, status)
        lag = max(revisions.values()) - revisions[name]
        if lag > REVISION_LAG:
            yield _etcd(
                Severity.WARNING, name, "etcd", f"is {lag} revisions behind", "look at its disk and network"
            )


def _is_cut_off(statuses: Mapping[str, dict[str, Any]], name: str) -> bool:
    """Whether a member knows no leader, and another one does."""
    led = {each: int(status.get("leader", 0)) for each, status in statuses.items()}
    return not led[name] and any(led.values())


def _members(context: AuditContext) -> Iterator[Finding]:
    """Yield members of etcd that are none of the masters or never started, and masters that are no member."""
    members = next((m for host in context.hosts.values() if (m := host.collected.members) is not None), None)
    if members is None:
        if any(
            "etcdctl" not in host.collected.lacks and host.runs("etcd") for host in context.hosts.values()
        ):
            said = "members and alarms could not be listed, and were not looked at"
            yield _etcd(Severity.WARNING, "", "members", said, "`etcdctl member list` on a master tells why")
        return
    masters = {str(master.address): master.name for master in context.cluster.masters}
    known = set()
    for member in members:
        hosts = {url.partition("://")[2].rpartition(":")[0] for url in member.peer_urls}
        mine = {masters[each] for each in hosts if each in masters} | ({member.name} & set(masters.values()))
        known |= mine
        shown = member.name or f"the member at {', '.join(member.peer_urls)}"
        if not mine:
            said = f"{shown} is a member and none of the masters: it counts for the quorum"
            found = _etcd(Severity.ERROR, "", "members", said, "`etcdctl member remove` it, or bring it back")
            yield replace(found, identity=",".join(member.peer_urls))
        elif not member.name:
            said = f"{shown} was added and never started: it counts for the quorum"
            yield _etcd(Severity.ERROR, "", "members", said, "start it, or `etcdctl member remove` it")
        if member.is_learner:
            said = f"{shown} is a learner: it does not vote"
            yield _etcd(Severity.WARNING, "", "members", said, "`etcdctl member promote` it")
    for name in sorted(set(masters.values()) - known):
        yield _etcd(Severity.ERROR, name, "members", "is no member of etcd", "`etcdctl member add` it")


def _quorum(context: AuditContext, statuses: Mapping[str, dict[str, Any]]) -> Iterator[Finding]:
    members = len(context.cluster.masters)
    alive = sum(not _is_cut_off(statuses, name) for name in statuses)
    needed = members // 2 + 1
    unasked = [name for name, host in context.hosts.items() if "etcdctl" in host.collected.lacks]
    if unasked:
        said = f"etcdctl was not found on {', '.join(unasked)}: quorum, alarms and members were not looked at"
        yield _etcd(Severity.WARNING, "", "etcdctl", said, "put it into /usr/local/bin")
    # A member that says it is healthy, and whose status was not told, is alive all the same.
    alive += sum(name not in statuses and _is_healthy(host) for name, host in context.hosts.items())
    if not unasked and alive < needed and len(context.hosts) + len(context.missing) == members:
        said = f"{alive} of {members} members answer: no quorum, nothing can be written"
        yield _etcd(Severity.CRITICAL, "", "quorum", said, "start the members that are down")
    clusters = {status["header"]["cluster_id"] for status in statuses.values()}
    if len(clusters) > 1:
        said = f"the members are of {len(clusters)} separate clusters"
        yield _etcd(Severity.CRITICAL, "", "cluster", said, "stop the one that was started by mistake")
    if statuses and not any(int(status.get("leader", 0)) for status in statuses.values()):
        yield _etcd(Severity.CRITICAL, "", "leader", "no member knows a leader", "journalctl -u etcd")
    leading = {int(status.get("leader", 0)) for status in statuses.values()} - {0}
    if len(clusters) == 1 and len(leading) > 1:
        said = f"the members name {len(leading)} different leaders: they cannot all reach each other"
        yield _etcd(Severity.ERROR, "", "leader", said, "look at the network between them, and audit again")


def _is_healthy(host: HostAudit) -> bool:
    answer = host.evidence.http.get("health-etcd")
    return answer is not None and answer.status == 200


def _size(context: AuditContext, name: str, status: Mapping[str, Any]) -> Iterator[Finding]:
    given = context.hosts[name].collected.flag("etcd", "quota-backend-bytes")
    quota = int(given) if given.isdigit() and int(given) else DEFAULT_QUOTA
    size = int(status.get("dbSize", 0))
    if size > FULL_SHARE * quota:
        said = f"its database has {size >> 20} of {quota >> 20} MiB"
        remedy = "compact and `etcdctl defrag`, or raise --quota-backend-bytes"
        yield _etcd(Severity.WARNING, name, "database", said, remedy)


def _etcd(severity: Severity, host: str, subject: str, evidence: str, remedy: str) -> Finding:
    return Finding(severity, Group.ETCD, host, subject, evidence, remedy)
