"""Task: ask a host's sshd which host keys it has, without logging in there."""

from collections.abc import Mapping

import paramiko
from nornir.core.task import Result, Task

from kubenorn.errors import HostsUnreachableError
from kubenorn.known_hosts import HostKey
from tasks.endpoint import Endpoint
from tasks.login import HOST_KEY_ALGORITHMS, Login, login_to

ASKED = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("ssh-rsa",),
)
"""One handshake each: a host shows one key in a handshake, the first of the types it has."""


def fetch_host_keys(task: Task, stops: Mapping[str, Endpoint]) -> Result:
    """Return the `HostKey`s of the endpoint that `stops` names for the host: itself, or a jump host before it.

    Raises HostsUnreachableError when it does not answer.
    """
    return Result(host=task.host, result=host_keys(login_to(task.host).at(stops[task.host.name])))


def host_keys(login: Login) -> list[HostKey]:
    """Return the keys that the sshd at `login.endpoint` proves to have. Raises like `Login.wire`."""
    keys = []
    for types in ASKED:
        try:
            keys.append(_shown_key(login, [name for each in types for name in HOST_KEY_ALGORITHMS[each]]))
        except _NoSuchKeyError:
            continue
    if not keys:
        raise HostsUnreachableError(
            f"{login.endpoint}: its sshd has no host key of a kind known here; make an ed25519 one with ssh-keygen -A"
        )
    return keys


class _NoSuchKeyError(Exception):
    """The host has no key of the types asked for."""


def _shown_key(login: Login, algorithms: list[str]) -> HostKey:
    with login.wire() as (wire, _):
        transport = paramiko.Transport(wire.stream)
        try:
            transport.get_security_options().key_types = algorithms
            transport.banner_timeout = login.ssh.connect_timeout
            transport.start_client(timeout=login.ssh.connect_timeout)
            key = transport.get_remote_server_key()
        except paramiko.ssh_exception.IncompatiblePeer as error:
            if "host key" in str(error):
                raise _NoSuchKeyError from error
            raise
        finally:
            transport.close()
    return HostKey(key.get_name(), key.get_base64())
