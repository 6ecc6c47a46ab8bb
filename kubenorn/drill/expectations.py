"""What a drill expects of a highly available control plane, and whether it was so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubenorn.cluster import Cluster, Master
from kubenorn.drill.measure import Measured
from kubenorn.drill.prediction import leader_seconds
from kubenorn.drill.scenarios import Fault, Scenario
from kubenorn.errors import HostsWrongError

ADVERTS_UNTIL_ONE = 3
"""After a split brain is healed, so many adverts may pass until only one host has the VIP."""

LEADER_MARGIN_SECONDS = 1
"""The leader renewed its lease up to a moment before it ended, and the watch tells a moment later."""


@dataclass(frozen=True)
class Limits:
    """What is asked for, in milliseconds."""

    outage: float
    overlap: float


@dataclass(frozen=True)
class Expectation:
    """One thing that was expected: whether it was so, and what was seen."""

    name: str
    ok: bool
    seen: str


@dataclass(frozen=True)
class Course:
    """How a fault went, beside what was measured."""

    stopped: bool
    """Whether its unit stood still, where it is one that stops a unit."""
    recovered: bool
    """Whether the cluster recovered while it lasted."""
    wrong: list[str]
    """What was still wrong in the end, host by host."""


def the_holder(holders: Sequence[str], vip: object) -> str:
    """Return who has the VIP. Raises HostsWrongError when that is nobody, or more than one host."""
    if len(holders) == 1:
        return holders[0]
    who = f"{' and '.join(holders)} both have" if holders else "no host has"
    raise HostsWrongError(
        f"{who} the VIP {vip}, so nothing is stopped. Look at keepalived there (journalctl -u keepalived), and that "
        "no firewall drops VRRP."
    )


def successor_of(cluster: Cluster, host: str) -> Master | None:
    """Return the master that is to take the VIP from `host`: the highest priority among the others."""
    rest = [master for master in cluster.masters if master.name != host]
    return max(rest, key=lambda master: master.vrrp_priority, default=None)


def expectations(
    cluster: Cluster, measured: Measured, limits: Limits, course: Course
) -> Iterator[Expectation]:
    """Yield what was expected of one fault, and whether it was so."""
    traits = measured.fault.traits
    yield from _course(measured.fault, course)
    yield _outage(measured, limits)
    if traits.moves_vip:
        yield from _vip(cluster, measured, limits)
    else:
        moved = measured.successor is not None
        yield Expectation(
            "VIP stays", not moved, f"it went to {measured.successor}" if moved else "it did not move"
        )
    if measured.fault.scenario is Scenario.LEADER_STOP:
        yield _leader(cluster, measured)
    yield Expectation(
        "all well again", not course.wrong, "; ".join(course.wrong) or "every component is ready"
    )


def _course(fault: Fault, course: Course) -> Iterator[Expectation]:
    """Judge that the fault was one, without which the rest says nothing, and that the cluster got over it."""
    if fault.stops_unit:
        seen = "it stood still" if course.stopped else f"it ran on after `{fault.breaking}`"
        yield Expectation(f"{fault.unit} stopped", course.stopped, seen)
    if fault.scenario is not Scenario.STEADY:
        seen = "it did" if course.recovered else "it did not before it was mended"
        yield Expectation(f"recovered within {fault.recovery_seconds:.0f} s", course.recovered, seen)


def _outage(measured: Measured, limits: Limits) -> Expectation:
    name = f"outage up to {limits.outage:.0f} ms"
    if measured.outage is None:
        return Expectation(name, False, "the API did not answer again")
    failed = f", {measured.failed} of {measured.probes} probes failed" if measured.failed else ""
    return Expectation(name, measured.outage <= limits.outage, f"{measured.outage:.0f} ms{failed}")


def _vip(cluster: Cluster, measured: Measured, limits: Limits) -> Iterator[Expectation]:
    fault, settings = measured.fault, cluster.settings.vrrp
    heir = successor_of(cluster, fault.host)
    wanted = heir.name if heir else "nobody"
    yield Expectation(
        "successor has the highest priority left",
        measured.successor == wanted,
        f"{measured.successor or 'nobody'} took it"
        + ("" if measured.successor == wanted else f", not {wanted}"),
    )
    yield _overlap(cluster, measured, limits)
    last = measured.last_holder
    if fault.traits.isolates:
        # The host that was cut off still believes it is master: the higher priority wins, preemption or not.
        yield Expectation("one holder in the end", last is not None, f"{last or 'nobody'} has it")
    elif settings.preempt:
        highest = max(cluster.masters, key=lambda master: master.vrrp_priority).name
        yield Expectation(f"VIP returns to {highest} (preempt)", last == highest, f"{last} has it")
    else:
        yield Expectation(
            "VIP stays with the successor (nopreempt)", last == measured.successor, f"{last} has it"
        )


def _overlap(cluster: Cluster, measured: Measured, limits: Limits) -> Expectation:
    """Judge how long two hosts had the VIP: of a host cut off from the others only from its mending on."""
    if not measured.fault.traits.isolates:
        name = f"two holders for at most {limits.overlap:.0f} ms"
        return Expectation(name, measured.overlap <= limits.overlap, f"{measured.overlap:.0f} ms")
    limit = limits.overlap + ADVERTS_UNTIL_ONE * cluster.settings.vrrp.advert_interval * 1000
    mended, before = measured.overlap_mended, measured.overlap - measured.overlap_mended
    return Expectation(
        f"two holders for at most {limit:.0f} ms once mended",
        mended <= limit,
        f"{mended:.0f} ms (and {before:.0f} ms while {measured.fault.host} was cut off)",
    )


def _leader(cluster: Cluster, measured: Measured) -> Expectation:
    component = measured.fault.unit
    limit = leader_seconds(cluster, component) + LEADER_MARGIN_SECONDS
    name = f"{component} led by another within {limit:.0f} s"
    if measured.leader_back is None:
        return Expectation(name, False, "nobody took the lease")
    seconds = measured.leader_back / 1000
    return Expectation(name, seconds <= limit, f"after {seconds:.1f} s")
