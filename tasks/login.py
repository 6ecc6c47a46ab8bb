"""How the controller logs in to a host: the inventory's SSH settings as netmiko's parameters."""

import getpass
from dataclasses import dataclass
from typing import Any

import paramiko
from netmiko.exceptions import NetmikoAuthenticationException, NetmikoTimeoutException
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Host

from kubenorn.errors import HostsUnreachableError, InputWrongError
from kubenorn.options import Passwords
from kubenorn.settings import SshSettings

CONNECTION = "netmiko"
PROXY_COMMAND = "kubenorn_proxy_command"
"""Our own key among the connection's extras: started only when the connection is opened."""
KEEPALIVE_SECONDS = 15


@dataclass(frozen=True)
class Endpoint:
    """Where a host's sshd is, after the operator's ssh_config has had its say."""

    hostname: str
    port: int
    username: str
    key_files: tuple[str, ...]
    proxy_command: str | None


def endpoint_of(host: Host, ssh: SshSettings) -> Endpoint:
    """Return address, user, keys and proxy of `host`: the inventory first, then the ssh_config file."""
    name = host.hostname or host.name
    config: dict[str, Any] = {}
    if ssh.config_file:
        config = dict(paramiko.SSHConfig.from_path(str(ssh.config_file)).lookup(name))
    keys = [str(ssh.key_file)] if ssh.key_file else config.get("identityfile", [])
    hostname, port = config.get("hostname", name), host.port or int(config.get("port", 22))
    proxy = config.get("proxycommand")
    jump_host = ssh.jump_host or config.get("proxyjump")
    if jump_host:
        proxy = _jump_command(jump_host, f"{hostname}:{port}", ssh, keys)
    return Endpoint(
        hostname=hostname,
        port=port,
        username=host.username or config.get("user") or getpass.getuser(),
        key_files=tuple(keys),
        proxy_command=proxy,
    )


def _jump_command(jump_host: str, target: str, ssh: SshSettings, keys: list[str]) -> str:
    """Return the OpenSSH command that connects through a jump host, whose host key is verified too."""
    words = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    words += ["-o", f"UserKnownHostsFile={ssh.known_hosts}"]
    words += ["-F", str(ssh.config_file)] if ssh.config_file else []
    words += [word for key in keys for word in ("-i", key)]
    user_and_host, separator, port = jump_host.rpartition(":")
    if separator and port.isdigit():
        words += ["-p", port]
    else:
        user_and_host = jump_host
    return " ".join([*words, "-W", target, user_and_host])


def connection_options(host: Host, ssh: SshSettings, passwords: Passwords) -> ConnectionOptions:
    """Return the options of nornir-netmiko's connection: strict host keys, no session log."""
    endpoint = endpoint_of(host, ssh)
    return ConnectionOptions(
        hostname=endpoint.hostname,
        port=endpoint.port,
        username=endpoint.username,
        password=passwords.ssh,
        # The driver that prepares no interactive session: only exec channels are used.
        platform="terminal_server",
        extras={
            "ssh_config_file": None,
            "ssh_strict": True,
            "system_host_keys": False,
            "alt_host_keys": True,
            "alt_key_file": str(ssh.known_hosts),
            "use_keys": bool(endpoint.key_files) and not passwords.ssh,
            "key_file": endpoint.key_files[0] if endpoint.key_files else None,
            "allow_agent": ssh.use_agent,
            "secret": passwords.sudo,
            "conn_timeout": ssh.connect_timeout,
            "auth_timeout": ssh.connect_timeout,
            "banner_timeout": ssh.connect_timeout,
            "keepalive": KEEPALIVE_SECONDS,
            PROXY_COMMAND: endpoint.proxy_command,
        },
    )


def open_connection(host: Host, configuration: Config) -> Any:
    """Return the host's nornir-netmiko connection, opened when it is not yet.

    Raises HostsUnreachableError with what went wrong and a remedy.
    """
    if CONNECTION not in host.connections:
        options = host.get_connection_parameters(CONNECTION)
        extras = dict(options.extras or {})
        proxy_command = extras.pop(PROXY_COMMAND)
        if proxy_command:
            extras["sock"] = paramiko.ProxyCommand(proxy_command)
        try:
            host.open_connection(
                CONNECTION,
                configuration,
                hostname=options.hostname,
                port=options.port,
                username=options.username,
                password=options.password,
                platform=options.platform,
                extras=extras,
            )
        except (
            NetmikoTimeoutException,
            NetmikoAuthenticationException,
            OSError,
            paramiko.SSHException,
        ) as error:
            raise _login_failure(error, options) from error
        except ValueError as error:
            raise InputWrongError(f"data.ssh of the inventory cannot be used: {error}") from error
    return host.get_connection(CONNECTION, configuration)


def _login_failure(error: Exception, options: ConnectionOptions) -> HostsUnreachableError:
    """Return what went wrong while logging in, as a sentence with a remedy.

    netmiko reports everything but a refused login as a time-out, so the cause is looked up in the chain
    of exceptions behind it.
    """
    where = f"{options.username}@{options.hostname} port {options.port}"
    known_hosts = (options.extras or {}).get("alt_key_file")
    chain = _chain(error)
    for cause in chain:
        if isinstance(cause, paramiko.BadHostKeyException):
            return HostsUnreachableError(
                f"{where}: the host key is not the one in {known_hosts}; if the host was reinstalled, "
                "compare its fingerprint and run runbooks/trust.py --replace"
            )
        if "not found in known_hosts" in str(cause):
            return HostsUnreachableError(
                f"{where}: the host key is not known; run runbooks/trust.py to see and record its fingerprint"
            )
    if any(
        isinstance(cause, NetmikoAuthenticationException | paramiko.AuthenticationException)
        for cause in chain
    ):
        return HostsUnreachableError(
            f"{where}: the login was refused; check username and data.ssh.key_file in the inventory, "
            "or use --ask-password"
        )
    causes = [cause for cause in chain if isinstance(cause, OSError) and cause.strerror] or chain[-1:]
    said = getattr(causes[-1], "strerror", None) or str(causes[-1]).strip() or type(causes[-1]).__name__
    return HostsUnreachableError(
        f"{where}: cannot connect ({said.splitlines()[0]}); check that the host is up and sshd answers"
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
