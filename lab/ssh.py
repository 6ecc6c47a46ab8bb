"""Logging in to lab hosts with the machine's own OpenSSH client."""

import shlex
import subprocess
from pathlib import Path

from kubenorn.errors import HostsWrongError
from lab.facts import HostFacts
from lab.keys import CLIENT_KEY, KNOWN_HOSTS
from lab.tools import run, shorten

# What ssh itself returns when there is no connection, ssh(1).
NO_CONNECTION = 255


def ssh_command(folder: Path, host: HostFacts, *, user: str = "root", connect_seconds: int = 5) -> list[str]:
    """Return the ssh command line for a host of the lab in folder, without a remote command."""
    options = {
        "IdentityFile": folder / CLIENT_KEY,
        "UserKnownHostsFile": folder / KNOWN_HOSTS,
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": connect_seconds,
        "ServerAliveInterval": 5,
        "LogLevel": "ERROR",
    }
    # ssh reads values like a shell reads words: a folder with a blank in its name needs the quotes.
    arguments = [part for key, value in options.items() for part in ("-o", f'{key}="{value}"')]
    # -F: the operator's own configuration has no say in how the lab is reached.
    return ["ssh", "-F", "/dev/null", *arguments, "-l", user, host.address]


def run_on(
    folder: Path,
    host: HostFacts,
    command: str,
    *,
    input: str | None = None,
    check: bool = True,
    timeout: float = 60.0,
    user: str = "root",
) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a host and return its exit code, stdout and stderr.

    timeout is in seconds. Raises HostsWrongError when there is no login, and when check is set and the
    command fails.
    """
    answer = run([*ssh_command(folder, host, user=user), command], input=input, check=False, timeout=timeout)
    if answer.returncode == NO_CONNECTION:
        raise HostsWrongError(f"{host.name} ({host.address}) cannot be reached: {shorten(answer.stderr)}")
    if check and answer.returncode != 0:
        raise HostsWrongError(
            f"{host.name}: `{shorten(command)}` failed with {answer.returncode}: {answer.stderr.strip()}"
        )
    return answer


def answers(folder: Path, host: HostFacts, connect_seconds: int = 2) -> bool:
    """Return whether root can log in to the host now."""
    command = [*ssh_command(folder, host, connect_seconds=connect_seconds), "true"]
    try:
        return run(command, check=False, timeout=connect_seconds + 3).returncode == 0
    except HostsWrongError:  # a frozen host accepts the connection and then says nothing
        return False


def as_typed(words: list[str]) -> str:
    """Return the remote command for the words of a command line; one word is a shell command as it is."""
    return words[0] if len(words) == 1 else shlex.join(words)
