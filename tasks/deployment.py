"""The phases of a deployment over all selected hosts; `runbooks/deploy.py` puts them in order."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from kubenorn.binaries.compressed import Method, compress_binary
from kubenorn.binaries.elf import arch_of_machine
from kubenorn.binaries.resolve import resolve_binaries
from kubenorn.binaries.source import BinarySource, LocalBinary
from kubenorn.cluster import Cluster
from kubenorn.console import Phase, phase
from kubenorn.desired import Part, binary_versions, desired_host
from kubenorn.files import make_private_folder
from kubenorn.material import ClusterMaterial, ensure_material
from kubenorn.objects import ApiObject, desired_bindings, desired_token_secret, objects_to_apply
from kubenorn.observed import ObservedHost
from kubenorn.plan import HostPlan, plan_host
from kubenorn.preflight import preflight_problems
from kubenorn.render import render_purely
from kubenorn.verification import Verification, verify
from tasks.apply_objects import apply_objects
from tasks.fleet_run import Outcome, run_on_hosts
from tasks.probe_host import probe_host
from tasks.session import Session
from tasks.verify_host import verify_host

SETTLE_SECONDS = 60
"""How long a cluster may take, once its units are active, to elect leaders and take the VIP."""
GLANCE_SECONDS = 5
"""How long a cluster that was not changed is given, for what is in motion by itself."""
SETTLE_PAUSE_SECONDS = 0.5


@dataclass
class Deployment:
    """One run of the deploy runbook: what each phase found, for those after it."""

    session: Session
    parts: frozenset[Part]
    dry_run: bool = False
    verbose: bool = False
    observed: dict[str, ObservedHost] = field(default_factory=dict)
    material: dict[str, ClusterMaterial] = field(default_factory=dict)
    binaries: dict[tuple[str, str], dict[str, LocalBinary]] = field(default_factory=dict)
    """By cluster and architecture, then by name."""
    plans: dict[str, HostPlan] = field(default_factory=dict)
    objects: dict[str, list[tuple[ApiObject, str]]] = field(default_factory=dict)
    """By cluster: what the API lacks, and why."""
    changed: bool = False
    """Whether this run has changed something on a host or in the API."""
    replanned: bool = False
    """Whether the plan became another one when the hosts were looked at again."""

    def selected(self, cluster: Cluster) -> list[str]:
        """Return the selected hosts of a cluster."""
        return [master.name for master in cluster.masters if master.name in self.session.hosts]

    @property
    def speakers(self) -> frozenset[str]:
        """One host of each cluster that speaks with the API for all of them."""
        return frozenset(self.selected(cluster)[0] for cluster in self.session.clusters)

    @property
    def empty(self) -> bool:
        """Whether nothing has to be changed."""
        return all(plan.empty for plan in self.plans.values()) and not any(self.objects.values())

    def probe(self, title: str = "Probe") -> None:
        """Look at every host at once; refuse to go on, with every reason, while anything stands in the way."""
        hosts = self.session.hosts
        with phase(title, total=len(hosts)) as shown:
            outcome = self.run_on(probe_host, hosts, shown, fleet=self.session.fleet, speakers=self.speakers)
            problems: list[str] = []
            for cluster in self.session.clusters:
                mine = {h: p for h, p in outcome.results.items() if h in self.selected(cluster)}
                problems += preflight_problems(
                    cluster, {h: p.observed for h, p in mine.items()}, {h: p.at for h, p in mine.items()}
                )
            outcome.with_problems(problems).all_or_raise()
            self.observed = {host: probe.observed for host, probe in outcome.results.items()}
            shown.remark = f"{len(hosts)} {'host' if len(hosts) == 1 else 'hosts'}, nothing stands in the way"

    def find_binaries(self) -> None:
        """Find the binaries for every architecture there is, verified against their checksums."""
        with phase("Binaries", bytes_shown=True) as shown:
            for cluster in self.session.clusters:
                source = BinarySource.of(cluster.settings.binaries)
                for arch in {self._arch(host) for host in self.selected(cluster)}:
                    self.binaries[cluster.name, arch] = resolve_binaries(
                        binary_versions(cluster),
                        source,
                        arch,
                        progress=lambda name, done, total: shown.host(name, name, done, total),
                    )
            names = {name for found in self.binaries.values() for name in found}
            shown.remark = f"{len(names)} verified"

    def prepare_material(self) -> None:
        """Read keys, certificates and secrets on this machine; make or reissue what must be."""
        with phase("Keys and certificates") as shown:
            for cluster in self.session.clusters:
                if not self.dry_run:
                    make_private_folder(self.session.artifacts)
                self.material[cluster.name] = ensure_material(
                    cluster,
                    self.session.artifacts / cluster.name,
                    dry_run=self.dry_run,
                    progress=shown.update,
                )
            shown.remark = (
                f"{len(self.material_changes)} made or reissued" if self.material_changes else "all valid"
            )
            if self.dry_run and self.material_changes:
                shown.remark = f"{len(self.material_changes)} to make or reissue"

    @property
    def material_changes(self) -> list[str]:
        """What was (in a dry run: would be) made or reissued on this machine, and why; a line each."""
        return [change for material in self.material.values() for change in material.changes]

    @property
    def notices(self) -> list[str]:
        """What the operator should know of keys and certificates though nothing is done about it."""
        return [notice for material in self.material.values() for notice in material.notices]

    def plan(self) -> None:
        """Hold the desired state of every host and of every cluster's objects against what was seen."""
        for cluster in self.session.clusters:
            material = self.material[cluster.name].hosts
            for host in self.selected(cluster):
                master, observed = cluster.master(host), self.observed[host]
                found = self.binaries.get((cluster.name, self._arch(host)), {})
                desired = desired_host(
                    cluster,
                    master,
                    interface=master.interface or observed.interface_of(master.address) or "",
                    material=material[host],
                    digests={name: found[name].sha256 if found else "" for name in binary_versions(cluster)},
                    render=render_purely,
                )
                self.plans[host] = plan_host(desired.limited_to(self.parts), observed)
            if Part.OBJECTS in self.parts:
                host = self.selected(cluster)[0]
                secret = desired_token_secret(cluster, material[host])
                self.objects[cluster.name] = list(
                    objects_to_apply(desired_bindings(), secret, self.observed[host].objects)
                )

    def look_again(self) -> None:
        """Look at the hosts anew and plan anew, now that they are locked: the plan may be older than another run."""
        before = {host: plan.content for host, plan in self.plans.items()}
        self.probe("Look again")
        if self.plans:
            self.plan()
        self.replanned = before != {host: plan.content for host, plan in self.plans.items()}

    def apply_objects(self) -> None:
        """Bring the API objects in place, through one host of each cluster that lacks some."""
        hosts = [self.selected(c)[0] for c in self.session.clusters if self.objects.get(c.name)]
        if not hosts:
            return
        objects = {name: [each for each, _ in found] for name, found in self.objects.items()}
        with phase("Authorisation", total=len(hosts)) as shown:
            self.changed = True
            self.run_on(apply_objects, hosts, shown, fleet=self.session.fleet, objects=objects).all_or_raise()
            shown.remark = f"{sum(map(len, objects.values()))} objects in place"

    def verify(self) -> list[Verification]:
        """Look anew at the hosts and the API until all is right, or long enough; return what was seen last."""
        with phase("Verify") as shown:

            def settled(found: list[Verification]) -> bool:
                failures = [f"{where}: {check.name}" for each in found for where, check in each.failures()]
                shown.update(0, None, f"waiting for {failures[0]}" if failures else "")
                return not failures

            attempts = Retrying(
                retry=retry_if_result(lambda found: not settled(found)),
                stop=stop_after_delay(SETTLE_SECONDS if self.changed else GLANCE_SECONDS),
                wait=wait_fixed(SETTLE_PAUSE_SECONDS),
                retry_error_callback=lambda state: state.outcome and state.outcome.result(),
            )
            found: list[Verification] = attempts(self._verify_once)
            checks = [c for v in found for c in (*v.whole, *(c for h in v.hosts.values() for c in h))]
            shown.remark = f"{sum(check.ok for check in checks)} of {len(checks)} checks right"
        return found

    def _verify_once(self) -> list[Verification]:
        outcome = self.run_on(
            verify_host, self.session.hosts, None, fleet=self.session.fleet, speakers=self.speakers
        )
        found = []
        for cluster in self.session.clusters:
            mine = self.selected(cluster)
            found.append(
                verify(
                    cluster,
                    {host: outcome.results[host] for host in mine if host in outcome.results},
                    {host: str(outcome.failures[host]) for host in mine if host in outcome.failures},
                )
            )
        return found

    def run_on(
        self, task: Callable[..., Any], hosts: Collection[str], shown: Phase | None, **arguments: object
    ) -> Outcome[Any]:
        """Run a task on some of the hosts; the phase `shown` counts those that are done."""
        return run_on_hosts(
            self.session.nornir,
            task,
            hosts,
            on_host_done=(lambda _: shown.advance()) if shown else None,
            verbose=self.verbose,
            **arguments,
        )

    def _arch(self, host: str) -> str:
        return arch_of_machine(self.observed[host].machine)

    def compressed(self, host: str, name: str, method: Method) -> Path:
        """Return the compressed form of a binary for a host."""
        cluster = self.session.fleet.cluster_of(host)
        return compress_binary(self.binaries[cluster.name, self._arch(host)][name], method=method).path
