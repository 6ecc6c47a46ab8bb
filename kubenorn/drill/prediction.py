"""How long a failover should take, from the settings: beside what was measured, and for other values."""

from dataclasses import dataclass, replace

from kubenorn.cluster import Cluster, Master
from kubenorn.drill.scenarios import Scenario

PRIORITIES = 256
DEAD_ADVERTS = 3
"""Missed adverts until a backup takes over (RFC 5798, section 6.1, Master_Down_Interval)."""
LEASE_SECONDS, RETRY_SECONDS = 15.0, 2.0
"""Defaults of --leader-elect-lease-duration and --leader-elect-retry-period."""
INTERVALS = (0.1, 0.2, 1.0, 3.0)
"""Values of vrrp.advert_interval to compare with, in seconds: the guides' are 1 and 3."""
JITTER = 1.2
ISOLATING = frozenset({Scenario.HOST_FREEZE, Scenario.POWER_OFF, Scenario.NETWORK_CUT})
RELEASING = frozenset({Scenario.HAPROXY_STOP, Scenario.HAPROXY_KILL, Scenario.KEEPALIVED_STOP})


@dataclass(frozen=True)
class Vrrp:
    """The settings that decide how fast the VIP moves; `advert_interval` in seconds."""

    version: int
    advert_interval: float
    priority: int
    """The successor's."""

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
    return Vrrp(settings.version, settings.advert_interval, successor.vrrp_priority)


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


def what_ifs(vrrp: Vrrp, scenario: Scenario) -> list[WhatIf]:
    """Return what the interval of adverts and the priority cost in a scenario, and what other values would."""
    now = vrrp.seconds(scenario) * 1000
    found = []
    if vrrp.version == 3:
        intervals = [each for each in INTERVALS if each != vrrp.advert_interval]
        others = {f"{i:g} s": replace(vrrp, advert_interval=i).seconds(scenario) * 1000 for i in intervals}
        found.append(WhatIf("vrrp.advert_interval", f"{vrrp.advert_interval:g} s", now, others))
    else:
        third = Vrrp(3, vrrp.advert_interval, vrrp.priority).seconds(scenario) * 1000
        found.append(WhatIf("vrrp.version", "2", now, {"3": third}))
    priorities = [each for each in (100, 254) if each != vrrp.priority]
    others = {str(p): replace(vrrp, priority=p).seconds(scenario) * 1000 for p in priorities}
    return [*found, WhatIf("the successor's vrrp_priority", str(vrrp.priority), now, others)]
