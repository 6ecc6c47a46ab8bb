"""The operator's private keys, read once however many hosts they open."""

from functools import lru_cache
from pathlib import Path

import paramiko

from kubenorn.errors import InputWrongError

PASSPHRASE_VARIABLE = "KUBENORN_KEY_PASSPHRASE"  # noqa: S105  # a name, no secret


class _EncryptedError(Exception):
    """The key is encrypted, and there is no passphrase."""


def load_key(file: str, passphrase: str, *, named: bool, use_agent: bool) -> paramiko.PKey | None:
    """Return the private key in `file`, or None when it is to be left out.

    A key that ssh_config names is left out when it is missing, as ssh does; `named` means that
    data.ssh.key_file names it. An encrypted one without a passphrase is the agent's business where one is
    used. Raises InputWrongError for what else keeps it from being used.
    """
    where = f"the key {file} ({'data.ssh.key_file' if named else 'IdentityFile'})"
    try:
        return _read(file, passphrase)
    except _EncryptedError as error:
        if use_agent:
            return None
        raise InputWrongError(
            f"{where} is encrypted; add it to an agent and set data.ssh.use_agent: true, or set {PASSPHRASE_VARIABLE}"
        ) from error
    except FileNotFoundError as error:
        if not named:
            return None
        raise InputWrongError(f"{where} does not exist; correct the path in the inventory") from error
    except OSError as error:
        raise InputWrongError(f"{where} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, paramiko.SSHException) as error:
        if passphrase and _is_encrypted(file):
            raise InputWrongError(f"{where}: {PASSPHRASE_VARIABLE} does not open it; correct it") from error
        raise InputWrongError(
            f"{where} is not a private key of a kind known here; use an ed25519, ecdsa or rsa key, or an agent"
        ) from error


@lru_cache(maxsize=64)
def _read(file: str, passphrase: str) -> paramiko.PKey:
    if not _is_encrypted(file):
        return paramiko.PKey.from_path(file)
    if not passphrase:
        raise _EncryptedError
    return paramiko.PKey.from_path(file, passphrase.encode())  # type: ignore[arg-type]  # wants bytes


def _is_encrypted(file: str) -> bool:
    Path(file).read_bytes()  # so that what is missing is told as such
    try:
        paramiko.PKey.from_path(file)
    except TypeError:  # what cryptography raises for want of a passphrase
        return True
    except ValueError:
        return False
    return False
