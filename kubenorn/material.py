"""Keys, certificates and secrets of each host, as bytes, ready to be written into files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kubenorn.cluster import Cluster
from kubenorn.cluster_secrets import ClusterSecrets, ensure_cluster_secrets
from kubenorn.files import write_atomically
from kubenorn.kubeconfig import kubeconfig
from kubenorn.pki.jobs import Progress
from kubenorn.pki.layout import CA, ETCD_CA, FRONT_PROXY_CA, PkiRequest
from kubenorn.pki.material import OwnAuthority, PkiPolicy, PkiResult
from kubenorn.pki.store import PkiStore

ADMIN_KUBECONFIG_FILE = "admin.kubeconfig"
"""In a cluster's folder on the controller: how people there reach it through the VIP."""


@dataclass(frozen=True)
class PemPair:
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Material:
    """What the desired state of one host embeds. Nothing here may be printed."""

    ca: bytes
    ca_key: bytes = field(repr=False)
    etcd_ca: bytes
    front_proxy_ca: bytes
    service_account_public_key: bytes
    service_account_key: bytes = field(repr=False)
    certificates: dict[str, PemPair] = field(repr=False)
    """By the names of `kubenorn.pki.layout`."""
    encryption_key_name: str
    encryption_key: bytes = field(repr=False)
    bootstrap_token: str = field(repr=False)

    @classmethod
    def blank(cls) -> "Material":
        """Return material without content: enough to know which files a host has."""
        return cls(
            ca=b"",
            ca_key=b"",
            etcd_ca=b"",
            front_proxy_ca=b"",
            service_account_public_key=b"",
            service_account_key=b"",
            certificates=_BlankCertificates(),
            encryption_key_name="blank",
            encryption_key=bytes(32),
            bootstrap_token="blank.blank",  # noqa: S106  # nobody's
        )


class _BlankCertificates(dict[str, PemPair]):
    def __missing__(self, name: str) -> PemPair:
        return PemPair(b"", b"")


@dataclass(frozen=True)
class ClusterMaterial:
    """The material of every master of a cluster, and what was made or reissued on the way."""

    hosts: Mapping[str, Material]
    changes: tuple[str, ...]
    """One line a thing made or reissued: what, for whom, and why."""
    notices: tuple[str, ...]
    ca: bytes


def ensure_material(
    cluster: Cluster, folder: Path, *, dry_run: bool, progress: Progress | None = None
) -> ClusterMaterial:
    """Return the cluster's material, making or reissuing what is needed under `folder` (artifacts/CLUSTER).

    A dry run writes nothing. Raises InputWrongError when something that must not be made anew is lost.
    """
    # The secrets first: see ensure_cluster_secrets.
    secrets = ensure_cluster_secrets(folder, dry_run=dry_run)
    pki = PkiStore(folder).ensure(_request(cluster), _policy(cluster), dry_run=dry_run, progress=progress)
    if not dry_run:
        _write_admin_kubeconfig(cluster, pki, folder / ADMIN_KUBECONFIG_FILE)
    created = [f"{name} created (missing)" for name in secrets.created]
    return ClusterMaterial(
        hosts={master.name: _host_material(cluster, master.name, pki, secrets) for master in cluster.masters},
        changes=(*created, *(f"{c.path} {c.action} ({c.reason})" for c in pki.changes)),
        notices=pki.notices,
        ca=pki.authorities[CA].certificate_pem,
    )


def _request(cluster: Cluster) -> PkiRequest:
    settings = cluster.settings
    return PkiRequest(
        masters={master.name: str(master.address) for master in cluster.masters},
        vip=str(settings.vip),
        service_address=str(settings.service_address),
        cluster_domain=settings.cluster_domain,
        extra_sans=tuple(settings.extra_sans),
        etcd_managed=settings.etcd.mode == "managed",
        key_type=settings.pki.key_type,
    )


def _policy(cluster: Cluster) -> PkiPolicy:
    pki = cluster.settings.pki
    return PkiPolicy(
        authority_days=pki.authority_days,
        certificate_days=pki.certificate_days,
        renew_before_days=pki.renew_before_days,
        own_authorities={
            name: OwnAuthority(authority.certificate, authority.key)
            for name, authority in pki.authorities.items()
        },
    )


def _host_material(cluster: Cluster, host: str, pki: PkiResult, secrets: ClusterSecrets) -> Material:
    certificates = {
        name: PemPair(pair.certificate_pem, pair.key_pem) for name, pair in pki.hosts[host].items()
    }
    etcd = cluster.settings.etcd
    if etcd.ca_file and etcd.certificate_file and etcd.key_file:
        etcd_ca = etcd.ca_file.read_bytes()
        certificates["kube-apiserver-etcd-client"] = PemPair(
            etcd.certificate_file.read_bytes(), etcd.key_file.read_bytes()
        )
    else:
        etcd_ca = pki.authorities[ETCD_CA].certificate_pem
    ca_key = pki.authorities[CA].key_pem
    return Material(
        ca=pki.authorities[CA].certificate_pem,
        ca_key=ca_key or b"",
        etcd_ca=etcd_ca,
        front_proxy_ca=pki.authorities[FRONT_PROXY_CA].certificate_pem,
        service_account_public_key=pki.service_account.public_pem,
        service_account_key=pki.service_account.key_pem,
        certificates=certificates,
        encryption_key_name=secrets.encryption_key.name,
        encryption_key=secrets.encryption_key.key,
        bootstrap_token=secrets.bootstrap_token,
    )


def _write_admin_kubeconfig(cluster: Cluster, pki: PkiResult, path: Path) -> None:
    admin = pki.controller["admin"]
    content = kubeconfig(
        cluster_name=cluster.name,
        server=cluster.settings.endpoint,
        ca_pem=pki.authorities[CA].certificate_pem,
        user="admin",
        client_certificate_pem=admin.certificate_pem,
        client_key_pem=admin.key_pem,
    )
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)
