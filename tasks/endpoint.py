"""Where a host's sshd is and the way to it: the inventory first, then the operator's ssh_config."""

import getpass
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import paramiko
from nornir.core.inventory import Host

from kubenorn.errors import InputWrongError
from kubenorn.known_hosts import SSH_PORT, known_name
from kubenorn.settings import SshSettings

MOST_JUMPS = 8
"""More than anybody has; a configuration that jumps in a circle is noticed here."""


@dataclass(frozen=True)
class Endpoint:
    """An sshd, the user there, the files of his keys, and how to get there."""

    hostname: str
    port: int
    username: str
    key_files: tuple[str, ...] = ()
    jump: "Endpoint | None" = None
    """The host to go through, with an endpoint of its own."""
    proxy_command: str | None = None

    @property
    def known_name(self) -> str:
        """Its name in known_hosts."""
        return known_name(self.hostname, self.port)

    @property
    def route(self) -> tuple["Endpoint", ...]:
        """The jump hosts in the order in which they are passed, then the endpoint itself."""
        return (*(self.jump.route if self.jump else ()), self)

    def __str__(self) -> str:
        return f"{self.username}@{self.hostname}" + (f" port {self.port}" if self.port != SSH_PORT else "")


@dataclass(frozen=True)
class _Address:
    """What was asked for: a name that ssh_config may know, and what the inventory says already."""

    name: str
    port: int | None
    username: str | None


def endpoint_of(host: Host, ssh: SshSettings) -> Endpoint:
    """Return the endpoint of `host`. Raises InputWrongError when data.ssh or the ssh_config is wrong."""
    address = _Address(host.hostname or host.name, host.port, host.username)
    return _resolve(address, ssh, jump=ssh.jump_host, depth=0)


def _resolve(address: _Address, ssh: SshSettings, *, jump: str | None, depth: int) -> Endpoint:
    if depth > MOST_JUMPS:
        raise InputWrongError(f"{ssh.config_file}: ProxyJump of {address.name} goes in a circle")
    config = _lookup(address, ssh.config_file)
    # As in ssh_config(5): the first of ProxyJump and ProxyCommand counts; the inventory's jump host before both.
    jump = jump or _unless_none(config.get("proxyjump"))
    return Endpoint(
        hostname=config.get("hostname", address.name),
        port=_port(address.port or config.get("port", SSH_PORT), ssh.config_file),
        username=address.username or config.get("user") or getpass.getuser(),
        key_files=(str(ssh.key_file),) if ssh.key_file else tuple(config.get("identityfile", ())),
        jump=_jump_endpoint(jump, ssh, depth) if jump else None,
        proxy_command=None if jump else _unless_none(config.get("proxycommand")),
    )


def _jump_endpoint(jumps: str, ssh: SshSettings, depth: int) -> Endpoint:
    """Return the last of the comma-separated jump hosts, which is reached through those before it."""
    before, _, last = jumps.rpartition(",")
    return _resolve(parse_jump(last), ssh, jump=before or None, depth=depth + 1)


def parse_jump(text: str) -> _Address:
    """Return the parts of `[user@]host[:port]`, `[user@][address]:port` or ssh://…

    Raises InputWrongError when it is none of these.
    """
    match = re.fullmatch(
        r"(?:ssh://)?(?:(?P<user>[^@\s]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^\[\]:@/\s]+))(?::(?P<port>\d{1,5}))?/?",
        text.strip(),
    )
    if not match:
        raise InputWrongError(f"the jump host {text!r} is not of the form user@host:port")
    port = int(match["port"]) if match["port"] else None
    return _Address(match["v6"] or match["host"], port, match["user"])


def _lookup(address: _Address, config_file: Path | None) -> dict[str, Any]:
    if not config_file:
        return {}
    # In ssh_config the first value counts, so the inventory's go before the file: they win, also inside
    # %p and %r of a ProxyCommand.
    given = [("Port", address.port), ("User", address.username)]
    head = "".join(f"{key} {value}\n" for key, value in given if value)
    try:
        found = paramiko.SSHConfig.from_text(head + _config_text(config_file)).lookup(address.name)
    except InputWrongError:
        raise
    except Exception as error:  # paramiko raises what its parser happens to stumble over
        raise InputWrongError(f"{config_file} (data.ssh.config_file) cannot be used: {error}") from error
    return dict(found)


@lru_cache(maxsize=32)
def _config_text(config_file: Path) -> str:
    try:
        return config_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputWrongError(
            f"{config_file} cannot be read ({reason}): check data.ssh.config_file in the inventory"
        ) from error


def _port(value: str | int, config_file: Path | None) -> int:
    if not str(value).isdigit() or not 0 < int(value) < 65536:
        raise InputWrongError(f"{config_file}: Port {value} is not a port")
    return int(value)


def _unless_none(value: str | None) -> str | None:
    return None if value is None or value.lower() == "none" else value
