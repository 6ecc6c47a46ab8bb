"""What deploy would change on hosts that an audit has looked at; needs the cluster's artifacts on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kubenorn.audit.context import HostAudit
from kubenorn.binaries.elf import arch_of_machine
from kubenorn.binaries.resolve import resolve_binaries
from kubenorn.binaries.source import BinarySource
from kubenorn.cluster import Cluster
from kubenorn.desired import binary_versions, desired_host
from kubenorn.errors import KubenornError
from kubenorn.layout import Layout
from kubenorn.material import ensure_material
from kubenorn.plan import HostPlan, plan_host
from kubenorn.render import render_purely


@dataclass
class Drift:
    """The plans of one cluster's hosts, and what could not be looked at, a sentence each."""

    plans: dict[str, HostPlan] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def has_artifacts(folder: Path) -> bool:
    """Return whether a cluster's artifacts are in a folder of this machine."""
    return (folder / "pki").is_dir()


def drift_of(cluster: Cluster, folder: Path, hosts: Mapping[str, HostAudit]) -> Drift:
    """Return what deploy would change on `hosts`; `folder` is where the cluster's artifacts are."""
    drift = Drift()
    if not has_artifacts(folder):
        drift.notices.append(f"{cluster.name}: drift was not looked at, {folder} does not exist here.")
        return drift
    try:
        material = ensure_material(cluster, folder, dry_run=True).hosts
    except KubenornError as error:
        drift.notices.append(f"{cluster.name}: drift was not looked at: {error}")
        return drift
    sources = _source_digests(cluster, hosts, drift)
    for name, host in hosts.items():
        master = cluster.master(name)
        # Without its source a binary counts as right here: equality compares it with the other masters'.
        digests = sources.get(arch_of_machine(host.observed.machine)) or {
            binary: (file.sha256 or "") if (file := host.observed.files.get(path)) else ""
            for binary in binary_versions(cluster)
            for path in (Layout(cluster).binary(binary),)
        }
        desired = desired_host(
            cluster,
            master,
            interface=master.interface or host.observed.interface_of(master.address) or "",
            material=material[name],
            digests=digests,
            render=render_purely,
        )
        drift.plans[name] = plan_host(desired, host.observed)
    return drift


def _source_digests(
    cluster: Cluster, hosts: Mapping[str, HostAudit], drift: Drift
) -> dict[str, dict[str, str]]:
    """Return the digests of the binaries that deploy would put there, by architecture and name."""
    source = BinarySource.of(cluster.settings.binaries)
    if source.is_remote:
        drift.notices.append(
            f"{cluster.name}: binaries were compared between the masters alone; an audit asks no mirror."
        )
        return {}
    try:
        return {
            arch: {
                name: found.sha256
                for name, found in resolve_binaries(binary_versions(cluster), source, arch).items()
            }
            for arch in {arch_of_machine(host.observed.machine) for host in hosts.values()}
        }
    except KubenornError as error:
        drift.notices.append(f"{cluster.name}: binaries were compared between the masters alone: {error}")
        return {}
