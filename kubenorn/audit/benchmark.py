"""What the control-plane sections of the CIS Kubernetes Benchmark ask of flags, by its numbers, in words of our own.

Numbers are those of the benchmark for Kubernetes 1.20 (v1.0.0), whatever release is looked at. Not judged, because
it is a matter of taste or was removed since: 1.2.12, 1.2.15 and 1.2.25.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kubenorn.audit.finding import Severity

Flags = Mapping[str, str]
WEAK_CIPHERS = ("_RC4_", "_3DES_", "_CBC_SHA", "_NULL_", "_anon_")
APISERVER, MANAGER, SCHEDULER, ETCD = "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"


@dataclass(frozen=True)
class Recommendation:
    """One recommendation: of which flag of which component, how bad it is when it is not followed, and what to do."""

    number: str
    component: str
    flag: str
    severity: Severity
    is_broken: Callable[[Flags], bool]
    said: str
    remedy: str


def recommendations() -> Iterator[Recommendation]:
    """Yield every recommendation about flags, in the benchmark's order."""
    yield from _authentication()
    yield from _admission()
    yield from _insecure_serving()
    yield from _audit_log()
    yield from _credentials()
    yield from _followers()
    yield from _etcd()


def _lacks(flag: str) -> Callable[[Flags], bool]:
    return lambda flags: not flags.get(flag)


def _has(flag: str) -> Callable[[Flags], bool]:
    return lambda flags: flag in flags


def _is(flag: str, value: str) -> Callable[[Flags], bool]:
    return lambda flags: flags.get(flag) == value


def _is_not(flag: str, value: str) -> Callable[[Flags], bool]:
    return lambda flags: flags.get(flag) != value


def _is_neither(flag: str, other: str) -> Callable[[Flags], bool]:
    return lambda flags: flags.get(flag) != "true" and not flags.get(other)


def _modes(flags: Flags) -> list[str]:
    if "authorization-config" in flags:  # since 1.29 a file says it
        return ["Node", "RBAC"]
    return flags.get("authorization-mode", "AlwaysAllow").split(",")


def _lacks_mode(mode: str) -> Callable[[Flags], bool]:
    return lambda flags: not {mode, "AlwaysAllow"} & {*_modes(flags)}


def _plugins(flags: Flags) -> list[str]:
    return flags.get("enable-admission-plugins", flags.get("admission-control", "")).split(",")


def _lacks_plugin(plugin: str) -> Callable[[Flags], bool]:
    return lambda flags: plugin not in _plugins(flags)


def _disables(plugin: str) -> Callable[[Flags], bool]:
    return lambda flags: plugin in flags.get("disable-admission-plugins", "").split(",")


def _less_than(flag: str, least: int) -> Callable[[Flags], bool]:
    def is_less(flags: Flags) -> bool:
        value = flags.get(flag, "")
        return "audit-log-path" in flags and not (value.isdigit() and int(value) >= least)

    return is_less


def _asks_etcd_over_tls(flags: Flags) -> bool:
    return "https://" in flags.get("etcd-servers", "")


Rule = Callable[[str, str, Severity, Callable[[Flags], bool], str, str], Recommendation]


def _rules_of(component: str) -> Rule:
    """Return what makes a recommendation about `component` of its other parts, in their order."""
    return lambda number, *rest: Recommendation(number, component, *rest)


def _authentication() -> Iterator[Recommendation]:
    rule, warning, error = _rules_of(APISERVER), Severity.WARNING, Severity.ERROR
    yield rule(
        "1.2.1", "anonymous-auth", warning,
        lambda f: f.get("anonymous-auth") != "false" and "authentication-config" not in f,
        "anonymous requests are let in", "set it to false",
    )  # fmt: skip
    said, remedy = (
        "whoever has a line of this file is let in until a restart",
        "remove it; use certificates or tokens",
    )
    yield rule("1.2.2", "token-auth-file", warning, _has("token-auth-file"), said, remedy)
    yield rule("1.2.2", "basic-auth-file", error, _has("basic-auth-file"), said, remedy)
    said = "kubelets are spoken to without TLS"
    yield rule("1.2.3", "kubelet-https", error, _is("kubelet-https", "false"), said, "remove it")
    said, remedy = (
        "kubelets are spoken to without saying who asks",
        "give it a client certificate and its key",
    )
    lacks = _lacks("kubelet-client-certificate")
    yield rule("1.2.4", "kubelet-client-certificate", warning, lacks, said, remedy)
    said, remedy = "kubelets' certificates are not verified", "give it the CA that signs them"
    lacks = _lacks("kubelet-certificate-authority")
    yield rule("1.2.5", "kubelet-certificate-authority", Severity.INFO, lacks, said, remedy)
    flag, remedy = "authorization-mode", "set it to Node,RBAC"
    yield rule(
        "1.2.6", flag, Severity.CRITICAL,
        lambda f: "AlwaysAllow" in _modes(f), "every request is allowed", remedy,
    )  # fmt: skip
    for number, mode, said in (
        ("1.2.7", "Node", "kubelets may do more than their node needs"),
        ("1.2.8", "RBAC", "roles do not count"),
    ):
        yield rule(
            number, flag, warning,
            _lacks_mode(mode), f"{mode} is off: {said}", remedy,
        )  # fmt: skip


def _admission() -> Iterator[Recommendation]:
    rule, warning, info = _rules_of(APISERVER), Severity.WARNING, Severity.INFO
    flag = "enable-admission-plugins"
    for number, plugin, severity, said in (
        ("1.2.9", "EventRateLimit", info, "events may flood etcd"),
        ("1.2.11", "AlwaysPullImages", info, "a pod may use an image another one pulled with its secret"),
        ("1.2.16", "NodeRestriction", warning, "a kubelet may change other nodes"),
    ):
        yield rule(
            number, flag, severity, _lacks_plugin(plugin), f"{plugin} is off: {said}", f"add {plugin}"
        )  # fmt: skip
    yield rule(
        "1.2.10", flag, warning, lambda f: "AlwaysAdmit" in _plugins(f), "AlwaysAdmit is on", "remove it"
    )
    for number, plugin in (("1.2.13", "ServiceAccount"), ("1.2.14", "NamespaceLifecycle")):
        yield rule(
            number, "disable-admission-plugins", warning,
            _disables(plugin), f"{plugin} is switched off", "remove it from the list",
        )  # fmt: skip


def _insecure_serving() -> Iterator[Recommendation]:
    rule, error, said = _rules_of(APISERVER), Severity.ERROR, "serves without TLS, to whoever asks"
    given = _has("insecure-bind-address")
    yield rule("1.2.17", "insecure-bind-address", error, given, said, "remove it")
    yield rule(
        "1.2.18", "insecure-port", error, lambda f: f.get("insecure-port", "0") != "0", said, "set it to 0"
    )
    said = "does not serve over TLS"
    yield rule("1.2.19", "secure-port", error, _is("secure-port", "0"), said, "remove it")
    for number, component in (("1.2.20", APISERVER), ("1.3.2", MANAGER), ("1.4.1", SCHEDULER)):
        wrong, said, remedy = _is_not("profiling", "false"), "profiles can be taken of it", "set it to false"
        yield Recommendation(number, component, "profiling", Severity.INFO, wrong, said, remedy)


def _audit_log() -> Iterator[Recommendation]:
    rule, info = _rules_of(APISERVER), Severity.INFO

    def silent(flags: Flags) -> bool:
        return not {"audit-log-path", "audit-webhook-config-file"} & flags.keys()

    said, remedy = "nobody notes who did what", "configure an audit log"
    yield rule("1.2.21", "audit-log-path", Severity.WARNING, silent, said, remedy)
    for number, flag, least, unit in (
        ("1.2.22", "audit-log-maxage", 30, "days"),
        ("1.2.23", "audit-log-maxbackup", 10, "files"),
        ("1.2.24", "audit-log-maxsize", 100, "megabytes a file"),
    ):
        said = f"the audit log keeps less than {least} {unit}"
        yield rule(number, flag, info, _less_than(flag, least), said, f"set it to {least} or more")
    said, remedy = "without a policy nothing is written into the audit log", "write an audit policy"
    yield rule(
        "3.2.1", "audit-policy-file", Severity.WARNING,
        lambda f: not silent(f) and not f.get("audit-policy-file"), said, remedy,
    )  # fmt: skip


def _credentials() -> Iterator[Recommendation]:
    rule, warning, error = _rules_of(APISERVER), Severity.WARNING, Severity.ERROR
    said = "tokens of service accounts that were deleted are still let in"
    wrong = _is("service-account-lookup", "false")
    yield rule("1.2.26", "service-account-lookup", warning, wrong, said, "remove it")
    said, remedy = "tokens are verified by the key of its TLS certificate", "give it a public key of its own"
    yield rule(
        "1.2.27", "service-account-key-file", warning, _lacks("service-account-key-file"), said, remedy
    )
    said, remedy = "asks etcd without saying who asks", "give it a client certificate and its key"
    yield rule(
        "1.2.28", "etcd-certfile", error,
        lambda f: _asks_etcd_over_tls(f) and not f.get("etcd-certfile"), said, remedy,
    )  # fmt: skip
    said, remedy = (
        "made its serving certificate itself: clients cannot verify it",
        "give it a certificate and its key",
    )
    yield rule("1.2.29", "tls-cert-file", warning, _lacks("tls-cert-file"), said, remedy)
    said, remedy = "lets nobody in by a certificate", "give it the cluster's CA"
    yield rule(
        "1.2.30", "client-ca-file", warning,
        lambda f: not f.get("client-ca-file") and "authentication-config" not in f, said, remedy,
    )  # fmt: skip
    said, remedy = "does not verify etcd's certificate", "give it etcd's CA"
    yield rule(
        "1.2.31", "etcd-cafile", error,
        lambda f: _asks_etcd_over_tls(f) and not f.get("etcd-cafile"), said, remedy,
    )  # fmt: skip
    flags = {"encryption-provider-config", "experimental-encryption-provider-config"}
    said, remedy = "Secrets lie in etcd as they are", "configure encryption at rest"
    yield rule("1.2.32", "encryption-provider-config", warning, lambda f: not flags & f.keys(), said, remedy)
    said, remedy = "lets weak ciphers be used", "leave those of ECDHE with GCM or CHACHA20"
    yield rule(
        "1.2.34", "tls-cipher-suites", warning,
        lambda f: any(weak in f.get("tls-cipher-suites", "") for weak in WEAK_CIPHERS), said, remedy,
    )  # fmt: skip


def _followers() -> Iterator[Recommendation]:
    rule, warning, info = _rules_of(MANAGER), Severity.WARNING, Severity.INFO
    flag = "terminated-pod-gc-threshold"
    yield rule(
        "1.3.1", flag, info, _lacks(flag), "12500 ended pods are kept", "set it to what etcd can carry"
    )
    flag, said = "use-service-account-credentials", "all controllers have all rights of all of them"
    yield rule("1.3.3", flag, warning, _is_not(flag, "true"), said, "set it to true")
    flag, said = "service-account-private-key-file", "no tokens for service accounts are signed"
    yield rule("1.3.4", flag, warning, _lacks(flag), said, "give it the key of kube-apiserver's public one")
    flag, said = "root-ca-file", "pods are not told whom to trust"
    yield rule("1.3.5", flag, warning, _lacks(flag), said, "give it the cluster's CA")
    flag, gate = "feature-gates", "RotateKubeletServerCertificate=false"
    said = "kubelets do not renew their serving certificates"
    yield rule("1.3.6", flag, warning, lambda f: gate in f.get(flag, ""), said, f"remove {gate}")
    flag, said = "bind-address", "serves health and metrics to other hosts"
    for number, component in (("1.3.7", MANAGER), ("1.4.2", SCHEDULER)):
        wrong = _is_open
        yield Recommendation(number, component, flag, warning, wrong, said, "set it to 127.0.0.1")


def _is_open(flags: Flags) -> bool:
    return flags.get("bind-address", flags.get("address", "127.0.0.1")) not in {
        "127.0.0.1",
        "::1",
        "localhost",
    }


def _etcd() -> Iterator[Recommendation]:
    rule, warning, error = _rules_of(ETCD), Severity.WARNING, Severity.ERROR
    for numbers, prefix, who in (
        (("2.1", "2.2", "2.3"), "", "clients"),
        (("2.4", "2.5", "2.6"), "peer-", "members"),
    ):
        certificate, authenticate, itself = (
            f"{prefix}cert-file",
            f"{prefix}client-cert-auth",
            f"{prefix}auto-tls",
        )
        remedy = "give it a certificate and its key"
        yield rule(
            numbers[0], certificate, error, _lacks(certificate), f"{who} speak with it without TLS", remedy
        )
        said = f"{who} need not say who they are"
        authority = f"{prefix}trusted-ca-file"  # given one, etcd asks for certificates as well
        wrong = _is_neither(authenticate, authority)
        yield rule(numbers[1], authenticate, error, wrong, said, "set it to true")
        said = f"{who} are shown a certificate it made itself"
        yield rule(
            numbers[2], itself, warning, _is(itself, "true"), said, "remove it, and give it certificates"
        )
