"""Keys of a lab: the operator's, and each host's own, made here so that no first contact must be trusted."""

import uuid
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.facts import HostFacts
from lab.tools import write_atomically

CLIENT_KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"
HOST_KEYS = ("ssh_host_ed25519_key", "ssh_host_ecdsa_key")


def make_key(path: Path, comment: str) -> str:
    """Return the public key of the private key at path, making both files if either is missing.

    The kind follows from the file's name: ecdsa where it says so, ed25519 otherwise.
    """
    public = path.with_name(f"{path.name}.pub")
    if not (path.exists() and public.exists()):
        key = generate_private_key(SECP256R1()) if "ecdsa" in path.name else Ed25519PrivateKey.generate()
        private_text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        public_text = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        write_atomically(path, private_text, 0o600)
        write_atomically(public, f"{public_text} {comment}\n")
    return public.read_text(encoding="utf-8").strip()


def client_key(folder: Path) -> str:
    """Return the public key operators log in with, making the pair in the lab's folder if needed."""
    return make_key(folder / CLIENT_KEY, "kubenorn-lab")


def host_keys(host_folder: Path, name: str) -> list[str]:
    """Return a host's public keys, making the pairs in its keys folder if needed; they outlive a reset."""
    keys = host_folder / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [make_key(keys / key, f"root@{name}") for key in HOST_KEYS]


def machine_id(host_folder: Path) -> str:
    """Return the host's machine-id(5), made once; it must differ between hosts."""
    path = host_folder / "machine-id"
    if not path.exists():
        write_atomically(path, f"{uuid.uuid4().hex}\n")
    return path.read_text(encoding="utf-8").strip()


def known_hosts(entries: Iterable[tuple[HostFacts, list[str]]]) -> str:
    """Return the text of a known_hosts file for hosts with their public keys."""
    lines = []
    for host, keys in entries:
        for key in keys:
            kind, data, *_ = key.split()
            lines.append(f"{host.address},{host.name} {kind} {data}\n")
    return "".join(lines)
