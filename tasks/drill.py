"""Breaks one thing after another in a cluster and measures what that costs; `tasks.breaking` breaks and mends."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from kubenorn.cluster import Cluster, Master
from kubenorn.drill.board import Board
from kubenorn.drill.events import VrrpState
from kubenorn.drill.expectations import Course, Limits, expectations, successor_of, the_holder
from kubenorn.drill.live import LiveView
from kubenorn.drill.measure import Measured, Seen, measure
from kubenorn.drill.prediction import DEAD_ADVERTS, recovery_seconds, vrrp_of
from kubenorn.drill.prober import ANSWER_SECONDS
from kubenorn.drill.results import Drilled
from kubenorn.drill.scenarios import (
    Fault,
    Scenario,
    faults,
    unit_fault,
)
from kubenorn.errors import HostsWrongError, KubenornError
from kubenorn.evidence import Evidence
from kubenorn.rollout import not_ready
from tasks.breaking import Breaker
from tasks.fleet_run import run_on_hosts
from tasks.interrupt import Interrupt
from tasks.observing import Observers
from tasks.session import Session
from tasks.verify_host import verify_host

CALM_SECONDS = 1.0
"""How long is watched before a host is broken, after it recovered, and after it was mended."""
GOOD_ANSWERS = 12
"""So many good answers in a row mean that the API is back."""
HEALTHY_SECONDS = 120
"""How long a mended host may take until it is ready again."""
RETURN_SECONDS = 10
"""How long a VIP with preemption may take to return."""
PAUSE_SECONDS = 0.05
LOOK_SECONDS = 0.5
ETCD_SECONDS = 3.0
"""How long an etcd without its leader is watched: an election, and whoever waited for it."""


@dataclass
class Drill:
    """One drill of one cluster."""

    session: Session
    cluster: Cluster
    board: Board
    observers: Observers
    breaker: Breaker
    limits: Limits
    interrupt: Interrupt
    view: LiveView
    steady_seconds: float
    """For the scenario in which nothing is broken."""
    force: bool
    """Go on though something is not well."""
    drilled: list[Drilled] = field(default_factory=list)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)

    def look(self) -> None:
        """Look at every master of the cluster, and note who has the VIP."""
        masters = [master.name for master in self.cluster.masters]
        session, asked = self.session, time.monotonic()
        outcome = run_on_hosts(
            session.everyone, verify_host, masters, fleet=session.fleet, speakers=frozenset(masters[:1])
        )
        self.evidence = outcome.results
        vip = str(self.cluster.settings.vip)
        for host, seen in self.evidence.items():
            holds = any(address == vip for _, address in seen.addresses)
            self.board.found(host, holds=holds, asked=asked)

    def due(self, scenario: Scenario, targets: Sequence[str]) -> list[Fault]:
        """Return what a scenario breaks now, on the hosts that may be broken.

        Raises HostsWrongError when nobody, or more than one host, has the VIP.
        """
        return [
            replace(fault, predicted_seconds=recovery_seconds(self.cluster, fault, self._heir(fault)))
            for fault in self._found(scenario)
            if fault.host in targets
        ]

    def spared(self, scenario: Scenario, targets: Sequence[str]) -> list[Fault]:
        """Return what a scenario would break now on the hosts that may not be broken; raises like `due`."""
        return [fault for fault in self._found(scenario) if fault.host not in targets]

    def _found(self, scenario: Scenario) -> list[Fault]:
        return faults(
            scenario,
            self.cluster,
            holder=self.holder(),
            leaders=self._leaders(),
            etcd_leader=self._etcd_leader(),
        )

    def _heir(self, fault: Fault) -> Master | None:
        return successor_of(self.cluster, fault.host)

    def holder(self) -> str:
        """Return who has the VIP. Raises HostsWrongError when that is nobody, or more than one."""
        return the_holder(self.board.glance().holders, self.cluster.settings.vip)

    def _leaders(self) -> dict[str, str]:
        """Return each component's leading host."""
        hosts = self._host_by_identity()
        return {
            component: hosts[identity]
            for component, identity in self.board.glance().leaders.items()
            if identity in hosts
        }

    def _host_by_identity(self) -> dict[str, str]:
        names = {seen.hostname: host for host, seen in self.evidence.items()}
        # HOSTNAME_UUID, see cmd/kube-scheduler/app/server.go
        found = {each: names.get(each.rpartition("_")[0]) for each in self.board.identities()}
        return {identity: host for identity, host in found.items() if host}

    def _etcd_leader(self) -> str | None:
        for host, seen in self.evidence.items():
            status = seen.etcd_status
            if status and status.get("leader") == status["header"]["member_id"]:
                return host
        return None

    def bring_vip(self, host: str) -> None:
        """Bring the VIP to a host: keepalived rests on every other master until it is there."""
        if self.holder() == host:
            return
        self.view.begin(f"VIP to {host}")
        self._insist_on_health()
        others = [
            unit_fault(Scenario.KEEPALIVED_STOP, master.name, "keepalived")
            for master in self.cluster.masters
            if master.name != host
        ]
        with self._all_broken(others):
            self._wait(lambda: self.board.glance().holders == (host,), 15)
        self._await_health([fault.host for fault in others])
        self._calm()
        if self.holder() != host:
            raise HostsWrongError(
                f"the VIP does not stay on {host}, so it cannot be walked around; leave --hosts out."
            )

    @contextmanager
    def _all_broken(self, rest: Sequence[Fault]) -> Iterator[None]:
        if not rest:
            yield
            return
        with self.breaker.broken(rest[0]), self._all_broken(rest[1:]):
            yield

    def strike(self, fault: Fault) -> Drilled:
        """Break, measure, mend and wait until all is well; return what was found."""
        at = datetime.now(UTC)
        self.view.begin(f"{len(self.drilled) + 1}{self.view.planned}  {fault}")
        self._insist_on_health()
        self.observers.synchronise()
        began, holders = time.monotonic(), self.board.glance().holders
        self._calm()
        broken, mending, recovered, stopped = 0.0, 0.0, False, True
        try:
            with self.breaker.broken(fault) as broken:
                recovered = self._recovery(fault, broken)
                self._calm()
                stopped = not fault.stops_unit or self._state(fault) != "active"
                self.view.doing = "mending"
                mending = time.monotonic()
        except KubenornError as error:
            if mending:  # it was measured, and could not be mended: its figures are not lost
                broken = self._struck(fault, broken)
                course = Course(stopped, recovered, [str(error)])
                self._note(fault, at, self._seen(began, broken, mending, holders), course)
            raise
        broken = self._struck(fault, broken)
        wrong = self._await_health([master.name for master in self.cluster.masters])
        if self.cluster.settings.vrrp.preempt:
            highest = max(self.cluster.masters, key=lambda master: master.vrrp_priority).name
            patience = RETURN_SECONDS + DEAD_ADVERTS * self.cluster.settings.vrrp.advert_interval
            self._wait(lambda: self.board.glance().holders == (highest,), patience)
        self._calm()
        course = Course(stopped, recovered, wrong)
        return self._note(fault, at, self._seen(began, broken, mending, holders), course)

    def _seen(self, began: float, broken: float, mending: float, holders: Sequence[str]) -> Seen:
        """Return everything seen up to now, once the probes that are under way have ended too."""
        ended = time.monotonic()
        # One that hangs fails only when its patience is over; without it the last second would always look well.
        time.sleep(ANSWER_SECONDS + PAUSE_SECONDS)
        return self.board.seen(began, broken, mending, ended, holders)

    def _struck(self, fault: Fault, begun: float) -> float:
        """Return when a fault struck; a hook does not tell, but the last good answer before the first failed one."""
        return (fault.traits.hooks and self.board.last_good_before_failure(begun)) or begun

    def _note(self, fault: Fault, at: datetime, seen: Seen, course: Course) -> Drilled:
        """Measure what was seen, hold it against what is expected, and keep both."""
        measured = measure(fault, seen, self._host_by_identity())
        drilled = Drilled(
            number=len(self.drilled) + 1,
            at=at,
            measured=measured,
            expectations=tuple(expectations(self.cluster, measured, self.limits, course)),
            predicted=self._predicted(measured),
            samples=tuple(
                ((p.start - seen.broken) * 1000, (p.end - seen.broken) * 1000, p.answer.value)
                for p in seen.probes
            ),
        )
        self.drilled.append(drilled)
        return drilled

    def _predicted(self, measured: Measured) -> float | None:
        heir = self._heir(measured.fault)
        if not measured.fault.traits.moves_vip or heir is None:
            return None
        return vrrp_of(self.cluster, heir).seconds(measured.fault.scenario) * 1000

    def _recovery(self, fault: Fault, broken: float) -> bool:
        """Wait until the cluster has recovered from a fault, or long enough; return whether it has."""
        if fault.scenario is Scenario.STEADY:
            self.view.doing = "watching that the VIP holds still"
            self._rest(self.steady_seconds)
            return True
        self.view.doing = "waiting for the cluster to recover"
        leader = self.board.glance().leaders.get(fault.unit)
        elected = broken + max(ETCD_SECONDS, fault.predicted_seconds)

        def recovered() -> bool:
            glance = self.board.glance()
            if self.board.good_since(broken) < GOOD_ANSWERS:
                return False
            if fault.traits.moves_vip:
                return any(host != fault.host for host in glance.holders)
            if fault.scenario is Scenario.LEADER_STOP:
                return glance.leaders.get(fault.unit) != leader
            if fault.scenario is Scenario.ETCD_MEMBER_STOP:
                return time.monotonic() > elected
            # A kube-apiserver takes half a minute to stop.
            return self._state(fault) in {"inactive", "failed"}

        return self._wait(recovered, fault.recovery_seconds)

    def _state(self, fault: Fault) -> str:
        """Return what systemd says of the fault's unit; `deactivating` while it takes its time to stop."""
        return self.observers[fault.host].run(f"systemctl is-active {fault.unit}").said

    def _await_health(self, hosts: Sequence[str]) -> list[str]:
        """Wait until hosts are ready; return what still keeps them from it in the end."""
        self.view.doing = "waiting until all is well"
        deadline = time.monotonic() + HEALTHY_SECONDS
        while True:
            wrong = self._wrong(hosts)
            if not wrong or time.monotonic() > deadline:
                return wrong
            self._rest(LOOK_SECONDS)

    def _wrong(self, hosts: Sequence[str]) -> list[str]:
        self.look()
        glance = self.board.glance()
        wrong = [
            f"{host}: keepalived is in FAULT" for host in hosts if glance.states.get(host) is VrrpState.FAULT
        ]
        if len(glance.holders) != 1:
            wrong.append(f"the VIP has {len(glance.holders)} holders")
        return wrong or [
            f"{host}: {reason}" for host in hosts for reason in not_ready(self.cluster, host, self.evidence)
        ]

    def _insist_on_health(self) -> None:
        """Raise HostsWrongError when anything in the cluster is not well: nothing more may be broken then."""
        wrong = [] if self.force else self._await_health([master.name for master in self.cluster.masters])
        if wrong:
            raise HostsWrongError("\n".join([*wrong, "Nothing more is stopped."]))

    def _calm(self) -> None:
        self._rest(CALM_SECONDS)

    def _rest(self, seconds: float) -> None:
        self._wait(lambda: False, seconds)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition; return whether it came. Raises InterruptedByOperatorError once asked to stop."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.observers.check(self.breaker.away)
            if self.board.failure:
                raise HostsWrongError(f"nothing is measured any more: {self.board.failure}")
            self.interrupt.check(f"{len(self.drilled)} faults were drilled; what was stopped runs again.")
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE_SECONDS)
        return True
