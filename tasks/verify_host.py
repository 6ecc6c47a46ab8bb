"""Task: collect evidence on a host."""

from dataclasses import dataclass
from shlex import quote

from nornir.core.task import Result, Task

from kubenorn.cluster import Cluster, Fleet
from kubenorn.components import LEADER_ELECTED, components
from kubenorn.evidence import parse_evidence
from kubenorn.layout import ADMIN_KUBECONFIG, HAPROXY_STATISTICS_SOCKET, Layout
from kubenorn.render import Render
from kubenorn.verify_requests import BACKENDS_REQUEST, requests
from tasks.exec_channel import expect_success, run_script
from tasks.rendering import renderer

VERIFY_SECONDS = 60
REQUEST_SECONDS, BRIEF_REQUEST_SECONDS = 8, 4
"""How long one answer is waited for. A brief round asks one after the other what is at the same place."""


@dataclass(frozen=True)
class Tools:
    """With what the API and etcd are asked on a host: paths, or words that its shell makes into paths."""

    kubectl: str
    etcdctl: str
    admin_kubeconfig: str
    etcd_ca: str
    etcd_certificate: str
    etcd_key: str
    etcd_url: str = "https://127.0.0.1:2379"


@dataclass(frozen=True)
class _Request:
    """What is asked of one URL, as a word of the shell, with curl's options; without any, as the administrator."""

    name: str
    word: str
    options: str


def own_tools(cluster: Cluster) -> Tools:
    """Return what this project puts on a host of `cluster`."""
    layout = Layout(cluster)
    managed = cluster.settings.etcd.mode == "managed"
    client = "etcd-health-check-client" if managed else "kube-apiserver-etcd-client"
    return Tools(
        kubectl=str(layout.binary("kubectl")),
        etcdctl=str(layout.binary("etcdctl")),
        admin_kubeconfig=str(ADMIN_KUBECONFIG),
        etcd_ca=str(layout.certificate("etcd-ca")),
        etcd_certificate=str(layout.certificate(client)),
        etcd_key=str(layout.key(client)),
    )


def verify_host(task: Task, fleet: Fleet, speakers: frozenset[str]) -> Result:
    """Return the `Evidence` of the task's host; `speakers` also look at the cluster as a whole."""
    name = task.host.name
    script = verify_script(fleet.cluster_of(name), name, renderer(task), speaks=name in speakers)
    completed = expect_success(run_script(task, script, timeout=VERIFY_SECONDS), "the verify script")
    seen = parse_evidence(completed.stdout)
    active = sum(unit.is_active for unit in seen.units.values())
    return Result(host=task.host, result=seen, summary=f"{active} units active, {len(seen.http)} URLs asked")


def verify_script(
    cluster: Cluster,
    host: str,
    render: Render,
    *,
    speaks: bool,
    tools: Tools | None = None,
    brief: bool = False,
) -> str:
    """Return the script that collects the evidence of one host of `cluster`.

    `tools` stand elsewhere on a cluster that somebody else deployed. A `brief` one leaves out what an audit looks at
    itself, and tells of the components' measurements what an audit wants: their versions, and who leads.
    """
    tools = tools or own_tools(cluster)
    managed_etcd = cluster.settings.etcd.mode == "managed"
    # Most serve a certificate there that they made themselves; an audit looks at what is served otherwise.
    local = tuple(f"{kind}-{name}" for kind in ("health", "metrics") for name in LEADER_ELECTED)
    asked = [
        _Request(name, quote(url), "$as_admin -k" if brief and name in local else "")
        for name, url in requests(cluster, cluster.master(host), brief=brief)
    ]
    statistics = f"--unix-socket {HAPROXY_STATISTICS_SOCKET}"
    asked.append(_Request(BACKENDS_REQUEST, quote("http://localhost/;csv"), statistics))
    if managed_etcd:
        options = f"--cacert {tools.etcd_ca} --cert {tools.etcd_certificate} --key {tools.etcd_key}"
        asked.append(_Request("health-etcd", f"{tools.etcd_url}/health", options))
    return render(
        "verify.sh.j2",
        {
            "units": " ".join(f"{c.name}.service" for c in components(cluster)),
            "groups": _grouped(asked) if brief else [[each] for each in asked],
            "seconds": BRIEF_REQUEST_SECONDS if brief else REQUEST_SECONDS,
            "tools": tools,
            "brief": brief,
            "etcd_endpoints": ",".join(cluster.etcd_endpoints),
            "managed_etcd": managed_etcd,
            "speaker": speaks,
        },
    )


def _grouped(asked: list[_Request]) -> list[list[_Request]]:
    """Return the requests by where they go and as whom: each group needs one curl and one TLS handshake."""
    groups: dict[object, list[_Request]] = {}
    for each in asked:
        place = each.word.strip("'").split("/")[:3]
        groups.setdefault((each.options, *place), []).append(each)
    return list(groups.values())
