"""In which order the hosts of a running cluster are changed, and what must hold before and after each."""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kubenorn.cluster import Cluster
from kubenorn.errors import InputWrongError
from kubenorn.evidence import Evidence
from kubenorn.host_verification import backend_states, host_checks
from kubenorn.observed import ObservedHost
from kubenorn.plan import HostPlan
from kubenorn.records import UnitState


@dataclass(frozen=True)
class Serial:
    """How many hosts of a running cluster are changed at once: a number, or a share of them."""

    count: int | None = None
    percent: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Serial":
        """Return what `2` or `25%` says. Raises InputWrongError for anything else."""
        match = re.fullmatch(r"(\d{1,6})(%?)", text)
        number = int(match[1]) if match else 0
        if not match or number < 1 or (match[2] and number > 100):
            raise InputWrongError(
                f"--serial {text!r} is neither a number of hosts nor a percentage; write 1 or 25%."
            )
        return cls(percent=number) if match[2] else cls(count=number)

    def of(self, hosts: int) -> int:
        """Return how many of `hosts` at once: at least one."""
        share = self.count or math.floor(hosts * (self.percent or 0) / 100)
        return max(1, min(hosts, share))


class HasUnits(Protocol):
    """What was seen on a host, by whatever looked."""

    @property
    def units(self) -> Mapping[str, UnitState]:
        """The state of each unit, by its name without `.service`."""


def is_running(seen: Mapping[str, HasUnits]) -> bool:
    """Whether the hosts already are a control plane somebody may be using: a kube-apiserver runs on one of them."""
    units = (host.units.get("kube-apiserver") for host in seen.values())
    return any(unit is not None and unit.is_active for unit in units)


def restarts_since(before: Mapping[str, Evidence], now: Mapping[str, Evidence], host: str, unit: str) -> int:
    """Return how often systemd had to restart a unit since `before`; it counts anew when one starts it by hand."""
    then = before[host].units.get(unit) if host in before else None
    count, counted = now[host].units[unit].restarts, then.restarts if then else 0
    return count - counted if count >= counted else count


def batches(
    cluster: Cluster,
    plans: Mapping[str, HostPlan],
    observed: Mapping[str, ObservedHost],
    serial: Serial,
) -> list[list[str]]:
    """Return which hosts are changed at once, in order: those with a stopped unit first, the VIP holder last.

    etcd members and, with them, every host whose etcd is touched go one at a time, whatever `serial` says.
    """
    hosts = [host for host, plan in plans.items() if not plan.empty]
    touches_etcd = any(action.unit == "etcd" for host in hosts for action in plans[host].unit_actions)
    size = 1 if touches_etcd else serial.of(len(observed))
    return ordered(cluster, hosts, observed, size)


def ordered(
    cluster: Cluster, hosts: Sequence[str], observed: Mapping[str, ObservedHost], size: int
) -> list[list[str]]:
    """Return `hosts` in groups of `size`: those with a stopped unit first, the VIP holder last and alone."""
    holders = [host for host in hosts if observed[host].interface_of(cluster.settings.vip)]
    broken = [host for host in hosts if host not in holders and _has_stopped_unit(observed[host])]
    others = [host for host in hosts if host not in holders and host not in broken]
    rest = broken + others
    chunks = [rest[start : start + size] for start in range(0, len(rest), size)]
    # The holder alone: while it is changed, every other host can take the VIP.
    return chunks + [[holder] for holder in holders]


def _has_stopped_unit(host: ObservedHost) -> bool:
    return any(not unit.is_active for unit in host.units.values())


def refusals(
    cluster: Cluster, batch: Sequence[str], touched: Collection[str], evidence: Mapping[str, Evidence]
) -> Iterator[str]:
    """Yield why a batch must not be touched now: what would be left could not lose one more, or nothing.

    `touched` are the units that would be restarted or reloaded there. `evidence` is that of all masters that
    answered, whether they are selected or not: one that did not answer counts as one that is not healthy. A batch of
    which nothing works has nothing to lose, and may be what mends the cluster.
    """
    if "kube-apiserver" in touched and len(cluster.masters) > len(batch):
        healthy = {host for host, seen in evidence.items() if _answers(seen, "health-kube-apiserver")}
        if healthy & set(batch) and not healthy - set(batch):
            yield f"{', '.join(batch)}: no other host's kube-apiserver is healthy; mend one of them first."
    if "etcd" in touched and cluster.settings.etcd.mode == "managed":
        yield from _etcd_refusals(cluster, batch, evidence)


def _etcd_refusals(cluster: Cluster, batch: Sequence[str], evidence: Mapping[str, Evidence]) -> Iterator[str]:
    healthy = {host for host, seen in evidence.items() if _answers(seen, "health-etcd")}
    sick = [master.name for master in cluster.masters if master.name not in {*healthy, *batch}]
    if not sick or not healthy & set(batch):
        return
    left = len(cluster.masters) - len(sick) - len(batch)
    if left < len(cluster.masters) // 2 + 1:
        yield (
            f"{', '.join(batch)}: etcd member {', '.join(sick)} is not healthy, so etcd would lose its quorum "
            "with this one too; bring that member back first (journalctl -u etcd tells what ails it)."
        )


def _answers(seen: Evidence, request: str) -> bool:
    answer = seen.http.get(request)
    return answer is not None and answer.status == 200


def not_ready(cluster: Cluster, host: str, evidence: Mapping[str, Evidence]) -> list[str]:
    """Return what keeps a host from being ready: its own checks, and load balancers that do not use it yet."""
    if host not in evidence:
        return [f"{host} does not answer"]
    found = [
        f"{check.group} {check.name}: {check.detail}"
        for check in host_checks(cluster, evidence[host])
        if not check.ok and check.name != "haproxy backends"
    ]
    for other, seen in evidence.items():
        status = backend_states(seen).get(host)
        if status is not None and not status.startswith("UP"):
            found.append(f"haproxy on {other} has its kube-apiserver {status}")
    return found
