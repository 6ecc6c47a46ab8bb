"""How long a failover should take, from the settings: beside what was measured, and for other values."""

from dataclasses import dataclass, replace

from kubenorn.cluster import Cluster, Master
from kubenorn.drill.scenarios import Fault, Scenario

PRIORITIES = 256
DEAD_ADVERTS = 3
"""Missed adverts until a backup takes over (RFC 5798, section 6.1, Master_Down_Interval)."""
LEASE_SECONDS, RETRY_SECONDS = 15.0, 2.0
"""Defaults of --leader-elect-lease-duration and --leader-elect-retry-period."""
INTERVALS = (0.1, 0.2, 1.0, 3.0)
"""Values of vrrp.advert_interval to compare with, in seconds: the guides' are 1 and 3."""
QUICK = 0.2
"""What version 3 is for: the default of vrrp.advert_interval, in seconds."""
ELECTION_ROUNDS = 2
"""An etcd member waits up to so many election timeouts until it wants to lead (raft, section 5.2)."""
JITTER = 1.2
ISOLATING = frozenset({Scenario.HOST_FREEZE, Scenario.POWER_OFF, Scenario.NETWORK_CUT})
LOSING_ETCD = frozenset({Scenario.HOST_FREEZE, Scenario.POWER_OFF, Scenario.ETCD_MEMBER_STOP})
RELEASING = frozenset({Scenario.HAPROXY_STOP, Scenario.HAPROXY_KILL, Scenario.KEEPALIVED_STOP})


@dataclass(frozen=True)
class Vrrp:
    """The settings that decide how fast the VIP moves; `advert_interval` in seconds."""

    version: int
    advert_interval: float
    priority: int
    """The successor's."""
    password: bool = False
    """Whether there is one: version 3 knows none."""

    @property
    def skew(self) -> float:
        """Seconds a backup waits after the holder said that it goes (RFC 5798, section 6.1; RFC 3768 for 2)."""
        unit = self.advert_interval if self.version == 3 else 1.0
        return (PRIORITIES - self.priority) / PRIORITIES * unit

    def seconds(self, scenario: Scenario) -> float:
        """Return how long the VIP is gone in a scenario: until a backup takes it. 0 when it stays."""
        if scenario in RELEASING:
            return self.skew
        return DEAD_ADVERTS * self.advert_interval + self.skew if scenario in ISOLATING else 0.0


@dataclass(frozen=True)
class WhatIf:
    """What a setting costs now, and would cost with other values; in milliseconds."""

    setting: str
    value: str
    milliseconds: float
    others: dict[str, float]
    """By value."""

    def __str__(self) -> str:
        instead = ", ".join(f"{value}: {cost:.0f} ms" for value, cost in self.others.items())
        return f"{self.setting} {self.value} costs {self.milliseconds:.0f} ms ({instead})"


def vrrp_of(cluster: Cluster, successor: Master) -> Vrrp:
    """Return what decides when `successor` takes the VIP."""
    settings = cluster.settings.vrrp
    return Vrrp(
        settings.version, settings.advert_interval, successor.vrrp_priority, settings.password is not None
    )


def leader_seconds(cluster: Cluster, component: str) -> float:
    """Return after how long at most another process leads when the leader is gone: its lease runs out, somebody asks.

    They ask every retry period and up to 1.2 of it more (JitterFactor of client-go's tools/leaderelection). The
    flags' values where the inventory gives them as extra arguments.
    """
    extra = cluster.settings.extra_arguments.items()
    given = next((arguments for name, arguments in extra if name == component), {})

    def of(flag: str, default: float) -> float:
        text = str(given.get(flag) or "")
        number, unit = text[:-1], text[-1:]
        return float(number) if unit == "s" and number.replace(".", "", 1).isdigit() else default

    lease = of("leader-elect-lease-duration", LEASE_SECONDS)
    return lease + of("leader-elect-retry-period", RETRY_SECONDS) * (1 + JITTER)


def election_seconds(cluster: Cluster) -> float:
    """Return how long etcd on the masters has no leader once that is lost, at most unless votes are split.

    0 when etcd is elsewhere.
    """
    settings = cluster.settings.etcd
    return ELECTION_ROUNDS * settings.election_timeout if settings.mode == "managed" else 0.0


def recovery_seconds(cluster: Cluster, fault: Fault, successor: Master | None) -> float:
    """Return how long a cluster needs to recover from a fault, by its settings; `successor` takes the VIP."""
    if fault.scenario is Scenario.LEADER_STOP:
        return leader_seconds(cluster, fault.unit)
    moved = vrrp_of(cluster, successor).seconds(fault.scenario) if successor else 0.0
    elects = fault.scenario in LOSING_ETCD
    # The API answers once the VIP is there and etcd has a leader; both go on at once.
    return max(moved, election_seconds(cluster) if elects else 0.0)


def what_ifs(vrrp: Vrrp, scenario: Scenario) -> list[WhatIf]:
    """Return what interval of adverts, version and priority cost in a scenario, where other values cost another."""
    # Version 2 counts whole seconds alone (RFC 3768).
    intervals = [i for i in INTERVALS if i != vrrp.advert_interval and (vrrp.version == 3 or i == int(i))]
    others = {f"{i:g} s": replace(vrrp, advert_interval=i) for i in intervals}
    offered = [("vrrp.advert_interval", f"{vrrp.advert_interval:g} s", others)]
    if vrrp.version == 2 and not vrrp.password:
        third = replace(vrrp, version=3, advert_interval=QUICK)
        offered.append(("vrrp.version", "2", {f"3 with vrrp.advert_interval {QUICK:g} s": third}))
    others = {str(p): replace(vrrp, priority=p) for p in (100, 254) if p != vrrp.priority}
    offered.append(("the successor's vrrp_priority", str(vrrp.priority), others))
    now = vrrp.seconds(scenario) * 1000
    found = [
        WhatIf(setting, value, now, {name: other.seconds(scenario) * 1000 for name, other in each.items()})
        for setting, value, each in offered
    ]
    return [each for each in found if any(cost != now for cost in each.others.values())]
