"""kubeconfig files: where the API is, whom to trust, and as whom to speak to it."""

from base64 import b64encode

from kubenorn.yaml_text import yaml_bytes


def kubeconfig(
    *,
    cluster_name: str,
    server: str,
    ca_pem: bytes,
    user: str,
    client_certificate_pem: bytes,
    client_key_pem: bytes,
) -> bytes:
    """Return a kubeconfig with everything embedded, the same bytes for the same arguments.

    `server` is a URL such as https://192.168.80.13:8443. The context is USER@CLUSTER, as kubeadm names
    it, so that files of several clusters can be merged. The result holds a private key: a secret.
    """
    context = f"{user}@{cluster_name}"
    return yaml_bytes(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster_name,
                    "cluster": {"certificate-authority-data": _base64(ca_pem), "server": server},
                }
            ],
            "contexts": [{"name": context, "context": {"cluster": cluster_name, "user": user}}],
            "current-context": context,
            "preferences": {},
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _base64(client_certificate_pem),
                        "client-key-data": _base64(client_key_pem),
                    },
                }
            ],
        }
    )


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")
