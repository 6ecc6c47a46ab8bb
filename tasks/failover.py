"""A failover drill from its preconditions to its report; `runbooks/failover.py` puts the steps in order."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.live import Live

from kubenorn.cluster import Cluster
from kubenorn.console import console, errors
from kubenorn.drill.board import Board
from kubenorn.drill.expectations import Limits, the_holder
from kubenorn.drill.live import LiveView
from kubenorn.drill.prediction import vrrp_of
from kubenorn.drill.report import drill_html, drill_json, drill_junit
from kubenorn.drill.results import DrillReport, Summary, summaries
from kubenorn.drill.scenarios import TRAITS, Aim, Fault, Scenario
from kubenorn.drill.tables import drill_tables, one_line, preview
from kubenorn.errors import HostsUnreachableError, HostsWrongError, InputWrongError, KubenornError
from kubenorn.files import write_atomically
from kubenorn.junit import write_junit
from kubenorn.report import write_json
from kubenorn.verification import EVIDENCE, Verification
from tasks.breaking import Breaker
from tasks.drill import Drill
from tasks.interrupt import Interrupt
from tasks.observing import Observers, observing
from tasks.prober import probing, reachable, target_of
from tasks.session import Session

PROGRAMS = ("systemd-run", "systemctl", "journalctl", "ip", "timeout")
QUORUM_MEMBERS = 3
"""With fewer etcd members none can be spared."""


@dataclass
class Failover:
    """What is to be drilled on which cluster, and what came of it."""

    session: Session
    cluster: Cluster
    scenarios: list[Scenario]
    cycles: int
    walk: list[str]
    limits: Limits
    probe_seconds: float
    steady_seconds: float
    force: bool
    skipped: list[str] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_early: str = ""
    drill: Drill | None = None

    @classmethod
    def plan(
        cls,
        session: Session,
        scenarios: Sequence[Scenario] | None,
        *,
        cycles: int,
        hosts: str,
        limits: Limits,
        probe_seconds: float,
        steady_seconds: float,
        force: bool,
    ) -> "Failover":
        """Return what is to be drilled; None: every scenario that can be, the others noted as skipped.

        Raises InputWrongError for what makes no sense, or cannot be done here.
        """
        if len(session.clusters) != 1:
            names = ", ".join(cluster.name for cluster in session.clusters)
            raise InputWrongError(
                f"--filter: selects hosts of several clusters ({names}); drill one at a time."
            )
        if len(session.hosts) < 2:
            raise InputWrongError(
                f"--filter: leaves {session.hosts[0]} alone, and nobody could take over from it; "
                "select at least two masters."
            )
        cluster = session.clusters[0]
        walk = [host for host in hosts.split(",") if host]
        for host in walk:
            if host not in session.hosts:
                raise InputWrongError(f"--hosts {host}: is none of the selected hosts.")
        if walk and len(session.hosts) < len(cluster.masters):
            raise InputWrongError(
                "--hosts: keepalived rests on every other master while the VIP moves; select them all with --filter."
            )
        if walk and cluster.settings.vrrp.preempt:
            raise InputWrongError(
                "--hosts: with vrrp.preempt the VIP goes back to the highest priority by itself; leave --hosts out."
            )
        made = cls(session, cluster, [], cycles, walk, limits, probe_seconds, steady_seconds, force)
        for scenario in scenarios or [each for each in Scenario if each is not Scenario.STEADY]:
            reason = made._impossible(scenario)
            if not reason:
                made.scenarios.append(scenario)
            elif scenarios:
                raise InputWrongError(f"--scenario {scenario}: {reason}")
            else:
                made.skipped.append(f"{scenario} was left out: {reason}")
        return made

    def _impossible(self, scenario: Scenario) -> str:
        """Return why a scenario cannot be drilled here, empty when it can."""
        hooks = TRAITS[scenario].hooks
        missing = [hook.value for hook in hooks or () if hook not in self.session.hooks.commands]
        if missing:
            return (
                f"no host can do that to itself, and there is no hook {' or '.join(missing)} "
                "in user_defined.hooks of the configuration."
            )
        managed = self.cluster.settings.etcd.mode == "managed"
        if scenario is Scenario.ETCD_MEMBER_STOP and not managed:
            return "etcd is not on these hosts."
        if self._no_member_to_spare and (scenario is Scenario.ETCD_MEMBER_STOP or hooks):
            return f"of {len(self.cluster.masters)} etcd members none can be spared."
        return ""

    @property
    def _no_member_to_spare(self) -> bool:
        managed = self.cluster.settings.etcd.mode == "managed"
        return managed and len(self.cluster.masters) < QUORUM_MEMBERS

    def refuse_unhealthy(self, verification: Verification) -> None:
        """Raise HostsWrongError when the cluster is not healthy, with every reason; when forced only warn.

        Raises HostsUnreachableError when a host does not answer.

        A VIP that nobody or more than one host has is refused in any case: there would be nothing to measure.
        """
        silent = [
            f"{where}: {check.detail}." for where, check in verification.failures() if check.name == EVIDENCE
        ]
        if silent:
            raise HostsUnreachableError("\n".join([*silent, "Nothing was stopped."]))
        the_holder(verification.vip_holders, self.cluster.settings.vip)
        reasons = [
            f"{where}: {check.group} {check.name}: {check.detail}" for where, check in verification.failures()
        ]
        if self._no_member_to_spare:
            reasons.append(
                f"{self.cluster.name}: of {len(self.cluster.masters)} etcd members none can be spared"
            )
        if reasons and not self.force:
            raise HostsWrongError(
                "\n".join(
                    [*reasons, "Nothing was stopped: mend that first, or drill all the same with --force."]
                )
            )
        for reason in reasons:
            errors.print(f"Warning: {reason}", style="yellow", markup=False)

    @contextmanager
    def prepared(self, interrupt: Interrupt, run_id: str) -> Iterator[Drill]:
        """Observe the hosts and probe the API while the block runs, with everything ready to break."""
        board = Board(str(self.cluster.settings.vip))
        masters = [master.name for master in self.cluster.masters]
        target = target_of(self.session, self.cluster, self.probe_seconds)
        with (
            observing(self.session.everyone, masters, board) as observers,
            reachable(self.session, target, masters[0]) as reached,
            probing(reached, board),
        ):
            self._require(observers)
            view = LiveView(board, masters, str(self.cluster.settings.vip))
            breaker = Breaker(self.session, board, observers, self.session.hooks, view, run_id)
            self.drill = Drill(
                self.session,
                self.cluster,
                board,
                observers,
                breaker,
                self.limits,
                interrupt,
                view,
                self.steady_seconds,
                self.force,
            )
            self.drill.look()
            yield self.drill

    def _require(self, observers: Observers) -> None:
        """Raise HostsWrongError when a host lacks what the drill needs there."""
        observers.require(PROGRAMS)
        if Scenario.NETWORK_CUT in self.scenarios:
            observers.require_one_of(("nft", "iptables"), f"--scenario {Scenario.NETWORK_CUT}")

    def preview(self, drill: Drill) -> None:
        """Print what is about to be done, as it would be now. Raises HostsWrongError when that is nothing."""
        planned: list[tuple[Fault, int]] = []
        for scenario in self.scenarios:
            planned += [(fault, self.cycles) for fault in drill.due(scenario, self.session.hosts)]
        if not planned:
            raise HostsWrongError(
                "--filter: none of the selected hosts is one that these scenarios would break now (the VIP is on "
                f"{drill.holder()}); select every master."
            )
        drill.view.planned = f" of {sum(cycles for _, cycles in planned)}"
        console.print(preview(planned))
        if self.walk:
            console.print(
                "Before each cycle keepalived rests on every other master until the VIP is where it is to be."
            )
        for skipped in self.skipped:
            console.print(f"– {skipped}", style="dim", markup=False)

    def run(self, drill: Drill) -> None:
        """Drill everything, one fault at a time; what comes of each is printed at once."""
        with (
            Live(drill.view, console=console, transient=True, refresh_per_second=8)
            if (console.is_terminal)
            else _quiet()
        ):
            for scenario in self.scenarios:
                walks = TRAITS[scenario].aim is Aim.VIP_HOLDER
                for cycle in range(self.cycles):
                    if self.walk and walks:
                        drill.bring_vip(self.walk[cycle % len(self.walk)])
                    due = drill.due(scenario, self.session.hosts)
                    if not due:
                        self.skipped.append(
                            f"{scenario} was left out: no selected host is the one it breaks."
                        )
                        break
                    for fault in due:
                        console.print(one_line(drill.strike(fault)))

    @property
    def report(self) -> DrillReport:
        """What was found so far."""
        settings, drill = self.cluster.settings, self.drill
        return DrillReport(
            cluster=self.cluster.name,
            started=self.started,
            limits=self.limits,
            hosts=tuple(master.name for master in self.cluster.masters),
            priorities={master.name: master.vrrp_priority for master in self.cluster.masters},
            vrrp={
                "VRRP": f"version {settings.vrrp.version}, {settings.vrrp.mode}",
                "advert_int": f"{settings.vrrp.advert_interval:g} s",
                "preemption": "on" if settings.vrrp.preempt else "off",
            },
            probe_interval=self.probe_seconds * 1000,
            drilled=tuple(drill.drilled) if drill else (),
            skipped=tuple(self.skipped),
            ended_early=self.ended_early,
        )

    @property
    def summaries(self) -> list[Summary]:
        """What was found so far, by scenario."""
        # Who takes over most often: the second highest priority.
        heirs = sorted(self.cluster.masters, key=lambda master: -master.vrrp_priority)
        return summaries(self.report, vrrp_of(self.cluster, heirs[1]))

    @contextmanager
    def told(
        self, *, json_file: Path | None, junit_file: Path | None, html_file: Path | None
    ) -> Iterator[None]:
        """Print and write the report when the block is over, however it ends, if anything was drilled."""
        try:
            yield
        except BaseException as error:
            self.ended_early = _why(error)
            raise
        finally:
            if self.drill:
                report, found = self.report, self.summaries
                console.print(drill_tables(report, found))
                write_json(json_file, drill_json(report, found))
                write_junit(junit_file, drill_junit(report))
                if html_file:
                    write_atomically(html_file, drill_html(report, found).encode(), mode=0o644)


def _why(error: BaseException) -> str:
    """Return in words why a drill ended early."""
    if isinstance(error, KubenornError):
        return str(error)
    return (
        "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__} {error}".strip()
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Where there is no terminal, nothing is redrawn."""
    yield
