"""Applies plans over the fleet: all at once where nothing runs yet, host by host behind gates where it does."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from kubenorn.cluster import Cluster
from kubenorn.console import Phase, phase
from kubenorn.errors import HostsUnreachableError, HostsWrongError, RolledBackError
from kubenorn.evidence import Evidence
from kubenorn.observed import ObservedHost
from kubenorn.rollout import Serial, batches, is_running, not_ready, ordered, refusals
from kubenorn.run_record import HostResult, HostState
from tasks.apply_plan import apply_plan
from tasks.deployment import Deployment
from tasks.fleet_run import run_on_hosts, sentence
from tasks.interrupt import Interrupt
from tasks.recording import Recording
from tasks.roll_back import NOTHING, roll_back
from tasks.verify_host import verify_host

READY_SECONDS = 120
"""How long a changed host may take until its components are ready and the load balancers use it again."""
READY_PAUSE_SECONDS = 0.5
HOPELESS_RESTARTS = 5
"""A unit that systemd has restarted this often and that is down again is not waited for any longer."""

CHANGED, UNCHANGED, ROLLED_BACK, FAILED, NOT_BEGUN = (
    "changed",
    "unchanged",
    "rolled back",
    "failed",
    "not begun",
)


@dataclass
class Rollout:
    """One application of a deployment's plans, and how far it got with each host."""

    run: Deployment
    recording: Recording
    serial: Serial
    interrupt: Interrupt
    _seen: dict[str, Evidence] = field(default_factory=dict, repr=False)

    @property
    def results(self) -> dict[str, HostResult]:
        """What came of each host so far."""
        return self.recording.results

    def apply(self) -> None:
        """Apply every plan that is not empty.

        Raises HostsWrongError when a host does not become ready (it is rolled back, and no other is begun),
        InterruptedByOperatorError when a stop was asked for.
        """
        plans = self.run.plans
        for host, plan in plans.items():
            self.results[host] = HostResult(HostState.UNCHANGED if plan.empty else HostState.NOT_BEGUN)
        hosts = [host for host, plan in plans.items() if not plan.empty]
        if not hosts:
            return
        self.run.changed = True
        running = [cluster for cluster in self.run.session.clusters if is_running(self._observed(cluster))]
        rolling = {host for cluster in running for host in self.run.selected(cluster)}
        with phase("Apply", total=len(hosts), bytes_shown=True) as shown:
            self._batch([host for host in hosts if host not in rolling], shown, gated=False)
            for cluster in running:
                self._roll(cluster, shown)
            shown.remark = f"{len(hosts)} {'host' if len(hosts) == 1 else 'hosts'} changed"

    def _observed(self, cluster: Cluster) -> dict[str, ObservedHost]:
        return {host: self.run.observed[host] for host in self.run.selected(cluster)}

    def _roll(self, cluster: Cluster, shown: Phase) -> None:
        mine = self.run.selected(cluster)
        plans = {host: self.run.plans[host] for host in mine}
        for batch in batches(cluster, plans, self._observed(cluster), self.serial):
            self.interrupt.check(self.summary())
            problems = list(refusals(cluster, batch, plans, self._look(cluster)))
            if problems:
                raise HostsWrongError("\n".join(problems))
            self._batch(batch, shown, gated=True)
            self._gate(cluster, batch, shown)

    def put_back(self, change_set: str | None) -> dict[str, str]:
        """Put a change set (None: each host's newest) back on every selected host, one at a time behind gates.

        Return what was done by host. Raises HostsWrongError when a host does not become ready again.
        """
        done: dict[str, str] = {}
        with phase("Roll back", total=len(self.run.session.hosts)) as shown:
            for cluster in self.run.session.clusters:
                mine = self.run.selected(cluster)
                for batch in ordered(cluster, mine, self._observed(cluster), 1):
                    self.interrupt.check(self.summary())
                    outcome = self.run.run_on(roll_back, batch, shown, change_set=change_set, told=shown.host)
                    done |= {host: result.done for host, result in outcome.all_or_raise().items()}
                    if done[batch[0]] != NOTHING:
                        self.results[batch[0]] = HostResult(HostState.ROLLED_BACK, done[batch[0]])
                        self._gate(cluster, batch, shown, put_back=False)
            shown.remark = f"{sum(each != NOTHING for each in done.values())} of {len(done)} hosts"
        return done

    def _batch(self, hosts: Sequence[str], shown: Phase, *, gated: bool) -> None:
        """Apply the plans of some hosts at once; a host of a running cluster that fails is put back."""
        if not hosts:
            return
        outcome = self.run.run_on(
            apply_plan,
            hosts,
            shown,
            run_id=self.recording.run_id,
            roll_back=gated,
            plans=self.run.plans,
            observed=self.run.observed,
            compressed=self.run.compressed,
            told=shown.host,
            sent=partial(_show_sent, shown),
        )
        self.results.update({host: HostResult(HostState.CHANGED) for host in outcome.results})
        for host, error in outcome.failures.items():
            self.results[host] = HostResult(_state(error), sentence(error))
        self.recording.save()
        outcome.all_or_raise()

    def _gate(self, cluster: Cluster, batch: Sequence[str], shown: Phase, *, put_back: bool = True) -> None:
        """Wait until the batch is ready; `put_back` and stop when it does not become so in time."""
        deadline = time.monotonic() + READY_SECONDS
        while missing := self._missing(cluster, batch):
            for host, reasons in missing.items():
                shown.host(host, f"waiting: {reasons[0]}")
            if time.monotonic() > deadline or self._hopeless(batch):
                if put_back:
                    self._put_back(missing, shown)
                raise HostsWrongError(_not_ready(missing))
            time.sleep(READY_PAUSE_SECONDS)
        for host in batch:
            shown.host(host, "ready")

    def _missing(self, cluster: Cluster, batch: Sequence[str]) -> dict[str, list[str]]:
        self._seen = self._look(cluster)
        missing = {host: not_ready(cluster, host, self._seen) for host in batch}
        return {host: reasons for host, reasons in missing.items() if reasons}

    def _hopeless(self, batch: Sequence[str]) -> bool:
        """Whether a unit of the batch ends again and again: systemd counts since it was last started by hand."""
        units = [unit for host in batch if host in self._seen for unit in self._seen[host].units.values()]
        return any(not unit.is_active and unit.restarts >= HOPELESS_RESTARTS for unit in units)

    def _put_back(self, missing: Mapping[str, Sequence[str]], shown: Phase) -> None:
        outcome = self.run.run_on(
            roll_back, list(missing), None, change_set=self.recording.run_id, told=shown.host
        )
        lines = []
        for host, reasons in missing.items():
            why, failure = "; ".join(reasons), outcome.failures.get(host)
            how = (
                f"roll-back failed: {sentence(failure)}"
                if failure
                else f"rolled back: {outcome.results[host].done}"
            )
            self.results[host] = HostResult(HostState.FAILED if failure else HostState.ROLLED_BACK, why)
            lines.append(f"{host}: did not become ready ({why}); {how}.")
            lines += [f"    {line}" for line in (() if failure else outcome.results[host].said)]
        self.recording.save()
        raise HostsWrongError("\n".join(lines))

    def _look(self, cluster: Cluster) -> dict[str, Evidence]:
        """Return what every master of the cluster says, selected or not; one that cannot be reached is left out."""
        session = self.run.session
        masters = [master.name for master in cluster.masters]
        found = run_on_hosts(
            session.everyone, verify_host, masters, fleet=session.fleet, speakers=frozenset()
        )
        return found.results

    def summary(self) -> str:
        """Return one line that says how far the rollout got."""
        by_word: dict[str, list[str]] = {}
        for host, result in self.results.items():
            by_word.setdefault(result.state.value, []).append(host)
        return "; ".join(f"{word}: {', '.join(hosts)}" for word, hosts in by_word.items()) + "."


def _state(error: Exception) -> HostState:
    if isinstance(error, HostsUnreachableError):
        return HostState.NOT_REACHED
    return HostState.ROLLED_BACK if isinstance(error, RolledBackError) else HostState.FAILED


def _not_ready(missing: Mapping[str, Sequence[str]]) -> str:
    return "\n".join(
        f"{host}: is not ready after {READY_SECONDS} s: {'; '.join(reasons)}."
        for host, reasons in missing.items()
    )


def _show_sent(shown: Phase, host: str, done: int, total: int) -> None:
    shown.host(host, "sending" if done < total else None, done, total)
