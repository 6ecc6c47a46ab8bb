"""One command on a host over an exec channel of its nornir-netmiko connection.

Exec channels give an exit status, stdout and stderr apart, and no prompt to scrape. Secrets go through
standard input only: argv is public on the host.
"""

import select
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

import paramiko
from nornir.core.task import Task

from kubenorn.errors import HostsUnreachableError, HostsWrongError, InputWrongError
from tasks.login import open_connection

SUDO_PROMPT = "[kubenorn needs the sudo password]"
SUDO_READY = "[kubenorn is root]"
POLL_SECONDS = 0.1
"""How often the deadline is looked at while a command is silent."""
CHUNK_BYTES = 1 << 17
"""What is written at once: large enough for the window, small enough for a smooth progress."""

Feed = Callable[[IO[bytes]], None]


@dataclass(frozen=True)
class Completed:
    """What a command left behind."""

    exit_status: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)


def run_script(task: Task, script: str, *, timeout: float) -> Completed:
    """Run a shell script as root on the task's host; it travels through standard input.

    `timeout` is in seconds for the whole run. Raises HostsUnreachableError when the connection breaks
    or time runs out, InputWrongError when sudo refuses.
    """
    return run_command(task, "sh -s", feed=lambda pipe: _write(pipe, script.encode()), timeout=timeout)


def run_command(
    task: Task,
    command: str,
    *,
    feed: Feed | None = None,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run `command` as root: `feed` writes its standard input, `on_line` gets stdout line by line.

    `timeout` is in seconds for the whole run. Raises like `run_script`.
    """
    connection = open_connection(task.host, task.nornir.config)
    client: paramiko.SSHClient = connection.remote_conn_pre
    transport = client.get_transport()
    if transport is None:
        raise HostsUnreachableError("the SSH connection is closed; run again")
    needs_sudo = transport.get_username() != "root"
    password: str = connection.secret
    try:
        channel = transport.open_session(timeout=timeout)
        channel.settimeout(timeout)
        channel.exec_command(_as_root(command, password) if needs_sudo else command)
        return _Conversation(channel, time.monotonic() + timeout, on_line).run(
            feed, password if needs_sudo else None
        )
    except TimeoutError as error:
        raise HostsUnreachableError(
            f"no answer within {timeout:.0f} s; look at the host's load and run again"
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise HostsUnreachableError(
            f"the SSH connection broke off ({str(error) or type(error).__name__}); run again"
        ) from error


def _as_root(command: str, password: str) -> str:
    # -k: never a cached credential, so that sudo either asks now or never; see _Conversation._become_root
    how = f"-S -k -p {shlex.quote(SUDO_PROMPT)}" if password else "-n"
    ready = f"echo {shlex.quote(SUDO_READY)} >&2; exec {command}"
    if any(sign in command for sign in ";&|"):
        ready = f"echo {shlex.quote(SUDO_READY)} >&2; {command}"
    return f"sudo {how} -- sh -c {shlex.quote(ready)}"


def _write(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(data)


class _Conversation:
    """Feeds a channel and drains both of its streams until the command is over or its time is."""

    def __init__(
        self, channel: paramiko.Channel, deadline: float, on_line: Callable[[str], None] | None
    ) -> None:
        self.channel = channel
        self.deadline = deadline
        self.on_line = on_line
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.told = 0

    def run(self, feed: Feed | None, password: str | None) -> Completed:
        if password is not None:
            self._become_root(password)
        broken = False
        if feed:
            try:
                feed(self._pipe())
            except (OSError, EOFError):
                # The command ended before it had read everything: what it says tells why.
                broken = True
        if not broken:
            self.channel.shutdown_write()
        while not self._finished():
            self._drain(wait=True)
        self._drain(wait=False)
        in_time = self.channel.status_event.wait(max(0.0, self.deadline - time.monotonic()))
        status = self.channel.recv_exit_status() if in_time else -1
        self.channel.close()
        if not in_time:
            raise TimeoutError
        if status == -1:
            raise EOFError("the host closed the connection before the command ended")
        return Completed(status, self.stdout.decode(errors="replace"), self._stderr_text())

    def _pipe(self) -> IO[bytes]:
        conversation = self

        class Pipe:
            def write(self, data: bytes) -> int:
                view = memoryview(data)
                while view:
                    sent = conversation.channel.send(view[:CHUNK_BYTES])  # type: ignore[arg-type]  # any buffer
                    if sent == 0:
                        raise EOFError("the channel is closed")
                    view = view[sent:]
                    conversation._drain(wait=False)
                return len(data)

        return Pipe()  # type: ignore[return-value]  # only written to

    def _become_root(self, password: str) -> None:
        """Answer sudo when it asks, and only then: unasked, the password would become standard input."""
        while SUDO_READY.encode() not in self.stderr:
            if SUDO_PROMPT.encode() in self.stderr:
                if not password or self.stderr.count(SUDO_PROMPT.encode()) > 1:
                    raise InputWrongError("sudo refused the password; check it and run again")
                self.channel.sendall(password.encode() + b"\n")
                self._wait_for_more(len(self.stderr))
                continue
            if self._finished():
                raise InputWrongError(_sudo_refusal(self._stderr_text()))
            self._drain(wait=True)

    def _wait_for_more(self, length: int) -> None:
        while len(self.stderr) == length:
            if self._finished():
                raise InputWrongError(_sudo_refusal(self._stderr_text()))
            self._drain(wait=True)

    def _finished(self) -> bool:
        over = bool(self.channel.exit_status_ready() or self.channel.eof_received or self.channel.closed)
        return over and not self.channel.recv_ready() and not self.channel.recv_stderr_ready()

    def _drain(self, *, wait: bool) -> None:
        """Take what has arrived; with `wait`, until something does, the command ends or its time is over."""
        if wait:
            if time.monotonic() > self.deadline:
                self.channel.close()
                raise TimeoutError
            # Channel.fileno() becomes readable when either stream has data or ends.
            select.select([self.channel.fileno()], [], [], POLL_SECONDS)
        while self.channel.recv_ready():
            self.stdout += self.channel.recv(1 << 16)
        while self.channel.recv_stderr_ready():
            self.stderr += self.channel.recv_stderr(1 << 16)
        self._tell()

    def _tell(self) -> None:
        if not self.on_line:
            return
        while (end := self.stdout.find(b"\n", self.told)) >= 0:
            self.on_line(self.stdout[self.told : end].decode(errors="replace"))
            self.told = end + 1

    def _stderr_text(self) -> str:
        text = self.stderr.decode(errors="replace")
        return text.replace(SUDO_READY + "\n", "").replace(SUDO_PROMPT, "")


def _sudo_refusal(stderr: str) -> str:
    said = " ".join(stderr.split()) or "no reason given"
    if "password is required" in said:
        return (
            "sudo asks for a password; run again with --ask-sudo-password, "
            "or set KUBENORN_SUDO_PASSWORD, or allow NOPASSWD"
        )
    if "Sorry, try again" in said or "incorrect password" in said:
        return "sudo refused the password; check it and run again"
    return f"sudo refused ({said}); let the user run commands as root with sudo"


def expect_success(completed: Completed, what: str) -> Completed:
    """Return `completed`, or raise HostsWrongError with the last line it printed to stderr."""
    if completed.exit_status == 0:
        return completed
    lines = [line for line in completed.stderr.splitlines() if line.strip()]
    said = lines[-1] if lines else "it printed nothing"
    raise HostsWrongError(f"{what} failed with exit status {completed.exit_status}: {said}")
