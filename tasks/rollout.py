"""Applies plans over the fleet: all at once where nothing runs yet, host by host behind gates where it does."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubenorn.change_sets import ChangeSet
from kubenorn.cluster import Cluster
from kubenorn.console import Phase, errors, phase
from kubenorn.errors import HostsUnreachableError, HostsWrongError, KubenornError, RolledBackError
from kubenorn.evidence import Evidence
from kubenorn.observed import ObservedHost
from kubenorn.rollout import Serial, batches, not_ready, ordered, refusals, restarts_since
from kubenorn.run_record import HostResult, HostState
from tasks.apply_plan import apply_plan
from tasks.change import Change
from tasks.deployment import Deployment
from tasks.fleet_run import Outcome, sentence
from tasks.looking import in_use, look
from tasks.recording import Recording
from tasks.roll_back import NOTHING, roll_back

READY_SECONDS = 120
"""How long a changed host may take until its components are ready and the load balancers use it again."""
READY_PAUSE_SECONDS = 0.5
HOPELESS_RESTARTS = 5
"""A unit that systemd has restarted this often and that is down again is not waited for any longer."""


@dataclass
class Rollout:
    """One application of a deployment's plans, and how far it got with each host."""

    run: Deployment
    recording: Recording
    serial: Serial
    change: Change
    _before: dict[str, Evidence] = field(default_factory=dict, repr=False)
    """What the masters said before the present batch was touched."""
    _seen: dict[str, Evidence] = field(default_factory=dict, repr=False)
    """What they said last."""

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
        running = [cluster for cluster in self.run.session.clusters if in_use(self.run, cluster)]
        rolling = {host for cluster in running for host in self.run.selected(cluster)}
        with phase("Apply", total=len(hosts), bytes_shown=True) as shown:
            self._batch([host for host in hosts if host not in rolling], shown, gated=False).all_or_raise()
            for cluster in running:
                self._roll(cluster, shown)
            shown.remark = f"{len(hosts)} {'host' if len(hosts) == 1 else 'hosts'} changed"

    def _observed(self, cluster: Cluster) -> dict[str, ObservedHost]:
        return {host: self.run.observed[host] for host in self.run.selected(cluster)}

    def _roll(self, cluster: Cluster, shown: Phase) -> None:
        mine = self.run.selected(cluster)
        plans = {host: self.run.plans[host] for host in mine}
        for batch in batches(cluster, plans, self._observed(cluster), self.serial):
            touched = {action.unit for host in batch for action in plans[host].unit_actions}
            self._look_before(cluster, batch, touched)
            outcome = self._batch(batch, shown, gated=True)
            try:
                # Of a batch in which one failed, the others were changed all the same.
                if outcome.results:
                    self._gate(cluster, list(outcome.results), shown)
            except HostsWrongError as error:
                if not outcome.failures:
                    raise
                outcome = outcome.with_problems(str(error).splitlines())
            outcome.all_or_raise()

    def _look_before(self, cluster: Cluster, batch: Sequence[str], touched: Collection[str]) -> None:
        """Look at the cluster before a batch is touched. Raises when a stop was asked for, or when it must not be."""
        self.change.interrupt.check(self.summary())
        self._before = self._seen = self._look(cluster)
        problems = list(refusals(cluster, batch, touched, self._before))
        if problems:
            raise HostsWrongError("\n".join(problems))

    def put_back(self, chosen: Mapping[str, ChangeSet]) -> dict[str, str]:
        """Put change sets back, one host at a time behind gates.

        Return what was done by host. Raises HostsWrongError when a host must not be touched now, or does not become
        ready again.
        """
        for host in self.run.session.hosts:
            self.results[host] = HostResult(HostState.NOT_BEGUN if host in chosen else HostState.UNCHANGED)
        done: dict[str, str] = {}
        with phase("Roll back", total=len(chosen)) as shown:
            for cluster in self.run.session.clusters:
                mine = [host for host in self.run.selected(cluster) if host in chosen]
                for batch in ordered(cluster, mine, self._observed(cluster), 1):
                    (host,) = batch
                    self._look_before(cluster, batch, chosen[host].units)
                    done[host] = self._put_back_one(host, chosen[host], shown)
                    self._gate(cluster, batch, shown, put_back=False)
            shown.remark = f"{len(done)} {'host' if len(done) == 1 else 'hosts'}"
        return done

    def _put_back_one(self, host: str, change_set: ChangeSet, shown: Phase) -> str:
        self._begun([host])
        outcome = self.run.run_on(roll_back, [host], shown, change_set=change_set.run_id, told=shown.host)
        for failure in outcome.failures.values():
            away = isinstance(failure, HostsUnreachableError)
            self.results[host] = HostResult(HostState.BEGUN if away else _state(failure), sentence(failure))
        for result in outcome.results.values():
            state = HostState.UNCHANGED if result.done == NOTHING else HostState.ROLLED_BACK
            self.results[host] = HostResult(state, result.done)
        self._save()
        return str(outcome.all_or_raise()[host].done)

    def _changed(self, hosts: Iterable[str]) -> None:
        """Note that hosts are changed for good: a host that is gated has only begun until then."""
        self.results.update({host: HostResult(HostState.CHANGED) for host in hosts})

    def _begun(self, hosts: Sequence[str]) -> None:
        """Note that hosts are about to be changed: what a run that is killed now leaves is no longer known."""
        self.results.update({host: HostResult(HostState.BEGUN) for host in hosts})
        self._save()

    def _save(self) -> None:
        """Keep what is known. A disk of this machine that is full must not stop what hosts are in the midst of."""
        try:
            self.recording.save()
        except KubenornError as error:
            errors.print(f"Warning: {error}", style="yellow", markup=False)

    def _batch(self, hosts: Sequence[str], shown: Phase, *, gated: bool) -> Outcome[Any]:
        """Apply the plans of some hosts at once and return what came of it.

        A host of a running cluster that fails is put back.
        """
        if not hosts:
            return Outcome({}, {})
        self._begun(hosts)
        reached: set[str] = set()

        def sent(host: str, done: int, total: int) -> None:
            reached.add(host)
            shown.host(host, "sending" if done < total else None, done, total)

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
            sent=sent,
        )
        if not gated:
            self._changed(outcome.results)
        for host, error in outcome.failures.items():
            state = _state(error)
            if state is HostState.NOT_REACHED and host in reached:
                state = HostState.BEGUN
            self.results[host] = HostResult(state, sentence(error))
        self._save()
        return outcome

    def _gate(self, cluster: Cluster, batch: Sequence[str], shown: Phase, *, put_back: bool = True) -> None:
        """Wait until the batch is ready; `put_back` and stop when it does not become so in time."""
        deadline = time.monotonic() + READY_SECONDS
        while missing := self._missing(cluster, batch):
            for host, reasons in missing.items():
                shown.host(host, f"waiting: {reasons[0]}")
            if time.monotonic() > deadline or self._hopeless(batch):
                if put_back:
                    self._changed(set(batch) - set(missing))
                    self._put_back(missing, shown)
                raise HostsWrongError(_not_ready(missing))
            time.sleep(READY_PAUSE_SECONDS)
        self.change.found_ready(batch)
        if put_back:
            self._changed(batch)
            self._save()
        for host in batch:
            shown.host(host, "ready")

    def _missing(self, cluster: Cluster, batch: Sequence[str]) -> dict[str, list[str]]:
        self._seen = self._look(cluster)
        missing = {host: not_ready(cluster, host, self._seen) for host in batch}
        return {host: reasons for host, reasons in missing.items() if reasons}

    def _hopeless(self, batch: Sequence[str]) -> bool:
        """Whether a unit of the batch ended again and again since the batch was begun."""
        return any(
            not state.is_active and restarts_since(self._before, self._seen, host, unit) >= HOPELESS_RESTARTS
            for host in batch
            if host in self._seen
            for unit, state in self._seen[host].units.items()
        )

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
        self._save()
        raise HostsWrongError("\n".join(lines))

    def _look(self, cluster: Cluster) -> dict[str, Evidence]:
        return look(self.run.session, cluster)

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
