"""What every check of the audit may look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubenorn.audit.collected import Collected
from kubenorn.cluster import Cluster
from kubenorn.evidence import Evidence
from kubenorn.observed import ObservedHost
from kubenorn.plan import HostPlan
from kubenorn.verification import Verification


@dataclass(frozen=True)
class HostAudit:
    """Everything that was collected on one host, between `asked` and `answered` by this machine's clock (UTC)."""

    observed: ObservedHost
    evidence: Evidence
    collected: Collected
    asked: datetime
    answered: datetime

    def runs(self, component: str) -> bool:
        """Whether a component runs: as a process, and where it has a unit, in one that is active."""
        process = self.collected.processes.get(component)
        unit = self.collected.units.get(process.unit) if process else None
        return process is not None and (unit is None or unit.is_active)

    @property
    def clock_skew(self) -> timedelta:
        """By how much its clock is ahead (negative: behind): at least, as nobody knows when exactly it looked."""
        clock = self.observed.clock
        return clock - min(max(clock, self.asked), self.answered)


@dataclass(frozen=True)
class AuditContext:
    """One cluster: its settings, what its hosts said, and what they should be."""

    cluster: Cluster
    hosts: Mapping[str, HostAudit]
    missing: Mapping[str, str]
    """Hosts that gave no answer, and why."""
    verification: Verification
    plans: Mapping[str, HostPlan]
    """What deploy would change; empty where this machine does not have the cluster's artifacts."""
    now: datetime

    @property
    def complete(self) -> bool:
        """Whether every master of the cluster was looked at, and answered."""
        return len(self.hosts) == len(self.cluster.masters)
