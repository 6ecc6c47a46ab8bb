"""Task: collect everything the audit needs of a host, in one exec, without changing anything."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from nornir.core.task import Result, Task

from kubenorn.audit.context import HostAudit
from kubenorn.audit.parse import parse_collected
from kubenorn.audit.wire import LOOPBACK, THROUGH_THE_VIP
from kubenorn.cluster import Cluster, Fleet
from kubenorn.components import LEADER_ELECTED, components
from kubenorn.errors import HostsWrongError
from kubenorn.evidence import parse_evidence
from kubenorn.layout import ADMIN_KUBECONFIG, ETCD_CONFIGURATION, Layout
from kubenorn.observed import parse_probe
from kubenorn.render import Render
from tasks.exec_channel import expect_success, run_script
from tasks.probe_host import probe_script
from tasks.rendering import renderer
from tasks.verify_host import Tools, own_tools, verify_script

AUDIT_SECONDS = 60
JOURNAL_MINUTES = 60
"""How far back the components' own errors are looked at."""
FOUND_TOOLS = Tools(**{name: f'"${name}"' for name in Tools.__dataclass_fields__})
"""As templates/discover.sh.j2 has found them on the host."""
LOOPBACK_NAME = "apiserver-loopback-client"
"""Under this name kube-apiserver's own client asks it (k8s.io/apiserver, server/options/serving_with_loopback.go)."""
SEPARATOR = "kubenorn-part-ends-here"


def audit_host(
    task: Task, fleet: Fleet, speakers: frozenset[str], compared: frozenset[str], salt: str
) -> Result:
    """Return a `HostAudit` of the task's host; `speakers` also speak with the API and etcd for all of them.

    Of the clusters `compared` with what deploy would write, the contents of files that hold no key are read as well.

    `salt` is one word for all hosts of an audit: with it passwords are compared that do not leave their hosts.
    """
    name = task.host.name
    cluster, render = fleet.cluster_of(name), renderer(task)
    speaks = name in speakers
    parts = [
        probe_script(
            cluster, name, render, speaks=False, asks_units=False, reads_texts=cluster.name in compared
        ),
        verify_script(cluster, name, render, speaks=speaks, tools=FOUND_TOOLS, brief=True),
        audit_script(cluster, name, render, speaks=speaks, salt=salt),
    ]
    units = " ".join(f"{component.name}.service" for component in components(cluster))
    variables = {"parts": parts, "separator": SEPARATOR, "units": units, "tools": own_tools(cluster)}
    script = render("audit_host.sh.j2", variables)
    asked = datetime.now(UTC)
    completed = expect_success(run_script(task, script, timeout=AUDIT_SECONDS), "the audit script")
    answered = datetime.now(UTC)
    answers = completed.stdout.split(f"\n{SEPARATOR}\n")
    if len(answers) != len(parts) + 1:
        raise HostsWrongError("the audit script did not run to its end; run again with --verbose")
    own = parse_collected(answers[2])
    observed = replace(parse_probe(answers[0]), units=own.units)
    found = HostAudit(observed, parse_evidence(answers[1]), own, asked, answered)
    return Result(host=task.host, result=found, summary=f"{len(own.certificates)} certificates read")


def audit_script(cluster: Cluster, host: str, render: Render, *, speaks: bool, salt: str) -> str:
    """Return the audit's own part of the script for one host of `cluster`."""
    layout, settings = Layout(cluster), cluster.settings
    managed_etcd = settings.etcd.mode == "managed"
    certificates = (
        f"{folder}/*.{ending}"
        for folder in (layout.pki, layout.etcd_pki, ETCD_CONFIGURATION)
        for ending in ("pem", "crt", "key")
    )
    kubeconfigs = (f"{layout.configuration}/*.kubeconfig", f"{layout.configuration}/*.conf", ADMIN_KUBECONFIG)
    variables: Mapping[str, object] = {
        "files": " ".join(map(str, (*certificates, *kubeconfigs))),
        "endpoints": list(_endpoints(cluster, host)),
        "vip": settings.vip,
        "salt": salt,
        "speaker": speaks and managed_etcd,
        "etcd_endpoints": ",".join(cluster.etcd_endpoints),
        "disks": f"{layout.etcd_data} {layout.logs}",
        "journal_minutes": JOURNAL_MINUTES,
    }
    return render("audit.sh.j2", variables)


def _endpoints(cluster: Cluster, host: str) -> Iterator[tuple[str, str, str]]:
    """Yield whose served certificate is looked at: name, address and port, and the name asked for (SNI)."""
    settings, own = cluster.settings, cluster.master(host).address
    apiserver = f"{own}:{settings.apiserver_port}"
    yield "kube-apiserver", apiserver, ""
    yield LOOPBACK, apiserver, LOOPBACK_NAME
    yield THROUGH_THE_VIP, f"{settings.vip}:{settings.vip_port}", ""
    for component in components(cluster):
        if component.name in LEADER_ELECTED and (component.health_url or "").startswith("https"):
            yield component.name, f"127.0.0.1:{component.listeners[0].port}", ""
    if settings.etcd.mode == "managed":
        yield "etcd", f"{own}:2379", ""
        yield "etcd-peer", f"{own}:2380", ""
