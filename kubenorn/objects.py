"""API objects the guides add by hand: authorisation and the kubelets' bootstrap token."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from kubenorn.cluster import Cluster
from kubenorn.material import Material
from kubenorn.observed import ObservedObjects

MANAGED_BY = {"app.kubernetes.io/managed-by": "kubenorn"}
BOOTSTRAP_GROUP = "system:bootstrappers"
_SELECTOR = "?labelSelector=" + quote("app.kubernetes.io/managed-by=kubenorn")
BINDINGS_PATH = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings{_SELECTOR}"
TOKENS_PATH = f"/api/v1/namespaces/kube-system/secrets{_SELECTOR}"
"""Where the API lists the project's own objects."""


@dataclass(frozen=True)
class ApiObject:
    """An object of the Kubernetes API. Its content may be a secret."""

    kind: str
    name: str
    manifest: dict[str, Any] = field(repr=False)


def desired_bindings() -> tuple[ApiObject, ...]:
    """Return the ClusterRoleBindings of every cluster."""
    signing = "system:certificates.k8s.io:certificatesigningrequests"
    return (
        # kubectl exec and logs: kube-apiserver is a client of the kubelets
        _binding(
            "kube-apiserver:kubelet-apis",
            "system:kubelet-api-admin",
            "User",
            "kube-apiserver-kubelet-client",
        ),
        # kube-controller-manager checks who may read its metrics (kubeadm issue 1285)
        _binding(
            "controller-manager:system:auth-delegator",
            "system:auth-delegator",
            "User",
            "system:kube-controller-manager",
        ),
        # TLS bootstrapping: ask for a certificate, get it approved, get it renewed
        _binding("kubelet-bootstrap", "system:node-bootstrapper", "Group", BOOTSTRAP_GROUP),
        _binding("node-autoapprove-bootstrap", f"{signing}:nodeclient", "Group", BOOTSTRAP_GROUP),
        _binding(
            "node-autoapprove-certificate-rotation", f"{signing}:selfnodeclient", "Group", "system:nodes"
        ),
    )


def desired_token_secret(cluster: Cluster, material: Material) -> ApiObject | None:
    """Return the bootstrap token Secret, or None where the cluster's version has the token in a file."""
    if cluster.settings.kubernetes_version.bootstrap_token_file:
        return None
    token_id, _, token_secret = material.bootstrap_token.partition(".")
    data = {
        "token-id": token_id,
        "token-secret": token_secret,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
    }
    name = f"bootstrap-token-{token_id}"
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": MANAGED_BY,
        },
        "data": {key: b64encode(value.encode()).decode() for key, value in data.items()},
    }
    return ApiObject("Secret", name, manifest)


def data_sha256(secret: ApiObject) -> str:
    """Return the digest of a Secret's data as kube-apiserver writes it: compact JSON, keys sorted."""
    text = json.dumps(secret.manifest["data"], separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def objects_to_apply(
    bindings: tuple[ApiObject, ...], secret: ApiObject | None, observed: ObservedObjects | None
) -> Iterator[tuple[ApiObject, str]]:
    """Yield each object that is missing or differs, with the reason.

    `observed` is None when the API did not answer: then everything counts as missing.
    """
    absent = "missing" if observed else "not seen, the API did not answer"
    for binding in bindings:
        current = observed.bindings.get(binding.name) if observed else None
        if current is None:
            yield binding, absent
        elif any(current.get(key) != binding.manifest[key] for key in ("roleRef", "subjects")):
            yield binding, "differs"
    if secret is not None:
        digest = observed.token_sha256 if observed else None
        if digest is None:
            yield secret, absent
        elif digest != data_sha256(secret):
            yield secret, "differs"


def _binding(name: str, role: str, kind: str, subject: str) -> ApiObject:
    group = "rbac.authorization.k8s.io"
    manifest = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": MANAGED_BY},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": kind, "name": subject}],
    }
    return ApiObject("ClusterRoleBinding", name, manifest)
