"""What a drill found: every fault with what it cost and what was expected of it, and their summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf, isinf
from statistics import median

from kubenorn.drill.expectations import Expectation, Limits
from kubenorn.drill.measure import Measured
from kubenorn.drill.prediction import LOSING_ETCD, Vrrp, WhatIf, what_ifs
from kubenorn.drill.scenarios import TRAITS, Scenario

PHASES = {
    "noticed": "until keepalived noticed",
    "released": "until the VIP was given up",
    "taken": "until another host took the VIP",
    "answered": "until the API answered there",
}
GOVERNED_BY = {
    "noticed": "how keepalived learns that haproxy is down (track_file at once; a script: interval × fall)",
    "released": "keepalived's own work, and how busy the host is",
    "taken": "VRRP's skew: vrrp.advert_interval and the successor's vrrp_priority",
    "answered": "gratuitous ARP (garp_master_delay), and connections that began before it",
}
GOVERNED_WHEN_ISOLATED = {
    "noticed": "three missed adverts: vrrp.advert_interval",
    "taken": "three missed adverts: vrrp.advert_interval",
}
ANSWERED_WITHOUT_HOST = (
    "gratuitous ARP (garp_master_delay); or, where the lost host led etcd, etcd's election: etcd.election_timeout, "
    "see docs/decisions/009"
)
"""What governs the last phase when a host is lost with its etcd."""


@dataclass(frozen=True)
class Drilled:
    """One fault: its number in the drill, when it was (UTC), what it cost and what was expected."""

    number: int
    at: datetime
    measured: Measured
    expectations: tuple[Expectation, ...]
    predicted: float | None
    """How long the VIP should have been gone, in milliseconds; None where it is not to move."""
    samples: tuple[tuple[float, float, str], ...]
    """The probes: start and end in milliseconds since the host was broken, and how each ended."""

    @property
    def ok(self) -> bool:
        """Whether all was as expected."""
        return all(each.ok for each in self.expectations)

    @property
    def phases(self) -> dict[str, float | None]:
        """Milliseconds of each phase, from the end of the one before; None where its end was not seen."""
        m = self.measured
        # A host that is cut off keeps its address until it is mended; nobody waits for that.
        gone = None if m.fault.traits.isolates else m.vip_gone
        edges = (0.0, m.noticed, gone, m.vip_there, m.api_back)
        found: dict[str, float | None] = {}
        before = 0.0
        for name, edge in zip(PHASES, edges[1:], strict=True):
            found[name] = None if edge is None else max(0.0, edge - before)
            before = before if edge is None else max(before, edge)
        return found


@dataclass(frozen=True)
class Summary:
    """One scenario over its cycles: milliseconds of outage, failed probes, and which phase took longest."""

    scenario: Scenario
    cycles: int
    outage_median: float | None
    outage_longest: float | None
    """None for both: endless."""
    failed: int
    probes: int
    overlap_longest: float
    predicted: float | None
    """Median of what was predicted: how long the VIP should have been gone."""
    dominant: str
    """The phase with the longest median; empty where there was none."""
    dominant_median: float
    governed_by: str
    what_ifs: tuple[WhatIf, ...]


@dataclass(frozen=True)
class DrillReport:
    """A whole drill of one cluster."""

    cluster: str
    started: datetime
    limits: Limits
    hosts: tuple[str, ...]
    priorities: dict[str, int]
    vrrp: dict[str, str]
    probe_interval: float
    """Milliseconds between two probes."""
    drilled: tuple[Drilled, ...]
    skipped: tuple[str, ...] = ()
    """Which scenarios `all` left out, and why."""
    dropped: tuple[str, ...] = ()
    """Which cycles were asked for and not drilled, and why."""
    ended_early: str = ""
    """Why the drill did not come to its end; empty when it did."""

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was drilled, and all was as expected."""
        complete = not self.ended_early and not self.dropped
        return complete and bool(self.drilled) and all(each.ok for each in self.drilled)


def summaries(report: DrillReport, vrrp: Vrrp) -> list[Summary]:
    """Return each scenario's summary, in the order of the drill; `vrrp` are the settings now."""
    scenarios = dict.fromkeys(each.measured.fault.scenario for each in report.drilled)
    return [
        _summary(scenario, [d for d in report.drilled if d.measured.fault.scenario is scenario], vrrp)
        for scenario in scenarios
    ]


def _summary(scenario: Scenario, drilled: Sequence[Drilled], vrrp: Vrrp) -> Summary:
    outages = [inf if d.measured.outage is None else d.measured.outage for d in drilled]
    medians = {name: _median([d.phases[name] for d in drilled]) for name in PHASES}
    moved = any(d.measured.successor for d in drilled)
    dominant = max(PHASES, key=lambda name: medians[name] or 0.0) if moved else ""
    isolates = drilled[0].measured.fault.traits.isolates
    by_vrrp = dominant == "taken" or (isolates and dominant in GOVERNED_WHEN_ISOLATED)
    return Summary(
        scenario,
        len(drilled),
        _unless_endless(median(outages)),
        _unless_endless(max(outages)),
        sum(d.measured.failed for d in drilled),
        sum(d.measured.probes for d in drilled),
        max(d.measured.overlap_mended if isolates else d.measured.overlap for d in drilled),
        _median([d.predicted for d in drilled]),
        dominant,
        medians.get(dominant) or 0.0,
        _governed_by(scenario, dominant),
        tuple(what_ifs(vrrp, scenario)) if by_vrrp else (),
    )


def _governed_by(scenario: Scenario, phase: str) -> str:
    """Return what decides how long a phase takes in a scenario; empty for no phase."""
    if phase == "answered" and scenario in LOSING_ETCD:
        return ANSWERED_WITHOUT_HOST
    isolated = GOVERNED_WHEN_ISOLATED if TRAITS[scenario].isolates else {}
    return isolated.get(phase) or GOVERNED_BY.get(phase, "")


def _unless_endless(outage: float) -> float | None:
    return None if isinf(outage) else outage


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
