"""The components of a control plane: their units, ports and health, by Kubernetes version."""

from dataclasses import dataclass

from kubenorn.cluster import Cluster


@dataclass(frozen=True)
class Listener:
    """A port a component must hold; `process` is its name as netstat shows it, uncut."""

    port: int
    process: str


@dataclass(frozen=True)
class Component:
    """One component on a master. Units are named like components."""

    name: str
    listeners: tuple[Listener, ...]
    health_url: str | None = None
    """Asked on the host itself, over TLS where the component can; None: its health shows otherwise."""
    metrics_url: str | None = None
    reloads: bool = False
    """Whether `systemctl reload` makes it take a changed configuration."""


def components(cluster: Cluster) -> tuple[Component, ...]:
    """Return the components of a cluster's masters in the order in which they start."""
    settings = cluster.settings
    version = settings.kubernetes_version
    api = f"https://127.0.0.1:{settings.apiserver_port}"
    etcd = Component("etcd", (Listener(2379, "etcd"), Listener(2380, "etcd")))
    haproxy_ports = [Listener(settings.vip_port, "haproxy")]
    if settings.haproxy.statistics:
        haproxy_ports.append(Listener(settings.haproxy.statistics.port, "haproxy"))
    return (
        *([etcd] if settings.etcd.mode == "managed" else []),
        Component(
            "kube-apiserver",
            (Listener(settings.apiserver_port, "kube-apiserver"),),
            health_url=f"{api}{version.liveness_path}",
            metrics_url=f"{api}/metrics",
        ),
        _leader_elected(
            "kube-controller-manager",
            secure=version.release >= (1, 12),
            insecure_port=10252,
            secure_port=10257,
        ),
        _leader_elected(
            "kube-scheduler", secure=version.release >= (1, 13), insecure_port=10251, secure_port=10259
        ),
        Component("haproxy", tuple(haproxy_ports), reloads=True),
        Component("keepalived", (), reloads=True),
    )


def _leader_elected(name: str, *, secure: bool, insecure_port: int, secure_port: int) -> Component:
    port, scheme = (secure_port, "https") if secure else (insecure_port, "http")
    return Component(
        name,
        (Listener(port, name),),
        health_url=f"{scheme}://127.0.0.1:{port}/healthz",
        metrics_url=f"{scheme}://127.0.0.1:{port}/metrics",
    )


LEADER_ELECTED = ("kube-controller-manager", "kube-scheduler")
