"""Task: look at a host, once, without changing anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from nornir.core.task import Result, Task

from kubenorn.cluster import Cluster, Fleet
from kubenorn.desired import binary_versions, desired_host
from kubenorn.layout import ADMIN_KUBECONFIG, DIGESTS, STATE, Layout
from kubenorn.material import Material
from kubenorn.objects import BINDINGS_PATH, TOKENS_PATH
from kubenorn.observed import ObservedHost, parse_probe
from kubenorn.render import Render
from tasks.exec_channel import expect_success, run_script
from tasks.rendering import renderer

PROBE_SECONDS = 60


@dataclass(frozen=True)
class Probe:
    """What a host answered, and when (UTC, this machine's clock)."""

    observed: ObservedHost
    at: datetime


def probe_host(task: Task, fleet: Fleet, speakers: frozenset[str]) -> Result:
    """Return a `Probe` of the task's host; `speakers` also ask the API for the project's objects."""
    name = task.host.name
    script = probe_script(fleet.cluster_of(name), name, renderer(task), speaks=name in speakers)
    completed = expect_success(run_script(task, script, timeout=PROBE_SECONDS), "the probe")
    observed = parse_probe(completed.stdout)
    return Result(
        host=task.host,
        result=Probe(observed, datetime.now(UTC)),
        summary=f"{observed.system} on {observed.machine}: {len(observed.files)} managed files are there",
    )


def probe_script(
    cluster: Cluster,
    host: str,
    render: Render,
    *,
    speaks: bool,
    asks_units: bool = True,
    reads_texts: bool = True,
) -> str:
    """Return the probe of one host of `cluster`.

    Without its units where they are asked for otherwise, and without the contents of its files (haproxy's and
    keepalived's have passwords in them) where nothing is compared with them.
    """
    layout = Layout(cluster)
    blank = desired_host(
        cluster,
        cluster.master(host),
        interface="",
        material=Material.blank(),
        digests=dict.fromkeys(binary_versions(cluster), ""),
        render=render,
    )
    variables: Mapping[str, object] = {
        "users": _words(blank.users) or "root",
        "disks": _words([STATE.parent, layout.binaries, layout.etcd_data.parent, "/tmp"]),  # noqa: S108  # measured only
        "directories": _words([d.path for d in blank.directories]),
        "files": _words([f.path for f in blank.files]),
        "binaries": _words([b.path for b in blank.binaries]),
        "digests": DIGESTS,
        "texts": _words([f.path for f in blank.files if not f.secret]) if reads_texts else "",
        "units": _words([f"{u.name}.service" for u in blank.units]) if asks_units else "",
        "objects": speaks,
        "kubectl": layout.binary("kubectl"),
        "admin_kubeconfig": ADMIN_KUBECONFIG,
        "apiserver_url": f"https://127.0.0.1:{cluster.settings.apiserver_port}",
        "bindings_path": BINDINGS_PATH,
        "tokens_path": TOKENS_PATH,
    }
    return render("probe.sh.j2", variables)


def _words(items: object) -> str:
    return " ".join(str(item) for item in items)  # type: ignore[attr-defined]  # paths and names without spaces
