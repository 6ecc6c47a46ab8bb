"""Why a login failed, in one sentence with a remedy."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from kubenorn.errors import HostsUnreachableError, KubenornError
from kubenorn.known_hosts import HostKey, KeyState
from tasks.endpoint import Endpoint

CHANNEL_PROHIBITED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED of RFC 4254: the jump host's sshd forwards nothing."""

NO_ANSWER = ("banner", "No existing session")
"""What paramiko says when a connection was accepted and nothing follows, whichever of its limits ends first."""


class HostKeyRefusedError(paramiko.SSHException):
    """The host showed a key that known_hosts does not hold, or holds as revoked."""

    def __init__(self, state: KeyState, key: HostKey) -> None:
        super().__init__(f"host key {state}")
        self.state = state
        self.key = key


@dataclass(frozen=True)
class Attempt:
    """What was tried when the login failed."""

    endpoint: Endpoint
    known_hosts: Path
    timeout: float
    """Seconds."""
    tried: tuple[str, ...] = ()
    """How the user proved who he is, in words: `the key /home/me/.ssh/id`, `the agent`, `the password`."""
    is_jump_host: bool = False
    host_key_verified: bool = False
    types_known: bool = False
    """Whether only host keys of recorded types were asked for."""
    proxy_complaint: str = ""
    """What the ProxyCommand wrote to stderr last."""

    @property
    def used_keys(self) -> bool:
        """Whether more than a password was tried."""
        return any("password" not in way for way in self.tried)

    @property
    def where(self) -> str:
        """The host as a sentence begins with it."""
        return f"{'jump host ' if self.is_jump_host else ''}{self.endpoint}"


def login_failure(error: BaseException, attempt: Attempt) -> KubenornError:
    """Return what went wrong as an error to raise; one that is told already is returned as it is.

    netmiko reports everything but a refused login as a time-out, so the cause is looked up in the chain
    of exceptions behind it.
    """
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, KubenornError):
            return cause
    return HostsUnreachableError(f"{attempt.where}: {_sentence(causes, attempt)}")


def _sentence(causes: list[BaseException], attempt: Attempt) -> str:
    said = str(causes[-1]).strip() or type(causes[-1]).__name__
    return (
        _host_key_problem(causes, attempt)
        or (_login_problem(causes, attempt) if attempt.host_key_verified else None)
        or _connection_problem(causes, attempt)
        or f"cannot connect ({said.splitlines()[0]}); check that the host is up and an sshd answers there"
    )


def _host_key_problem(causes: list[BaseException], attempt: Attempt) -> str | None:
    for cause in causes:
        if isinstance(cause, HostKeyRefusedError):
            return _host_key_sentence(cause, attempt)
        if isinstance(cause, paramiko.ssh_exception.IncompatiblePeer):
            if attempt.types_known and "host key" in str(cause):
                return _changed_sentence("of another type", attempt)
            return f"controller and host have no algorithm in common ({cause}); update the host's sshd"
    return None


def _host_key_sentence(refused: HostKeyRefusedError, attempt: Attempt) -> str:
    shown = f"{refused.key.type} {refused.key.fingerprint}"
    if refused.state is KeyState.NEW:
        return (
            f"its host key ({shown}) is not in {attempt.known_hosts}; run runbooks/trust.py to compare "
            "and record it"
        )
    if refused.state is KeyState.REVOKED:
        return f"its host key ({shown}) is revoked in {attempt.known_hosts}; do not log in, find out why"
    return _changed_sentence(shown, attempt)


def _changed_sentence(shown: str, attempt: Attempt) -> str:
    return (
        f"its host key ({shown}) is not the one in {attempt.known_hosts}: either the host was reinstalled or "
        "somebody else answers in its place; compare the fingerprint on the host's console, then run "
        "runbooks/trust.py --replace"
    )


def _login_problem(causes: list[BaseException], attempt: Attempt) -> str:
    """Return the sentence of a login that failed after the host had proven who it is."""
    said = " ".join(map(str, causes))
    if "No authentication methods available" in said:
        return (
            "the SSH agent does not answer or holds no key; start ssh-agent and ssh-add the key, "
            "or set data.ssh.key_file"
        )
    if "timeout" in said.lower():
        return (
            f"did not answer the login within {attempt.timeout:g} s; look at the host's load and its console"
        )
    if isinstance(causes[-1], paramiko.BadAuthenticationType):
        ways = ", ".join(causes[-1].allowed_types) or "nothing"
        return f"refused the login with {_listed(attempt.tried)}; its sshd accepts {ways} only for this user"
    holds = ", and what the user's authorized_keys on the host holds" if attempt.used_keys else ""
    return f"refused the login with {_listed(attempt.tried)}; check username and data.ssh in the inventory{holds}"


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _connection_problem(causes: list[BaseException], attempt: Attempt) -> str | None:
    if attempt.proxy_complaint:
        return f"its ProxyCommand fails ({attempt.proxy_complaint}); try the command by hand"
    for cause in causes:
        if isinstance(cause, paramiko.ChannelException):
            return _forwarding_sentence(cause)
        if (isinstance(cause, OSError) and cause.strerror) or isinstance(cause, TimeoutError):
            return _system_sentence(cause, attempt)
        if isinstance(cause, EOFError) or any(words in str(cause) for words in NO_ANSWER):
            return (
                f"accepts connections on port {attempt.endpoint.port}, but no SSH server answered within "
                f"{attempt.timeout:g} s; check that it is sshd's port, and look at the host's console"
            )
    return None


def _forwarding_sentence(refused: paramiko.ChannelException) -> str:
    if refused.code == CHANNEL_PROHIBITED:
        return "the jump host does not forward connections to it; see AllowTcpForwarding and PermitOpen there"
    return f"the jump host cannot connect to it ({refused.text}); check that the host is up and its sshd runs"


def _system_sentence(error: OSError, attempt: Attempt) -> str:
    endpoint = attempt.endpoint
    if isinstance(error, socket.gaierror):
        return f"the name {endpoint.hostname} cannot be resolved; check hostname in the inventory, or DNS"
    if isinstance(error, TimeoutError):
        return f"no answer within {attempt.timeout:g} s; check that the host is up and no firewall is between"
    if error.errno == errno.ECONNREFUSED:
        setting = "data.ssh.jump_host" if attempt.is_jump_host else "port"
        return f"refuses connections on port {endpoint.port}; check {setting} in the inventory, and that sshd runs"
    return f"cannot connect ({error.strerror}); check that the host is up and its address is right"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__
