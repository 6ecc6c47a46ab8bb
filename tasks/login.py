"""How the controller logs in to a host: through nornir-netmiko, with verified host keys."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import paramiko
from netmiko.exceptions import NetmikoBaseException
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Host

from kubenorn.errors import InputWrongError
from kubenorn.known_hosts import HostKey, KeyState, KnownHosts
from kubenorn.options import Passwords
from kubenorn.settings import SshSettings
from tasks.endpoint import Endpoint, endpoint_of
from tasks.login_failure import Attempt, HostKeyRefusedError, login_failure
from tasks.ssh_keys import load_key
from tasks.wire import JumpHosts, Wire, open_wire

CONNECTION = "netmiko"
LOGIN = "kubenorn_login"
"""Our own key among the connection's extras."""
KEEPALIVE_SECONDS = 15
HOST_KEY_ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""By key type, the algorithms that prove a host has such a key; SHA-1 is not among them."""

LOGIN_ERRORS = (NetmikoBaseException, OSError, EOFError, paramiko.SSHException)

# paramiko logs tracebacks of what is told in a sentence here; without a handler Python would print them.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Login:
    """Everything needed to log in to one host, and to the jump hosts before it."""

    endpoint: Endpoint
    ssh: SshSettings
    passwords: Passwords
    jumps: JumpHosts = field(repr=False)
    is_jump_host: bool = False

    @contextmanager
    def wire(self) -> Iterator[tuple[Wire, "HostKeyCheck"]]:
        """Open the stream to the host for what is done within, and close it when that fails.

        Raises what went wrong there in a sentence with a remedy: InputWrongError for keys and settings,
        HostsUnreachableError for everything else.
        """
        check = HostKeyCheck(KnownHosts.read(self.ssh.known_hosts), self.endpoint)
        wire: Wire | None = None
        try:
            wire = open_wire(self.endpoint, self.jumps, self._at_jump_host, self.ssh.connect_timeout)
            yield wire, check
        except BaseException as error:
            complaint = wire.close() if wire else ""
            if not isinstance(error, LOGIN_ERRORS):
                raise
            raise login_failure(error, self._attempt(check, complaint)) from error

    def credentials(self) -> dict[str, Any]:
        """Return who logs in and with what, as paramiko's connect() calls it.

        Raises InputWrongError when a key file cannot be used, and when there is nothing to log in with.
        """
        keys = self._keys()
        if not (keys or self.passwords.ssh or self.ssh.use_agent):
            raise InputWrongError(
                f"{self.endpoint}: there is nothing to log in with; set data.ssh.key_file or data.ssh.use_agent "
                "in the inventory, or use --ask-password or KUBENORN_SSH_PASSWORD"
            )
        return {
            "username": self.endpoint.username,
            "password": self.passwords.ssh or None,
            # Only the first is handed over loaded: paramiko takes one, and decrypting takes a tenth of a second.
            "pkey": keys[0][1] if keys else None,
            "key_filename": [file for file, _ in keys[1:]],
            "passphrase": self.passwords.key_passphrase or None,
            "allow_agent": self.ssh.use_agent,
        }

    def _keys(self) -> list[tuple[str, paramiko.PKey]]:
        loaded = (
            (
                file,
                load_key(
                    file,
                    self.passwords.key_passphrase,
                    named=bool(self.ssh.key_file),
                    use_agent=self.ssh.use_agent,
                ),
            )
            for file in self.endpoint.key_files
        )
        return [(file, key) for file, key in loaded if key]

    def _attempt(self, check: "HostKeyCheck", complaint: str) -> Attempt:
        tried = [f"the key {file}" for file, _ in self._keys()] if check.passed else []
        tried += ["the agent's keys"] if self.ssh.use_agent else []
        tried += ["the password"] if self.passwords.ssh else []
        return Attempt(
            self.endpoint,
            self.ssh.known_hosts,
            self.ssh.connect_timeout,
            tuple(tried),
            is_jump_host=self.is_jump_host,
            host_key_verified=check.passed,
            types_known=bool(check.unwanted_algorithms),
            proxy_complaint=complaint,
        )

    def at(self, stop: Endpoint) -> "Login":
        """Return how to log in to `stop`, which is the host itself or a jump host before it."""
        return replace(self, endpoint=stop, is_jump_host=stop != self.endpoint)

    def behind_jump_host(
        self, hostname: str, port: int
    ) -> AbstractContextManager[tuple[Wire, "HostKeyCheck"]]:
        """Return the stream to another address behind the host's jump host; like `wire`."""
        return self.at(replace(self.endpoint, hostname=hostname, port=port)).wire()

    def _at_jump_host(self, jump: Endpoint) -> paramiko.SSHClient:
        """Return a login at the jump host `jump`. Raises like `wire`, saying that it is the jump host."""
        login = self.at(jump)
        with login.wire() as (wire, check):
            client = paramiko.SSHClient()
            client.set_missing_host_key_policy(check)
            seconds = self.ssh.connect_timeout
            client.connect(
                jump.hostname,
                jump.port,
                **login.credentials(),
                sock=wire.stream,
                look_for_keys=False,
                disabled_algorithms=check.unwanted_algorithms,
                timeout=seconds,
                auth_timeout=seconds,
                banner_timeout=seconds,
            )
            transport = client.get_transport()
            if transport:
                transport.set_keepalive(KEEPALIVE_SECONDS)
            return client


class HostKeyCheck(paramiko.MissingHostKeyPolicy):
    """Verifies the key that a host shows.

    paramiko's own reading of known_hosts knows neither patterns nor revoked keys, so it is given none, and
    this is asked about every key.
    """

    def __init__(self, known: KnownHosts, endpoint: Endpoint) -> None:
        self.passed = False
        self._known = known
        self._name = endpoint.known_name

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """Return when `key` is known; raises HostKeyRefusedError when it is not."""
        shown = HostKey(key.get_name(), key.get_base64())
        state = self._known.state(self._name, shown)
        if state is not KeyState.KNOWN:
            raise HostKeyRefusedError(state, shown)
        self.passed = True

    @property
    def unwanted_algorithms(self) -> dict[str, list[str]] | None:
        """Those of types not recorded, so that a host with several keys shows one that is; None: all will do."""
        types = {key.type for key in self._known.keys_of(self._name)} & HOST_KEY_ALGORITHMS.keys()
        if not types:
            return None
        return {
            "keys": [a for kind, names in HOST_KEY_ALGORITHMS.items() if kind not in types for a in names]
        }


def login_of(host: Host, ssh: SshSettings, passwords: Passwords, jumps: JumpHosts) -> Login:
    """Return how to log in to `host`. Raises InputWrongError when data.ssh or the ssh_config is wrong."""
    return Login(endpoint_of(host, ssh), ssh, passwords, jumps)


def connection_options(login: Login) -> ConnectionOptions:
    """Return the options of nornir-netmiko's connection, which `open_connection` opens."""
    endpoint, seconds = login.endpoint, login.ssh.connect_timeout
    return ConnectionOptions(
        hostname=endpoint.hostname,
        port=endpoint.port,
        username=endpoint.username,
        password=login.passwords.ssh,
        # The driver that prepares no interactive session: only exec channels are used.
        platform="terminal_server",
        extras={
            "ssh_config_file": None,
            "ssh_strict": True,
            "secret": login.passwords.sudo,
            "conn_timeout": seconds,
            "auth_timeout": seconds,
            "banner_timeout": seconds,
            "keepalive": KEEPALIVE_SECONDS,
            # Opened by hand, as some settings cannot be given from outside; see open_connection.
            "auto_connect": False,
            LOGIN: login,
        },
    )


def login_to(host: Host) -> Login:
    """Return how the session logs in to `host`."""
    login: Login = (host.get_connection_parameters(CONNECTION).extras or {})[LOGIN]
    return login


def open_connection(host: Host, configuration: Config) -> Any:
    """Return the host's nornir-netmiko connection, opened when there is none or it has died.

    Raises HostsUnreachableError or InputWrongError with what went wrong and a remedy.
    """
    if CONNECTION in host.connections:
        connection = host.get_connection(CONNECTION, configuration)
        if _is_alive(connection):
            return connection
        host.close_connection(CONNECTION)
    login = login_to(host)
    credentials = login.credentials()
    with login.wire() as (wire, check):
        extras = {
            k: v for k, v in (host.get_connection_parameters(CONNECTION).extras or {}).items() if k != LOGIN
        }
        extras |= {
            "sock": wire.stream,
            "pkey": credentials["pkey"],
            "passphrase": credentials["passphrase"],
            "allow_agent": credentials["allow_agent"],
            "disabled_algorithms": check.unwanted_algorithms,
        }
        connection = host.open_connection(CONNECTION, configuration, extras=extras).connection
        try:
            connection.key_policy = check
            connection.key_file = credentials["key_filename"]
            connection.password = credentials["password"]  # none at all: an empty one would be tried
            connection._build_ssh_client = partial(_client_without_shell, connection._build_ssh_client)
            # Not _open(): that waits a tenth of a second for a prompt.
            connection.establish_connection()
        except BaseException:
            host.connections.pop(CONNECTION)
            raise
    return connection


def _client_without_shell(build: Callable[[], paramiko.SSHClient]) -> paramiko.SSHClient:
    """Return netmiko's SSH client; the interactive shell that netmiko asks it for is a session that starts nothing.

    Else every login runs the host's message of the day and root's profile in a terminal, which nobody reads.
    """
    client = build()

    def open_session(**_: object) -> paramiko.Channel:
        transport = client.get_transport()
        if transport is None:
            raise paramiko.SSHException("the connection is closed")
        return transport.open_session()

    client.invoke_shell = open_session  # type: ignore[assignment, method-assign]  # netmiko makes the client
    return client


def _is_alive(connection: Any) -> bool:
    client: paramiko.SSHClient | None = connection.remote_conn_pre
    transport = client.get_transport() if client else None
    return bool(transport and transport.is_active())
