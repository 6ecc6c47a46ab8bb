"""Task: collect evidence on a host."""

from nornir.core.task import Result, Task

from kubenorn.cluster import Cluster, Fleet
from kubenorn.components import components
from kubenorn.evidence import parse_evidence
from kubenorn.layout import ADMIN_KUBECONFIG, HAPROXY_STATISTICS_SOCKET, Layout
from kubenorn.render import Render
from kubenorn.verify_requests import BACKENDS_REQUEST, requests
from tasks.exec_channel import expect_success, run_script
from tasks.rendering import renderer

VERIFY_SECONDS = 60


def verify_host(task: Task, fleet: Fleet, speakers: frozenset[str]) -> Result:
    """Return the `Evidence` of the task's host; `speakers` also look at the cluster as a whole."""
    name = task.host.name
    script = verify_script(fleet.cluster_of(name), name, renderer(task), speaks=name in speakers)
    completed = expect_success(run_script(task, script, timeout=VERIFY_SECONDS), "the verify script")
    seen = parse_evidence(completed.stdout)
    active = sum(unit.is_active for unit in seen.units.values())
    return Result(host=task.host, result=seen, summary=f"{active} units active, {len(seen.http)} URLs asked")


def verify_script(cluster: Cluster, host: str, render: Render, *, speaks: bool) -> str:
    """Return the script that collects the evidence of one host of `cluster`."""
    layout = Layout(cluster)
    managed_etcd = cluster.settings.etcd.mode == "managed"
    etcd_client = "etcd-health-check-client" if managed_etcd else "kube-apiserver-etcd-client"
    certificate, key = layout.certificate(etcd_client), layout.key(etcd_client)
    asked: list[dict[str, object]] = [
        {"name": name, "url": url, "keep_bytes": keep, "options": None}
        for name, url, keep in requests(cluster, cluster.master(host))
    ]
    asked.append(
        {
            "name": BACKENDS_REQUEST,
            "url": "http://localhost/;csv",
            "keep_bytes": 1 << 16,
            "options": f"--unix-socket {HAPROXY_STATISTICS_SOCKET}",
        }
    )
    if managed_etcd:
        options = f"--cacert {layout.certificate('etcd-ca')} --cert {certificate} --key {key}"
        asked.append(
            {
                "name": "health-etcd",
                "url": "https://127.0.0.1:2379/health",
                "keep_bytes": 400,
                "options": options,
            }
        )
    return render(
        "verify.sh.j2",
        {
            "units": " ".join(f"{c.name}.service" for c in components(cluster)),
            "requests": asked,
            "admin_kubeconfig": ADMIN_KUBECONFIG,
            "kubectl": layout.binary("kubectl"),
            "etcdctl": layout.binary("etcdctl"),
            "etcd_ca": layout.certificate("etcd-ca"),
            "etcd_certificate": certificate,
            "etcd_key": key,
            "etcd_endpoints": ",".join(cluster.etcd_endpoints),
            "managed_etcd": managed_etcd,
            "speaker": speaks,
        },
    )
