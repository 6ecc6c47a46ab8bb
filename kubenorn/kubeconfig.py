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
    data = {
        "authority": ca_pem,
        "certificate": client_certificate_pem,
        "key": client_key_pem,
    }
    text = yaml_bytes(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster_name,
                    "cluster": {"certificate-authority-data": _place("authority"), "server": server},
                }
            ],
            "contexts": [{"name": context, "context": {"cluster": cluster_name, "user": user}}],
            "current-context": context,
            "preferences": {},
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _place("certificate"),
                        "client-key-data": _place("key"),
                    },
                }
            ],
        }
    )
    # ruamel looks at every character: a hundredth of a second for each kubeconfig with its base64 in it.
    for name, pem in data.items():
        text = text.replace(_place(name).encode(), b64encode(pem))
    return text


def _place(name: str) -> str:
    """Return a word that stands where base64 goes; no name of a cluster or user is like it."""
    return f"KUBENORN/{name}/BASE64"
