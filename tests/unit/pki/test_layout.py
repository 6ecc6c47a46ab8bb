from dataclasses import replace

import pytest

from kubenorn.errors import InputWrongError
from kubenorn.pki.certificate import CertificateSpec, Usage
from kubenorn.pki.keys import KeyType
from kubenorn.pki.layout import controller_certificate_specs, host_certificate_specs

from .material import REQUEST

CLIENT, SERVER, BOTH = (Usage.CLIENT,), (Usage.SERVER,), (Usage.SERVER, Usage.CLIENT)
HERE = (("localhost", "m2"), ("127.0.0.1", "192.168.80.8"))
NOWHERE: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def specs(**changes: object) -> dict[str, CertificateSpec]:
    request = replace(REQUEST, **changes)  # type: ignore[arg-type]
    return {spec.name: spec for spec in host_certificate_specs(request, "m2")}


@pytest.mark.parametrize(
    ("name", "authority", "common_name", "organizations", "usages", "sans"),
    [
        ("kube-apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", (), CLIENT, NOWHERE),
        (
            "kube-controller-manager",
            "ca",
            "system:kube-controller-manager",
            ("system:kube-controller-manager",),
            CLIENT,
            NOWHERE,
        ),
        ("kube-controller-manager-serving", "ca", "kube-controller-manager-serving", (), SERVER, HERE),
        ("kube-scheduler", "ca", "system:kube-scheduler", ("system:kube-scheduler",), CLIENT, NOWHERE),
        ("kube-scheduler-serving", "ca", "kube-scheduler-serving", (), SERVER, HERE),
        ("admin", "ca", "admin", ("system:masters",), CLIENT, NOWHERE),
        ("haproxy-health-check", "ca", "kubenorn:haproxy-health-check", (), CLIENT, NOWHERE),
        ("etcd-server", "etcd-ca", "etcd-server", (), BOTH, HERE),
        ("etcd-peer", "etcd-ca", "etcd-peer", (), BOTH, (("m2",), ("192.168.80.8",))),
        ("etcd-health-check-client", "etcd-ca", "etcd-health-check-client", (), CLIENT, NOWHERE),
        ("kube-apiserver-etcd-client", "etcd-ca", "kube-apiserver-etcd-client", (), CLIENT, NOWHERE),
        ("front-proxy-client", "front-proxy-ca", "front-proxy-client", (), CLIENT, NOWHERE),
    ],
)
def test_subjects_usages_and_names(
    name: str,
    authority: str,
    common_name: str,
    organizations: tuple[str, ...],
    usages: tuple[Usage, ...],
    sans: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    assert specs()[name] == CertificateSpec(
        name=name,
        authority=authority,
        common_name=common_name,
        organizations=organizations,
        usages=usages,
        dns_names=sans[0],
        ip_addresses=sans[1],
        key_type=KeyType.ECDSA_P256,
    )


def test_kube_apiserver_answers_to_every_name_and_address() -> None:
    spec = specs(extra_sans=("api.example.com", "114.67.81.105"))["kube-apiserver"]
    assert spec.dns_names == (
        "api.example.com",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "m1",
        "m2",
        "m3",
    )
    assert spec.ip_addresses == (
        "10.254.0.1",
        "114.67.81.105",
        "127.0.0.1",
        "192.168.80.7",
        "192.168.80.8",
        "192.168.80.9",
        "192.168.80.13",
    )
    assert (spec.common_name, spec.organizations, spec.usages) == ("kube-apiserver", (), SERVER)


def test_thirteen_certificates_a_host_or_nine_without_etcd() -> None:
    assert len(specs()) == 13
    external = specs(etcd_managed=False)
    assert len(external) == 9
    assert {spec.authority for spec in external.values()} == {"ca", "front-proxy-ca"}
    assert replace(REQUEST, etcd_managed=False).authorities == ("ca", "front-proxy-ca")


def test_hosts_differ_only_where_they_serve_under_their_own_name() -> None:
    first, second = (host_certificate_specs(REQUEST, host) for host in ("m1", "m2"))
    differing = [one.name for one, other in zip(first, second, strict=True) if one != other]
    assert differing == [
        "kube-controller-manager-serving",
        "kube-scheduler-serving",
        "etcd-server",
        "etcd-peer",
    ]


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("local", ["kubernetes.default.svc.local"]),
        (
            "k8s.example.com",
            [
                "kubernetes.default.svc.k8s",
                "kubernetes.default.svc.k8s.example",
                "kubernetes.default.svc.k8s.example.com",
            ],
        ),
    ],
)
def test_every_step_of_the_cluster_domain_is_a_name(domain: str, expected: list[str]) -> None:
    names = specs(cluster_domain=domain)["kube-apiserver"].dns_names
    assert [name for name in names if name.startswith("kubernetes.default.svc.")] == expected


def test_a_domain_with_a_trailing_dot_is_refused() -> None:
    with pytest.raises(InputWrongError, match="remove the dot"):
        specs(cluster_domain="cluster.local.")


def test_no_vip_is_possible() -> None:
    assert "192.168.80.13" not in specs(vip=None)["kube-apiserver"].ip_addresses


def test_the_controller_is_an_admin() -> None:
    assert [spec.common_name for spec in controller_certificate_specs(REQUEST)] == ["admin"]


def test_the_key_type_reaches_every_certificate() -> None:
    wanted = KeyType.RSA_4096
    request = replace(REQUEST, key_type=wanted)
    all_specs = host_certificate_specs(request, "m1") + controller_certificate_specs(request)
    assert {spec.key_type for spec in all_specs} == {wanted}
