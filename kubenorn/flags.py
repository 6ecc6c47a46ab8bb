"""Flags of the control plane's components: one table keyed by Kubernetes version.

Sources: the CHANGELOG of each release and the removal notes in Kubernetes' own source; the versions in
which a flag was first accepted and removed are those of the component's `--help`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kubenorn.cluster import Cluster, Master
from kubenorn.layout import Layout

Release = tuple[int, int]

ADMISSION_PLUGINS = (
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "NodeRestriction",
)
WEBHOOK_PLUGINS = ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")
"""Beta and part of the recommended set since 1.9."""


@dataclass(frozen=True)
class FlagContext:
    """What a flag's value may depend on."""

    cluster: Cluster
    master: Master
    layout: Layout

    @property
    def apiserver_url(self) -> str:
        """This host's own kube-apiserver, which its controller-manager and scheduler talk to."""
        return f"https://{self.master.address}:{self.cluster.settings.apiserver_port}"


Value = Callable[[FlagContext], object]


def _etcd_servers(context: FlagContext) -> str:
    """Return the etcd members of a kube-apiserver: its own host's alone where there is one; see decision 008."""
    if context.cluster.settings.etcd.mode == "managed":
        return "https://127.0.0.1:2379"
    return ",".join(context.cluster.etcd_endpoints)


@dataclass(frozen=True)
class Flag:
    """One flag of a component, from release `since` on and before release `until`."""

    component: str
    name: str
    value: Value
    since: Release = (1, 8)
    until: Release | None = None

    def applies(self, release: Release) -> bool:
        """Whether a component of this release gets the flag."""
        return self.since <= release and (self.until is None or release < self.until)


def command_line(component: str, context: FlagContext) -> list[str]:
    """Return the component's flags as `--name=value`, the operator's extra arguments last and winning.

    An extra argument of None removes the project's flag.
    """
    release = context.cluster.settings.kubernetes_version.release
    flags = {f.name: str(f.value(context)) for f in FLAGS if f.component == component and f.applies(release)}
    extra = context.cluster.settings.extra_arguments.get(component, {})  # type: ignore[call-overload]  # a str key
    flags |= {name: value for name, value in extra.items() if value is not None}
    return [f"--{name}={value}" for name, value in flags.items() if extra.get(name, "") is not None]


def _constant(value: object) -> Value:
    return lambda _: value


def _certificate(name: str) -> Value:
    return lambda c: c.layout.certificate(name)


def _key(name: str) -> Value:
    return lambda c: c.layout.key(name)


def _admission_plugins(context: FlagContext) -> str:
    release = context.cluster.settings.kubernetes_version.release
    webhooks = WEBHOOK_PLUGINS if release >= (1, 9) else ()
    return ",".join([*ADMISSION_PLUGINS, *webhooks, "ResourceQuota"])


def _etcd_flags() -> Iterator[Flag]:
    def initial_cluster(context: FlagContext) -> str:
        return ",".join(f"{m.name}=https://{m.address}:2380" for m in context.cluster.masters)

    pki: dict[str, Value] = {
        "cert-file": lambda c: c.layout.etcd_pki / "server.pem",
        "key-file": lambda c: c.layout.etcd_pki / "server-key.pem",
        "trusted-ca-file": lambda c: c.layout.etcd_pki / "ca.pem",
        "peer-cert-file": lambda c: c.layout.etcd_pki / "peer.pem",
        "peer-key-file": lambda c: c.layout.etcd_pki / "peer-key.pem",
        "peer-trusted-ca-file": lambda c: c.layout.etcd_pki / "ca.pem",
    }
    yield Flag("etcd", "name", lambda c: c.master.name)
    yield Flag("etcd", "data-dir", lambda c: c.layout.etcd_data)
    yield Flag(
        "etcd", "listen-client-urls", lambda c: f"https://{c.master.address}:2379,https://127.0.0.1:2379"
    )
    yield Flag("etcd", "advertise-client-urls", lambda c: f"https://{c.master.address}:2379")
    yield Flag("etcd", "listen-peer-urls", lambda c: f"https://{c.master.address}:2380")
    yield Flag("etcd", "initial-advertise-peer-urls", lambda c: f"https://{c.master.address}:2380")
    yield Flag("etcd", "initial-cluster", initial_cluster)
    yield Flag("etcd", "initial-cluster-token", lambda c: c.cluster.name)
    yield Flag("etcd", "initial-cluster-state", _constant("new"))
    for name, value in pki.items():
        yield Flag("etcd", name, value)
    yield Flag("etcd", "client-cert-auth", _constant("true"))
    yield Flag("etcd", "peer-client-cert-auth", _constant("true"))
    # Nothing is answered from the loss of etcd's leader until another is elected; see decision 009.
    yield Flag(
        "etcd", "heartbeat-interval", lambda c: round(c.cluster.settings.etcd.heartbeat_interval * 1000)
    )
    yield Flag("etcd", "election-timeout", lambda c: round(c.cluster.settings.etcd.election_timeout * 1000))
    yield Flag("etcd", "auto-compaction-retention", _constant("1"))
    yield Flag("etcd", "quota-backend-bytes", _constant(8 * 1024**3))


def _apiserver_flags() -> Iterator[Flag]:
    def flag(name: str, value: Value, since: Release = (1, 8), until: Release | None = None) -> Flag:
        return Flag("kube-apiserver", name, value, since, until)

    yield flag("advertise-address", lambda c: c.master.address)
    yield flag("bind-address", _constant("0.0.0.0"))  # noqa: S104  # haproxy of every master asks it
    yield flag("secure-port", lambda c: c.cluster.settings.apiserver_port)
    yield flag("insecure-port", _constant(0), until=(1, 24))
    yield flag("anonymous-auth", _constant("false"))
    yield flag("authorization-mode", _constant("Node,RBAC"))
    yield flag("admission-control", _admission_plugins, until=(1, 10))
    yield flag("enable-admission-plugins", _admission_plugins, since=(1, 10))
    yield flag("allow-privileged", _constant("true"))
    yield flag("profiling", _constant("false"))
    yield flag("client-ca-file", _certificate("ca"))
    yield flag("tls-cert-file", _certificate("kube-apiserver"))
    yield flag("tls-private-key-file", _key("kube-apiserver"))
    yield flag("kubelet-client-certificate", _certificate("kube-apiserver-kubelet-client"))
    yield flag("kubelet-client-key", _key("kube-apiserver-kubelet-client"))
    yield flag("kubelet-preferred-address-types", _constant("InternalIP,ExternalIP,Hostname"))
    yield flag("service-account-key-file", lambda c: c.layout.pki / "service-account.pub")
    yield flag("service-account-signing-key-file", _key("service-account"), since=(1, 20))
    yield flag(
        "service-account-issuer",
        lambda c: f"https://kubernetes.default.svc.{c.cluster.settings.cluster_domain}",
        since=(1, 20),
    )
    yield flag("etcd-servers", _etcd_servers)
    yield flag("etcd-cafile", _certificate("etcd-ca"))
    yield flag("etcd-certfile", _certificate("kube-apiserver-etcd-client"))
    yield flag("etcd-keyfile", _key("kube-apiserver-etcd-client"))
    yield flag("service-cluster-ip-range", lambda c: c.cluster.settings.service_cidr)
    yield flag("service-node-port-range", lambda c: c.cluster.settings.node_port_range)
    # An apiserver-count that differs from the truth makes the masters fight over the kubernetes endpoints;
    # the lease reconciler (default since 1.11) counts the living.
    yield flag("apiserver-count", lambda c: len(c.cluster.masters), until=(1, 9))
    yield flag("endpoint-reconciler-type", _constant("lease"), since=(1, 9), until=(1, 11))
    yield flag("experimental-bootstrap-token-auth", _constant("true"), until=(1, 9))
    yield flag("enable-bootstrap-token-auth", _constant("true"), since=(1, 9))
    yield flag("token-auth-file", lambda c: c.layout.token_file, until=(1, 9))
    yield flag(
        "experimental-encryption-provider-config",
        lambda c: c.layout.encryption_configuration,
        until=(1, 13),
    )
    yield flag("encryption-provider-config", lambda c: c.layout.encryption_configuration, since=(1, 13))
    yield flag("requestheader-client-ca-file", _certificate("front-proxy-ca"))
    yield flag("requestheader-allowed-names", _constant("front-proxy-client"))
    yield flag("requestheader-username-headers", _constant("X-Remote-User"))
    yield flag("requestheader-group-headers", _constant("X-Remote-Group"))
    yield flag("requestheader-extra-headers-prefix", _constant("X-Remote-Extra-"))
    yield flag("proxy-client-cert-file", _certificate("front-proxy-client"))
    yield flag("proxy-client-key-file", _key("front-proxy-client"))
    # Masters of plain binaries need not run kube-proxy: aggregated APIs are asked at their endpoints.
    yield flag("enable-aggregator-routing", _constant("true"))
    # While it stops, kube-apiserver goes on serving but says it is not ready: for longer than haproxy needs to
    # notice (inter 2s fall 2), so that no new connection meets a closed port. First accepted in 1.16.
    yield flag("shutdown-delay-duration", _constant("6s"), since=(1, 16))
    yield flag("audit-log-path", lambda c: c.layout.logs / "audit.log")
    yield flag("audit-policy-file", lambda c: c.layout.audit_policy)
    yield flag("audit-log-maxage", _constant(30))
    yield flag("audit-log-maxbackup", _constant(10))
    yield flag("audit-log-maxsize", _constant(100))


def _serving_flags(
    component: str, secure_since: Release, insecure_port: int, secure_port: int
) -> Iterator[Flag]:
    """Yield how a component serves health and metrics: HTTP on loopback, TLS from `secure_since` on."""
    yield Flag(component, "address", _constant("127.0.0.1"), until=secure_since)
    yield Flag(component, "port", _constant(insecure_port), until=secure_since)
    yield Flag(component, "port", _constant(0), since=secure_since, until=(1, 24))
    yield Flag(component, "bind-address", _constant("127.0.0.1"), since=secure_since)
    yield Flag(component, "secure-port", _constant(secure_port), since=secure_since)
    yield Flag(component, "tls-cert-file", _certificate(f"{component}-serving"), since=secure_since)
    yield Flag(component, "tls-private-key-file", _key(f"{component}-serving"), since=secure_since)
    yield Flag(component, "client-ca-file", _certificate("ca"), since=secure_since)
    for use in ("authentication", "authorization"):
        yield Flag(
            component, f"{use}-kubeconfig", lambda c: c.layout.kubeconfig(component), since=secure_since
        )


def _controller_manager_flags() -> Iterator[Flag]:
    name = "kube-controller-manager"

    def signing_duration(context: FlagContext) -> str:
        return f"{context.cluster.settings.pki.certificate_days * 24}h"

    yield Flag(name, "kubeconfig", lambda c: c.layout.kubeconfig(name))
    yield from _serving_flags(name, secure_since=(1, 12), insecure_port=10252, secure_port=10257)
    yield Flag(name, "leader-elect", _constant("true"))
    yield Flag(name, "use-service-account-credentials", _constant("true"))
    yield Flag(name, "controllers", _constant("*,bootstrapsigner,tokencleaner"))
    yield Flag(name, "cluster-name", lambda c: c.cluster.name)
    yield Flag(name, "allocate-node-cidrs", _constant("true"))
    yield Flag(name, "cluster-cidr", lambda c: c.cluster.settings.pod_cidr)
    yield Flag(name, "service-cluster-ip-range", lambda c: c.cluster.settings.service_cidr)
    yield Flag(name, "cluster-signing-cert-file", _certificate("ca"))
    yield Flag(name, "cluster-signing-key-file", _key("ca"))
    yield Flag(name, "experimental-cluster-signing-duration", signing_duration, until=(1, 19))
    yield Flag(name, "cluster-signing-duration", signing_duration, since=(1, 19))
    yield Flag(name, "root-ca-file", _certificate("ca"))
    yield Flag(name, "service-account-private-key-file", _key("service-account"))
    yield Flag(name, "profiling", _constant("false"))


def _scheduler_flags() -> Iterator[Flag]:
    name = "kube-scheduler"
    yield Flag(name, "kubeconfig", lambda c: c.layout.kubeconfig(name))
    yield from _serving_flags(name, secure_since=(1, 13), insecure_port=10251, secure_port=10259)
    yield Flag(name, "leader-elect", _constant("true"))
    yield Flag(name, "profiling", _constant("false"))


FLAGS: tuple[Flag, ...] = (
    *_etcd_flags(),
    *_apiserver_flags(),
    *_controller_manager_flags(),
    *_scheduler_flags(),
)
