"""How kube-apiserver encrypts Secrets in etcd (kubernetes.io "Encrypting Data at Rest")."""

from base64 import b64encode
from typing import Literal

from kubenorn.yaml_text import yaml_bytes

KEY_BYTES = 32
"""Size of a key: secretbox takes no other, aescbc takes it as AES-256."""


def encryption_configuration(
    version: tuple[int, int], provider: Literal["aescbc", "secretbox"], key_name: str, key: bytes
) -> bytes:
    """Return the configuration for Kubernetes `version` (major, minor). The result holds the key: a secret.

    Kind and group became stable in 1.13; before, the file went by --experimental-encryption-provider-config.
    New Secrets are encrypted with the first provider; `identity` last lets those written in the clear, before
    encryption was on, still be read. Raises ValueError when the key has not KEY_BYTES bytes.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"an encryption key has {KEY_BYTES} bytes, not {len(key)}")
    stable = version >= (1, 13)
    return yaml_bytes(
        {
            "apiVersion": "apiserver.config.k8s.io/v1" if stable else "v1",
            "kind": "EncryptionConfiguration" if stable else "EncryptionConfig",
            "resources": [
                {
                    "resources": ["secrets"],
                    "providers": [
                        {provider: {"keys": [{"name": key_name, "secret": b64encode(key).decode("ascii")}]}},
                        {"identity": {}},
                    ],
                }
            ],
        }
    )
