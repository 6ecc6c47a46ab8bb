"""Judges the evidence: is each host, and the cluster as a whole, what it should be?"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from kubenorn.cluster import Cluster
from kubenorn.components import LEADER_ELECTED
from kubenorn.evidence import Evidence
from kubenorn.host_verification import ETCD, SERVICES, Check, host_checks, http_ok, short
from kubenorn.verify_requests import VIP_REQUEST

VIP = "vip"
EVIDENCE = "evidence"
"""The check of a host that gave none."""


@dataclass(frozen=True)
class Leader:
    """Who leads a component: as its lease (or annotation) has it. `age` is the time since it was renewed."""

    component: str
    holder: str
    host: str | None
    age: timedelta
    held_for: timedelta
    transitions: int
    exists_for: timedelta = timedelta()
    """How long there has been such a lease, and so since when transitions are counted."""


@dataclass(frozen=True)
class Verification:
    """All checks of one cluster: by host and of the whole."""

    cluster: str
    hosts: Mapping[str, tuple[Check, ...]]
    whole: tuple[Check, ...]
    vip_holders: tuple[str, ...]
    leaders: tuple[Leader, ...]

    @property
    def ok(self) -> bool:
        """Whether every check is right."""
        return not list(self.failures())

    def failures(self) -> Iterator[tuple[str, Check]]:
        """Yield each check that is not right, with the host's or the cluster's name."""
        for host, checks in self.hosts.items():
            yield from ((host, check) for check in checks if not check.ok)
        yield from ((self.cluster, check) for check in self.whole if not check.ok)


def verify(cluster: Cluster, evidence: Mapping[str, Evidence], missing: Mapping[str, str]) -> Verification:
    """Return the judgement of the hosts in `evidence`; `missing` are hosts that gave none, with the reason."""
    hosts: dict[str, tuple[Check, ...]] = {}
    for master in cluster.masters:
        if master.name in evidence:
            hosts[master.name] = tuple(host_checks(cluster, evidence[master.name]))
        elif master.name in missing:
            hosts[master.name] = (Check(SERVICES, EVIDENCE, False, missing[master.name]),)
    holders = tuple(
        name
        for name, seen in evidence.items()
        if any(address == str(cluster.settings.vip) for _, address in seen.addresses)
    )
    leaders = tuple(leader for name in LEADER_ELECTED if (leader := _leader(name, evidence)) is not None)
    whole = (
        *_vip_checks(cluster, evidence, holders),
        *_leader_checks(cluster, evidence, leaders),
        *_etcd_cluster_checks(cluster, evidence),
        *_speaker_checks(cluster, evidence),
    )
    return Verification(cluster.name, hosts, whole, holders, leaders)


def _vip_checks(
    cluster: Cluster, evidence: Mapping[str, Evidence], holders: tuple[str, ...]
) -> Iterator[Check]:
    vip = cluster.settings.vip
    complete = len(evidence) == len(cluster.masters)
    if holders or complete:
        said = f"{vip} on {', '.join(holders)}" if holders else f"{vip} is held by no host"
        yield Check(VIP, "VIP holder", len(holders) == 1, said)
    for host, seen in evidence.items():
        check = http_ok(VIP, f"VIP from {host}", seen.http.get(VIP_REQUEST))
        # curl trusted the cluster's CA alone and found the VIP among the certificate's names.
        yield Check(
            VIP,
            check.name,
            check.ok,
            f"{check.detail}, certificate names {vip}" if check.ok else check.detail,
        )


def _leader_checks(
    cluster: Cluster, evidence: Mapping[str, Evidence], leaders: tuple[Leader, ...]
) -> Iterator[Check]:
    found = {leader.component: leader for leader in leaders}
    for component in LEADER_ELECTED:
        leader = found.get(component)
        if leader is None:
            yield Check("leaders", component, False, "no leader")
            continue
        known = leader.host is not None or len(evidence) < len(cluster.masters)
        fresh = leader.age < timedelta(seconds=30)
        detail = (
            f"{leader.host or leader.holder} for {short(leader.held_for)}, "
            f"renewed {leader.age.total_seconds():.0f} s ago, {leader.transitions} transitions"
        )
        yield Check("leaders", component, known and fresh, detail)


def _leader(component: str, evidence: Mapping[str, Evidence]) -> Leader | None:
    """Return the leader as the first host that answered has it."""
    hostnames = {seen.hostname: host for host, seen in evidence.items()}
    for seen in evidence.values():
        answer = seen.http.get(f"leader-{component}")
        lease = answer.json() if answer and answer.status == 200 else {}
        record = _election_record(lease)
        if record.get("holderIdentity") and record.get("renewTime"):
            holder = str(record["holderIdentity"])
            return Leader(
                component=component,
                holder=holder,
                # HOSTNAME_UUID, see cmd/kube-scheduler/app/server.go
                host=hostnames.get(holder.rpartition("_")[0]),
                age=max(timedelta(), seen.clock - _time(record["renewTime"])),
                held_for=seen.clock - _time(record.get("acquireTime") or record["renewTime"]),
                transitions=int(record.get("leaseTransitions", record.get("leaderTransitions", 0)) or 0),
                exists_for=seen.clock
                - _time(lease.get("metadata", {}).get("creationTimestamp") or record["renewTime"]),
            )
    return None


def _election_record(found: dict[str, object]) -> dict[str, str]:
    """Return the election record of a Lease, or the one in an Endpoints annotation (before 1.17)."""
    if isinstance(spec := found.get("spec"), dict):
        return spec
    metadata = found.get("metadata")
    annotations = (metadata.get("annotations") or {}) if isinstance(metadata, dict) else {}
    try:
        loaded = json.loads(annotations.get("control-plane.alpha.kubernetes.io/leader", "{}"))
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def _etcd_cluster_checks(cluster: Cluster, evidence: Mapping[str, Evidence]) -> Iterator[Check]:
    if cluster.settings.etcd.mode != "managed":
        return
    statuses = {host: seen.etcd_status for host, seen in evidence.items() if seen.etcd_status}
    leaders = {status.get("leader") for status in statuses.values()}
    clusters = {status["header"]["cluster_id"] for status in statuses.values()}
    good = len(leaders) == 1 and len(clusters) == 1 and len(statuses) == len(evidence)
    names = [h for h, s in statuses.items() if s.get("leader") == s["header"]["member_id"]]
    leader = f"leader {names[0]}" if names else "leader not among these hosts"
    detail = f"{len(statuses)} of {len(evidence)} members answer, {leader}"
    yield Check(
        ETCD, "etcd cluster", good, detail if len(clusters) < 2 else f"{len(clusters)} separate clusters"
    )


def _speaker_checks(cluster: Cluster, evidence: Mapping[str, Evidence]) -> Iterator[Check]:
    speaker = next((seen for seen in evidence.values() if seen.cluster_info or seen.secrets), None)
    if speaker is None:
        return
    info = " ".join(speaker.cluster_info.split())
    good = "is running at" in info
    yield Check(
        "api", "kubectl cluster-info", good, info.partition(" To further")[0][:160] if good else info[:200]
    )
    yield _encryption(cluster, speaker)


def _encryption(cluster: Cluster, seen: Evidence) -> Check:
    provider = cluster.settings.encryption.provider
    # storage/value/encrypt prefixes: k8s:enc:PROVIDER:v1:KEYNAME:
    prefix = f"k8s:enc:{provider}:v1:".encode()
    clear = [unquote(secret.key) for secret in seen.secrets if not secret.beginning.startswith(b"k8s:enc:")]
    if not seen.secrets:
        return Check("encryption", "Secrets in etcd", False, "no Secret in etcd to look at")
    if clear:
        more = f" and {len(clear) - 1} more" if len(clear) > 1 else ""
        return Check("encryption", "Secrets in etcd", False, f"not encrypted: {clear[0]}{more}")
    first = seen.secrets[0]
    shown = first.beginning[: first.beginning.rfind(b":") + 1].decode(errors="replace")
    count = sum(secret.beginning.startswith(prefix) for secret in seen.secrets)
    detail = f"{count} of {len(seen.secrets)} begin with {shown}"
    return Check("encryption", "Secrets in etcd", count == len(seen.secrets), detail)
