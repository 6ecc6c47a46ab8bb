"""A failover drill from its preconditions to its report; `runbooks/failover.py` puts the steps in order."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
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
from tasks.drill_planning import impossible, no_member_to_spare, refuse_walk, the_cluster
from tasks.interrupt import Interrupt
from tasks.observing import Observers, observing
from tasks.prober import probing, reachable, target_of
from tasks.session import Session
from tasks.vantage import standing_on

PROGRAMS = ("systemd-run", "systemctl", "journalctl", "ip", "timeout")


@dataclass
class Failover:
    """What is to be drilled on which cluster, and what came of it."""

    session: Session
    cluster: Cluster
    scenarios: list[Scenario]
    everything: bool
    """Whether all scenarios were asked for that can be drilled, and none by its name."""
    cycles: int
    walk: list[str]
    limits: Limits
    probe_seconds: float
    steady_seconds: float
    force: bool
    skipped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """Which cycles were asked for and not drilled, and why."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_early: str = ""
    drill: Drill | None = None

    @classmethod
    def plan(
        cls,
        session: Session,
        scenarios: Sequence[Scenario] | None,
        *,
        cycles: int | None,
        hosts: str,
        limits: Limits,
        probe_seconds: float,
        steady_seconds: float,
        force: bool,
    ) -> "Failover":
        """Return what is to be drilled; no scenarios: every one that can be, the others noted as skipped.

        Without `cycles` it is one, or one for every host of `hosts`.

        Raises InputWrongError for what makes no sense, or cannot be done here.
        """
        cluster = the_cluster(session)
        walk = [host for host in hosts.split(",") if host]
        refuse_walk(session, cluster, walk, cycles)
        made = cls(
            session,
            cluster,
            [],
            not scenarios,
            cycles or len(walk) or 1,
            walk,
            limits,
            probe_seconds,
            steady_seconds,
            force,
        )
        for scenario in scenarios or [each for each in Scenario if each is not Scenario.STEADY]:
            reason = impossible(session, cluster, scenario)
            if not reason:
                made.scenarios.append(scenario)
            elif scenarios:
                raise InputWrongError(f"--scenario {scenario}: {reason}")
            else:
                made.skipped.append(f"{scenario} was left out: {reason}")
        return made

    @cached_property
    def _own(self) -> str | None:
        """Which of the hosts that may be broken this machine is."""
        return standing_on(self.cluster, self.session.hosts)

    @property
    def whole(self) -> Session:
        """The session on every master: the filter says what may be broken, and not who must be well."""
        masters = {master.name for master in self.cluster.masters}
        selected = self.session.everyone.filter(filter_func=lambda host: host.name in masters)
        return replace(self.session, nornir=selected)

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
        if no_member_to_spare(self.cluster):
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
        board = Board(str(self.cluster.settings.vip), self.probe_seconds)
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
            if due := drill.due(scenario, self.session.hosts):
                planned += [(fault, self.cycles) for fault in due]
                self._note_spared(scenario, drill)
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
        if self._own:
            console.print(
                f"This machine is {self._own}: it reaches the VIP through its own network stack, so what clients see "
                "may differ; better run the drill elsewhere.",
                markup=False,
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
                        self._drop(scenario, cycle, drill.holder())
                        break
                    self._note_spared(scenario, drill)
                    for fault in due:
                        console.print(one_line(drill.strike(fault)))

    def _note_spared(self, scenario: Scenario, drill: Drill) -> None:
        """Note what of a scenario is left out: of two leaders one may be on a host that is not selected."""
        for fault in drill.spared(scenario, self.session.hosts):
            line = (
                f"{scenario} left out {fault.what}, which leads on {fault.host}: that host is not selected."
            )
            if line not in self.skipped:
                self.skipped.append(line)

    def _drop(self, scenario: Scenario, drilled: int, holder: str) -> None:
        """Note that none of the selected hosts is what a scenario breaks, after so many cycles of it."""
        reason = f"no selected host is the one it breaks (the VIP is on {holder}); select every master."
        if self.everything and not drilled:
            self.skipped.append(f"{scenario} was left out: {reason}")
        else:
            self.dropped.append(f"{drilled} of {self.cycles} cycles of {scenario} were drilled: {reason}")

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
            dropped=tuple(self.dropped),
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
