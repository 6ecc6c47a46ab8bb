"""The cases of the golden files: versions and settings, and the files they are rendered into."""

from pathlib import PurePosixPath
from typing import Any

from kubenorn.desired import ManagedFile
from kubenorn.layout import drop_in
from tests.unit.builders import VERSIONS, a_desired_host

EXTERNAL_ETCD = {
    "mode": "external",
    "endpoints": ["https://192.168.90.1:2379", "https://192.168.90.2:2379"],
    "ca_file": "/srv/etcd/ca.pem",
    "certificate_file": "/srv/etcd/client.pem",
    "key_file": "/srv/etcd/client-key.pem",
}
EXTRA_ARGUMENTS = {
    "kube-apiserver": {
        "max-requests-inflight": "800",
        "profiling": None,
        "runtime-config": "api/all=true",
        "oidc-issuer-url": "https://login.example/?a=1;b=2",
        "vmodule": "a b",
        "audit-log-format": 'say "json"',
        "cors-allowed-origins": r"^https://.*\.example$",
        "oidc-username-prefix": "100%$HOME",
        "audit-webhook-mode": "it's",
    },
    "etcd": {"heartbeat-interval": "80"},
    "kube-scheduler": {"v": "2"},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "vrrp2-password": {
        "vrrp": {
            "router_id": 68,
            "version": 2,
            "advert_interval": 1,
            "mode": "multicast",
            "password": "s3same",
        }
    },
    "preempt": {"vrrp": {"router_id": 68, "preempt": True}},
    "statistics": {"haproxy": {"statistics": {"username": "watch", "password": "s3same"}}},
    "external-etcd": {"etcd": EXTERNAL_ETCD},
    "extra-arguments": {"extra_arguments": EXTRA_ARGUMENTS},
    "secretbox": {"encryption": {"provider": "secretbox"}},
    "other-ports-and-paths": {
        "vip_port": 6443,
        "apiserver_port": 7443,
        "cluster_domain": "prod.example",
        "node_port_range": "20000-22767",
        "directories": {
            "binaries": "/opt/k8s/bin",
            "configuration": "/opt/k8s/etc",
            "logs": "/opt/k8s/logs",
            "etcd_data": "/data/etcd",
        },
    },
}


def rendered(**changes: Any) -> dict[str, str]:
    """Return the text of each file that comes from settings, by a short name."""
    return {_name(file.path): file.content.decode() for file in a_desired_host(**changes).files if _is(file)}


def _is(file: ManagedFile) -> bool:
    made_of_settings = file.path.name == "encryption-configuration.yaml" or not file.secret
    return made_of_settings and b"certificate of" not in file.content and b"public key" not in file.content


def _name(path: PurePosixPath) -> str:
    drop_ins = {drop_in(unit): f"{unit}-drop-in.conf" for unit in ("haproxy", "keepalived")}
    return drop_ins.get(path, "tmpfiles.conf" if path.parent.name == "tmpfiles.d" else path.name)


CASES: dict[str, dict[str, Any]] = {
    **{version: {"kubernetes_version": version} for version in VERSIONS},
    **VARIANTS,
}
