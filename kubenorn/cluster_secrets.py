"""Secrets of a cluster that are neither keys nor certificates: the encryption key and the bootstrap token.

They stand beside the PKI in artifacts/CLUSTER/: encryption-key.json and bootstrap-token.json.
"""

import contextlib
import json
import re
import secrets
import string
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubenorn.encryption import KEY_BYTES
from kubenorn.errors import InputWrongError
from kubenorn.files import (
    folder_lock,
    make_private_folder,
    read_if_exists,
    remove_leftovers,
    write_atomically,
)

ENCRYPTION_KEY_FILE = "encryption-key.json"
BOOTSTRAP_TOKEN_FILE = "bootstrap-token.json"  # noqa: S105  # a file's name
_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")  # as kubernetes.io "Bootstrap Tokens" has it
_TOKEN_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class EncryptionKey:
    """The key that encrypts Secrets in etcd. Losing it loses them all."""

    name: str
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class ClusterSecrets:
    """Both secrets, and which of their files (relative to the folder) were or would be created."""

    encryption_key: EncryptionKey
    bootstrap_token: str = field(repr=False)
    created: tuple[str, ...]


def ensure_cluster_secrets(folder: Path, *, dry_run: bool = False) -> ClusterSecrets:
    """Return the secrets of the cluster in `folder`, after making those it never had.

    Must be called before PkiStore.ensure: so a folder that has a PKI has had an encryption key, and a
    missing one is lost, not new. A dry run makes what is missing in memory only.
    Raises InputWrongError, before anything is written, when the key is lost, a file is damaged, or another
    process works in the folder.
    """
    with contextlib.nullcontext() if dry_run else folder_lock(folder / "pki"):
        return _ensure(folder, dry_run)


def _ensure(folder: Path, dry_run: bool) -> ClusterSecrets:
    if not dry_run:
        remove_leftovers(folder)
    created = []
    token = _read_token(folder)
    encryption_key = _read_encryption_key(folder)
    if encryption_key is None:
        encryption_key = EncryptionKey("key1", secrets.token_bytes(KEY_BYTES))
        secret = b64encode(encryption_key.key).decode("ascii")
        _write(folder / ENCRYPTION_KEY_FILE, {"name": encryption_key.name, "secret": secret}, dry_run)
        created.append(ENCRYPTION_KEY_FILE)
    if token is None:
        token = f"{_random_text(6)}.{_random_text(16)}"
        _write(folder / BOOTSTRAP_TOKEN_FILE, {"token": token}, dry_run)
        created.append(BOOTSTRAP_TOKEN_FILE)
    return ClusterSecrets(encryption_key, token, tuple(created))


def _read_encryption_key(folder: Path) -> EncryptionKey | None:
    path = folder / ENCRYPTION_KEY_FILE
    content = read_if_exists(path)
    if content is None:
        witness = next((each for part in ("pki", "hosts") for each in (folder / part).rglob("*.pem")), None)
        if witness:
            raise InputWrongError(
                f"the encryption key {path} is missing, but the cluster has had one ({witness} exists); "
                "restore it from a backup or from a master's encryption configuration: without it no Secret "
                "in etcd can be read"
            )
        return None
    try:
        data = json.loads(content)
        key = EncryptionKey(str(data["name"]), b64decode(data["secret"], validate=True))
    except (ValueError, TypeError, KeyError):
        key = None
    if key is None or len(key.key) != KEY_BYTES or not key.name:
        raise InputWrongError(
            f"{path} is damaged: no name or no key of {KEY_BYTES} bytes; restore it from a backup"
        )
    return key


def _read_token(folder: Path) -> str | None:
    path = folder / BOOTSTRAP_TOKEN_FILE
    content = read_if_exists(path)
    if content is None:
        return None
    try:
        token = json.loads(content)["token"]
    except (ValueError, TypeError, KeyError):
        token = None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise InputWrongError(
            f"{path} is damaged: no token such as abcdef.0123456789abcdef; restore it, "
            "or delete it for a new one"
        )
    return token


def _write(path: Path, data: dict[str, Any], dry_run: bool) -> None:
    if not dry_run:
        make_private_folder(path.parent)
        write_atomically(path, json.dumps(data, indent=2).encode() + b"\n")


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_TOKEN_ALPHABET) for _ in range(length))
