"""What is asked on a host as the administrator when it is verified: names and URLs."""

from collections.abc import Iterator

from kubenorn.cluster import Cluster, Master
from kubenorn.components import LEADER_ELECTED, components

VIP_REQUEST = "through-the-vip"
BACKENDS_REQUEST = "haproxy-backends"
READY_REQUEST = "ready-kube-apiserver"
VERSION_REQUEST = "version-kube-apiserver"


def requests(cluster: Cluster, master: Master, *, brief: bool = False) -> Iterator[tuple[str, str]]:
    """Yield what is asked on a host as the administrator: name and URL.

    A `brief` round asks kube-apiserver for its version instead of all its measurements, which are megabytes.
    """
    settings = cluster.settings
    version = settings.kubernetes_version
    for component in components(cluster):
        if component.health_url:
            yield f"health-{component.name}", component.health_url
        if component.metrics_url and not (brief and component.name == "kube-apiserver"):
            yield f"metrics-{component.name}", component.metrics_url
    if brief:
        yield VERSION_REQUEST, f"https://127.0.0.1:{settings.apiserver_port}/version"
    own = f"https://127.0.0.1:{settings.apiserver_port}{version.readiness_path}"
    yield READY_REQUEST, f"{own}?verbose"
    yield VIP_REQUEST, f"{settings.endpoint}{version.readiness_path}"
    api = f"https://{'127.0.0.1' if brief else master.address}:{settings.apiserver_port}"
    kind = "leases" if version.leaders_in_leases else "endpoints"
    group = "/apis/coordination.k8s.io/v1" if version.leaders_in_leases else "/api/v1"
    for name in LEADER_ELECTED:
        yield f"leader-{name}", f"{api}{group}/namespaces/kube-system/{kind}/{name}"
