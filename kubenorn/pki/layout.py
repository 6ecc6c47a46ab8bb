"""Which authorities and certificates a control plane has, and what stands in each.

After Kubernetes' "PKI certificates and requirements" (kubernetes.io/docs/setup/best-practices/certificates)
and etcd's "Transport security model" (etcd.io/docs/latest/op-guide/security);
where this differs, it says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from kubenorn.pki.certificate import CertificateSpec, Usage
from kubenorn.pki.keys import KeyType
from kubenorn.pki.names import dns_name, is_address

CA = "ca"
ETCD_CA = "etcd-ca"
FRONT_PROXY_CA = "front-proxy-ca"

AUTHORITY_COMMON_NAMES = {
    CA: "kubernetes-ca",
    ETCD_CA: "etcd-ca",
    FRONT_PROXY_CA: "kubernetes-front-proxy-ca",
}
"""Authority name → the common name of one that we make (the document's defaults)."""


@dataclass(frozen=True)
class PkiRequest:
    """What the certificates of one cluster depend on.

    `masters` is host name → address; `service_address` the first of the service network, by which pods
    reach the API; `extra_sans` are further names and addresses of kube-apiserver. With `etcd_managed`
    false, etcd's CA and client certificate are the operator's files, and none of etcd's are made.
    """

    masters: Mapping[str, str]
    vip: str | None
    service_address: str
    cluster_domain: str = "cluster.local"
    extra_sans: tuple[str, ...] = ()
    etcd_managed: bool = True
    key_type: KeyType = KeyType.RSA_2048

    @property
    def authorities(self) -> tuple[str, ...]:
        """Names of the authorities the cluster has on this controller."""
        return (CA, ETCD_CA, FRONT_PROXY_CA) if self.etcd_managed else (CA, FRONT_PROXY_CA)


def host_certificate_specs(request: PkiRequest, host: str) -> list[CertificateSpec]:
    """Return the certificates of one master, always in the same order.

    Raises InputWrongError when a name or an address cannot stand in a certificate, KeyError when `host`
    is not one of the request's masters.
    """
    etcd = _etcd(request, host) if request.etcd_managed else []
    return [*_cluster(request, host), *etcd, _front_proxy_client(request)]


def controller_certificate_specs(request: PkiRequest) -> list[CertificateSpec]:
    """Return the certificates of the controller itself: the one its admin.kubeconfig uses."""
    return [_admin(request)]


def _cluster(request: PkiRequest, host: str) -> list[CertificateSpec]:
    """Return what authority `ca` signs for a host."""
    spec = partial(CertificateSpec, authority=CA, key_type=request.key_type)
    client, server = (Usage.CLIENT,), (Usage.SERVER,)
    names, addresses = (host, "localhost"), (request.masters[host], "127.0.0.1")
    specs = [
        _kube_apiserver(request),
        # No group: kubeadm's system:masters would let whoever has this key do everything; RBAC binds the
        # user to system:kubelet-api-admin instead.
        spec(
            name="kube-apiserver-kubelet-client", common_name="kube-apiserver-kubelet-client", usages=client
        ),
    ]
    for component in ("kube-controller-manager", "kube-scheduler"):
        # User and group in one name is what Kubernetes' own ClusterRoleBindings expect of the user.
        user = f"system:{component}"
        serving = f"{component}-serving"
        specs.append(spec(name=component, common_name=user, organizations=(user,), usages=client))
        specs.append(
            spec(name=serving, common_name=serving, usages=server, dns_names=names, ip_addresses=addresses)
        )
    return [
        *specs,
        _admin(request),
        # haproxy asks kube-apiserver's /readyz with it, since anonymous requests are off.
        spec(name="haproxy-health-check", common_name="kubenorn:haproxy-health-check", usages=client),
    ]


def _kube_apiserver(request: PkiRequest) -> CertificateSpec:
    extra_names = [each for each in request.extra_sans if not is_address(each)]
    extra_addresses = [each for each in request.extra_sans if is_address(each)]
    vip = [] if request.vip is None else [request.vip]
    return CertificateSpec(
        name="kube-apiserver",
        authority=CA,
        common_name="kube-apiserver",
        usages=(Usage.SERVER,),
        dns_names=("localhost", *_service_names(request.cluster_domain), *request.masters, *extra_names),
        ip_addresses=(
            *request.masters.values(),
            *vip,
            "127.0.0.1",
            request.service_address,
            *extra_addresses,
        ),
        key_type=request.key_type,
    )


def _service_names(cluster_domain: str) -> list[str]:
    """Return every name by which a pod may look up the API service, by its resolver's search list."""
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    for label in dns_name(cluster_domain).split("."):
        names.append(f"{names[-1]}.{label}")
    return names


def _admin(request: PkiRequest) -> CertificateSpec:
    return CertificateSpec(
        name="admin",
        authority=CA,
        common_name="admin",
        organizations=("system:masters",),
        usages=(Usage.CLIENT,),
        key_type=request.key_type,
    )


def _etcd(request: PkiRequest, host: str) -> list[CertificateSpec]:
    """Return what authority `etcd-ca` signs for a host.

    etcd-server is a client too: etcd's gRPC gateway dials its own listener with the server's certificate,
    and etcd then logs "incompatible key usage" every few minutes (etcd issues 9785 and 16590; kubeadm
    does the same since kubernetes pull request 65020). etcd-peer's name is the same on all hosts, so
    that --peer-cert-allowed-cn can be used; its address must be the one the host dials its peers from.
    """
    spec = partial(CertificateSpec, authority=ETCD_CA, key_type=request.key_type)
    address = request.masters[host]
    both, client = (Usage.SERVER, Usage.CLIENT), (Usage.CLIENT,)
    return [
        spec(
            name="etcd-server",
            common_name="etcd-server",
            usages=both,
            dns_names=(host, "localhost"),
            ip_addresses=(address, "127.0.0.1"),
        ),
        spec(
            name="etcd-peer",
            common_name="etcd-peer",
            usages=both,
            dns_names=(host,),
            ip_addresses=(address,),
        ),
        spec(name="etcd-health-check-client", common_name="etcd-health-check-client", usages=client),
        spec(name="kube-apiserver-etcd-client", common_name="kube-apiserver-etcd-client", usages=client),
    ]


def _front_proxy_client(request: PkiRequest) -> CertificateSpec:
    return CertificateSpec(
        name="front-proxy-client",
        authority=FRONT_PROXY_CA,
        common_name="front-proxy-client",
        usages=(Usage.CLIENT,),
        key_type=request.key_type,
    )
