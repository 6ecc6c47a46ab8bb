"""What the CIS Kubernetes Benchmark asks of flags: followed by this project's own, and found where it is not."""

import pytest

from kubenorn.audit.benchmark import recommendations
from kubenorn.audit.collected import Process
from kubenorn.audit.finding import Severity
from kubenorn.flags import FlagContext, command_line
from kubenorn.layout import Layout
from tests.unit.builders import VERSIONS, a_cluster

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def own_flags(version: str, component: str) -> dict[str, str]:
    """Return the flags this project gives a component."""
    cluster = a_cluster(kubernetes_version=version)
    words = command_line(component, FlagContext(cluster, cluster.masters[0], Layout(cluster)))
    return Process(1, component, (component, *words)).flags


def broken(component: str, flags: dict[str, str]) -> dict[str, Severity]:
    """Return the numbers of the recommendations that the flags do not follow."""
    return {
        each.number: each.severity
        for each in recommendations()
        if each.component == component and each.is_broken(flags)
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("component", COMPONENTS)
def test_own_flags_follow_the_benchmark(version: str, component: str) -> None:
    above = {n for n, severity in broken(component, own_flags(version, component)).items() if severity}
    # Before 1.9 kubelets could only join by a token in a file.
    assert above <= ({"1.2.2"} if version.startswith("1.8.") else set())


@pytest.mark.parametrize(
    ("component", "change", "number"),
    [
        ("kube-apiserver", {"anonymous-auth": "true"}, "1.2.1"),
        ("kube-apiserver", {"token-auth-file": "/t"}, "1.2.2"),
        ("kube-apiserver", {"basic-auth-file": "/t"}, "1.2.2"),
        ("kube-apiserver", {"kubelet-https": "false"}, "1.2.3"),
        ("kube-apiserver", {"kubelet-client-certificate": ""}, "1.2.4"),
        ("kube-apiserver", {"authorization-mode": "AlwaysAllow"}, "1.2.6"),
        ("kube-apiserver", {"authorization-mode": "RBAC"}, "1.2.7"),
        ("kube-apiserver", {"authorization-mode": "Node"}, "1.2.8"),
        ("kube-apiserver", {"enable-admission-plugins": "AlwaysAdmit,NodeRestriction"}, "1.2.10"),
        ("kube-apiserver", {"disable-admission-plugins": "ServiceAccount"}, "1.2.13"),
        ("kube-apiserver", {"disable-admission-plugins": "NamespaceLifecycle"}, "1.2.14"),
        ("kube-apiserver", {"enable-admission-plugins": "ServiceAccount"}, "1.2.16"),
        ("kube-apiserver", {"insecure-bind-address": "0.0.0.0"}, "1.2.17"),
        ("kube-apiserver", {"insecure-port": "8080"}, "1.2.18"),
        ("kube-apiserver", {"secure-port": "0"}, "1.2.19"),
        ("kube-apiserver", {"profiling": "true"}, "1.2.20"),
        ("kube-apiserver", {"audit-log-path": None}, "1.2.21"),
        ("kube-apiserver", {"audit-log-maxage": "7"}, "1.2.22"),
        ("kube-apiserver", {"audit-log-maxbackup": None}, "1.2.23"),
        ("kube-apiserver", {"audit-log-maxsize": "1"}, "1.2.24"),
        ("kube-apiserver", {"service-account-lookup": "false"}, "1.2.26"),
        ("kube-apiserver", {"service-account-key-file": None}, "1.2.27"),
        ("kube-apiserver", {"etcd-certfile": None}, "1.2.28"),
        ("kube-apiserver", {"tls-cert-file": None}, "1.2.29"),
        ("kube-apiserver", {"client-ca-file": None}, "1.2.30"),
        ("kube-apiserver", {"etcd-cafile": None}, "1.2.31"),
        ("kube-apiserver", {"encryption-provider-config": None}, "1.2.32"),
        ("kube-apiserver", {"tls-cipher-suites": "TLS_RSA_WITH_RC4_128_SHA"}, "1.2.34"),
        ("kube-apiserver", {"audit-policy-file": None}, "3.2.1"),
        ("kube-controller-manager", {"profiling": None}, "1.3.2"),
        ("kube-controller-manager", {"use-service-account-credentials": None}, "1.3.3"),
        ("kube-controller-manager", {"service-account-private-key-file": None}, "1.3.4"),
        ("kube-controller-manager", {"root-ca-file": None}, "1.3.5"),
        ("kube-controller-manager", {"feature-gates": "RotateKubeletServerCertificate=false"}, "1.3.6"),
        ("kube-controller-manager", {"bind-address": "0.0.0.0"}, "1.3.7"),
        ("kube-scheduler", {"profiling": None}, "1.4.1"),
        ("kube-scheduler", {"bind-address": "0.0.0.0"}, "1.4.2"),
        ("etcd", {"cert-file": None}, "2.1"),
        ("etcd", {"client-cert-auth": None, "trusted-ca-file": None}, "2.2"),
        ("etcd", {"auto-tls": "true"}, "2.3"),
        ("etcd", {"peer-cert-file": None}, "2.4"),
        ("etcd", {"peer-client-cert-auth": "false", "peer-trusted-ca-file": None}, "2.5"),
        ("etcd", {"peer-auto-tls": "true"}, "2.6"),
    ],
)
def test_a_recommendation_that_is_not_followed(
    component: str, change: dict[str, str | None], number: str
) -> None:
    own = own_flags("1.20.2", component)
    changed = {name: value for name, value in (own | change).items() if value is not None}
    assert broken(component, changed).keys() - broken(component, own).keys() == {number}
