"""What a drill breaks: scenarios, and the commands that break and mend a host."""

import shlex
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from kubenorn.cluster import Cluster
from kubenorn.components import LEADER_ELECTED


class Scenario(StrEnum):
    """What can be broken."""

    HAPROXY_STOP = "haproxy-stop"
    HAPROXY_KILL = "haproxy-kill"
    KEEPALIVED_STOP = "keepalived-stop"
    APISERVER_STOP = "apiserver-stop"
    NETWORK_CUT = "network-cut"
    HOST_FREEZE = "host-freeze"
    POWER_OFF = "power-off"
    LEADER_STOP = "leader-stop"
    ETCD_MEMBER_STOP = "etcd-member-stop"
    STEADY = "steady"


class Aim(StrEnum):
    """Which host a scenario breaks."""

    VIP_HOLDER = "the VIP's holder"
    LEADER = "the leader"
    ETCD_LEADER = "etcd's leader"


class Hook(StrEnum):
    """A command of the operator's own for what a host cannot do to itself: `user_defined.hooks` of config.yaml."""

    FREEZE = "freeze"
    THAW = "thaw"
    POWER_OFF = "power_off"
    POWER_ON = "power_on"


@dataclass(frozen=True)
class Traits:
    """What sets a scenario apart."""

    summary: str
    aim: Aim = Aim.VIP_HOLDER
    moves_vip: bool = True
    isolates: bool = False
    """Whether the host cannot give its address up: it hangs, is gone, or does not hear the others."""
    hooks: tuple[Hook, Hook] | None = None
    """What breaks and what mends the host, where that takes more than a command on it."""
    recovery_seconds: float = 30.0
    """How long the cluster may take to recover, whatever its settings say."""


TRAITS = {
    Scenario.HAPROXY_STOP: Traits("systemctl stop haproxy on the VIP's holder"),
    Scenario.HAPROXY_KILL: Traits("SIGKILL to haproxy on the VIP's holder"),
    Scenario.KEEPALIVED_STOP: Traits("systemctl stop keepalived on the VIP's holder"),
    Scenario.APISERVER_STOP: Traits(
        "systemctl stop kube-apiserver on the VIP's holder", moves_vip=False, recovery_seconds=60
    ),
    Scenario.NETWORK_CUT: Traits("the VIP's holder drops VRRP and API traffic", isolates=True),
    Scenario.HOST_FREEZE: Traits(
        "the VIP's holder hangs (hook)", isolates=True, hooks=(Hook.FREEZE, Hook.THAW)
    ),
    Scenario.POWER_OFF: Traits(
        "the VIP's holder loses its power (hook)", isolates=True, hooks=(Hook.POWER_OFF, Hook.POWER_ON)
    ),
    Scenario.LEADER_STOP: Traits(
        "the leading kube-controller-manager stops, then the leading kube-scheduler",
        Aim.LEADER,
        moves_vip=False,
        recovery_seconds=60,
    ),
    Scenario.ETCD_MEMBER_STOP: Traits("etcd's leader stops", Aim.ETCD_LEADER, moves_vip=False),
    Scenario.STEADY: Traits(
        "nothing is broken: the VIP has to hold still for --steady-for (not part of all)", moves_vip=False
    ),
}

RECOVERY_MARGIN_SECONDS = 10.0
"""How much longer than its settings say a cluster may take to recover."""
DEAD_MAN_MARGIN_SECONDS = 30
"""How long after the drill should have mended a host the host mends itself."""
CUT_TABLE = "kubenorn_drill"
"""The nftables table (and the comment of iptables rules) of a network cut."""
STOP = "systemctl stop "
"""How a command begins after which a unit stands still, unlike one that was killed."""
VRRP_PROTOCOL = 112
"""IANA's protocol number; nft and iptables know it without /etc/protocols."""


@dataclass(frozen=True)
class Fault:
    """One thing to break on one host, and how it is mended: by commands on the host, or by the operator's hooks."""

    scenario: Scenario
    host: str
    what: str
    """The unit, or what else is lost, as people call it."""
    breaking: str = ""
    mending: str = ""
    unit: str = ""
    """The unit that is to be active again afterwards."""
    predicted_seconds: float = 0.0
    """How long the cluster needs to recover, by its settings; see kubenorn/drill/prediction.py."""

    @property
    def traits(self) -> Traits:
        """What sets its scenario apart."""
        return TRAITS[self.scenario]

    @property
    def stops_unit(self) -> bool:
        """Whether its unit is to stand still until it is mended."""
        return self.breaking.startswith(STOP)

    @property
    def recovery_seconds(self) -> float:
        """How long the cluster may take to recover before the drill gives up and mends the host."""
        return max(self.traits.recovery_seconds, self.predicted_seconds + RECOVERY_MARGIN_SECONDS)

    @property
    def dead_man_seconds(self) -> int:
        """After how many seconds the host mends itself, should nobody else do so."""
        return ceil(self.recovery_seconds) + DEAD_MAN_MARGIN_SECONDS

    def __str__(self) -> str:
        which = f" ({self.what})" if self.scenario is Scenario.LEADER_STOP else ""
        return f"{self.scenario}{which} on {self.host}"


def unit_fault(scenario: Scenario, host: str, unit: str) -> Fault:
    """Return the fault of a unit that is stopped (killed in `haproxy-kill`)."""
    service = f"{unit}.service"
    breaking = f"{STOP}{service}"
    if scenario is Scenario.HAPROXY_KILL:
        breaking = f"systemctl kill --kill-who=all --signal=SIGKILL {service}"
    return Fault(scenario, host, unit, breaking, f"systemctl start {service}", unit)


def network_fault(cluster: Cluster, host: str) -> Fault:
    """Return the fault of a host that hears nobody's VRRP and serves no API; SSH and etcd go on."""
    ports = (cluster.settings.vip_port, cluster.settings.apiserver_port)
    return Fault(
        Scenario.NETWORK_CUT, host, "VRRP and API traffic", _cut(ports), _mend_cut(ports), "keepalived"
    )


def _cut(ports: tuple[int, int]) -> str:
    """Return a line of shell that drops VRRP and the ports both ways, with nftables or else iptables."""
    listed = ", ".join(map(str, ports))
    drops = f"ip protocol {VRRP_PROTOCOL} drop; tcp dport {{ {listed} }} drop; tcp sport {{ {listed} }} drop;"
    chains = " ".join(
        f"chain {hook} {{ type filter hook {hook} priority -300; {drops} }};" for hook in ("input", "output")
    )
    nft = f"printf '%s\\n' {shlex.quote(f'table inet {CUT_TABLE} {{ {chains} }}')} | nft -f -"
    iptables = " && ".join(f"iptables -w -I {rule}" for rule in _rules(ports))
    return f"if command -v nft >/dev/null; then {nft}; else {iptables}; fi"


def _mend_cut(ports: tuple[int, int]) -> str:
    """Return a line of shell that lifts the cut, as often as it is run.

    It succeeds only when the host lists what it filters, and the cut is not among that.
    """
    delete = f"nft delete table inet {CUT_TABLE} 2>/dev/null"
    nft = f"{delete}; {_listed_without_cut('nft list tables')}"
    delete = "; ".join(
        f"while iptables -w -C {rule} 2>/dev/null; do iptables -w -D {rule} || exit 1; done"
        for rule in _rules(ports)
    )
    iptables = f"{delete}; {_listed_without_cut('iptables -w -S')}"
    return f"if command -v nft >/dev/null; then {nft}; else {iptables}; fi"


def _listed_without_cut(listing: str) -> str:
    """Return shell that fails when the command fails, or names the cut."""
    return f"""left=$({listing}) || exit 1; case "$left" in *{CUT_TABLE}*) exit 1 ;; esac"""


def _rules(ports: tuple[int, int]) -> list[str]:
    comment = f"-m comment --comment {CUT_TABLE} -j DROP"
    matches = [f"-p {VRRP_PROTOCOL}"]
    matches += [f"-p tcp --{side} {port}" for port in ports for side in ("dport", "sport")]
    return [f"{chain} {match} {comment}" for chain in ("INPUT", "OUTPUT") for match in matches]


def hook_fault(scenario: Scenario, host: str) -> Fault:
    """Return the fault of a whole host, for which the operator has hooks."""
    what = "the whole host" if scenario is Scenario.HOST_FREEZE else "its power"
    return Fault(scenario, host, what, unit="keepalived")


def faults(
    scenario: Scenario, cluster: Cluster, *, holder: str, leaders: dict[str, str], etcd_leader: str | None
) -> list[Fault]:
    """Return what a scenario breaks now: `holder` has the VIP, `leaders` are hosts by component.

    `leader-stop` is two faults, one a component. Empty where nobody is known to lead.
    """
    units = {
        Scenario.HAPROXY_STOP: {"haproxy": holder},
        Scenario.HAPROXY_KILL: {"haproxy": holder},
        Scenario.KEEPALIVED_STOP: {"keepalived": holder},
        Scenario.APISERVER_STOP: {"kube-apiserver": holder},
        Scenario.LEADER_STOP: {each: leaders[each] for each in LEADER_ELECTED if each in leaders},
        Scenario.ETCD_MEMBER_STOP: {"etcd": etcd_leader} if etcd_leader else {},
    }
    if scenario is Scenario.STEADY:
        return [Fault(scenario, holder, "nothing", "true", "true", "keepalived")]
    if scenario is Scenario.NETWORK_CUT:
        return [network_fault(cluster, holder)]
    if TRAITS[scenario].hooks:
        return [hook_fault(scenario, holder)]
    return [unit_fault(scenario, host, unit) for unit, host in units[scenario].items()]


def dead_man_unit(fault: Fault, run_id: str, number: int) -> str:
    """Return the name of the transient timer that mends the host when nobody else does."""
    safe = "".join(sign if sign.isalnum() else "-" for sign in run_id)
    return f"kubenorn-drill-{safe}-{fault.what.replace(' ', '-')}-{number}"


def arming(fault: Fault, name: str) -> str:
    """Return the command that arms the dead-man switch called `name` on the fault's host (systemd-run(1))."""
    # A timer of systemd-run is up to a minute late unless told otherwise.
    options = f"--quiet --unit={name} --on-active={fault.dead_man_seconds} --timer-property=AccuracySec=1s"
    return f"systemd-run {options} /bin/sh -c {shlex.quote(_for_systemd(fault.mending))}"


def breaking_while_armed(fault: Fault, name: str) -> str:
    """Return the command that breaks the host, and refuses to where the dead-man switch is not armed (any more)."""
    refusal = "{ echo 'the dead-man switch is not armed'; exit 1; }"
    return f"systemctl is-active --quiet {name}.timer || {refusal}; {fault.breaking}"


def disarming(name: str) -> str:
    """Return the command that disarms it."""
    return f"systemctl stop {name}.timer"


def _for_systemd(line: str) -> str:
    return line.replace("%", "%%").replace("$", "$$")
