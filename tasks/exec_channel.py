"""One command on a host over an exec channel of its nornir-netmiko connection.

Exec channels give an exit status, stdout and stderr apart, and no prompt to scrape. Secrets go through
standard input only: argv is public on the host.
"""

import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import paramiko
from nornir.core.task import Task

from kubenorn.errors import HostsUnreachableError, HostsWrongError, InputWrongError, KubenornError
from tasks.login import open_connection
from tasks.pulse import Pulse
from tasks.sudo import SUDO_PROMPT, SUDO_READY, SUDO_SECONDS, as_root_line, sudo_refusal
from tasks.wire import close_channel

CHANNEL_SECONDS = 15
"""How long a host we are logged in to may take to start a command."""
POLL_SECONDS = 0.1
"""How often the deadline is looked at while a command is silent."""
TRAILING_SECONDS = 2
"""How long output may follow the exit status; longer only while a child in the background holds the stream."""
SETTLE_SECONDS = 0.5
"""paramiko closes the channels of a broken connection a moment before it says that it is broken."""
MOST_BYTES = 1 << 26
"""What a command may print in all: every host's output is kept in this machine's memory."""
CHUNK_BYTES = 1 << 17
"""What is written at once: large enough for the window, small enough for a smooth progress."""


class StandardInput(Protocol):
    """What a command reads; whoever writes it also hears what the command says meanwhile."""

    def write(self, data: bytes, /) -> int:
        """Send all of `data`."""

    def listen(self) -> None:
        """Take what the command says within the next POLL_SECONDS; returns early when it said something."""


Feed = Callable[[StandardInput], None]


@dataclass(frozen=True)
class Completed:
    """What a command left behind."""

    exit_status: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)


def run_script(task: Task, script: str, *, timeout: float) -> Completed:
    """Run a shell script as root on the task's host; it travels through standard input.

    `timeout` is in seconds for the whole run. Raises HostsUnreachableError when the connection breaks
    or time runs out, InputWrongError when sudo refuses, HostsWrongError when the command is killed or prints more
    than MOST_BYTES.
    """
    return run_command(task, "sh -s", feed=lambda pipe: _write(pipe, script.encode()), timeout=timeout)


def run_command(
    task: Task,
    command: str,
    *,
    feed: Feed | None = None,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    on_error_line: Callable[[str], None] | None = None,
    while_waiting: Callable[[], None] | None = None,
    as_root: bool = True,
) -> Completed:
    """Run `command` as root, or without `as_root` as the login user; `feed` writes its standard input.

    `on_line` gets stdout line by line, `on_error_line` stderr; neither gets a last line without an end.
    `while_waiting` is called every POLL_SECONDS; what it raises ends the run.
    `timeout` is in seconds for the whole run. Raises like `run_script`.
    """
    connection = open_connection(task.host, task.nornir.config)
    transport: paramiko.Transport = connection.remote_conn_pre.get_transport()
    needs_sudo = as_root and transport.get_username() != "root"
    password: str = connection.secret
    try:
        channel = transport.open_session(timeout=CHANNEL_SECONDS)
        try:
            _start(channel, as_root_line(command, password) if needs_sudo else command)
            deadline = time.monotonic() + timeout
            conversation = _Conversation(channel, deadline, on_line, on_error_line, while_waiting)
            return conversation.run(feed, password if needs_sudo else None)
        finally:
            # Also of a command that goes on: without its streams it ends when it reads or writes next.
            close_channel(channel)
    except KubenornError:
        raise
    except TimeoutError as error:
        raise HostsUnreachableError(
            f"no answer within {timeout:.0f} s; look at the host's load and run again"
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise HostsUnreachableError(
            f"the SSH connection broke off ({str(error) or type(error).__name__}); "
            "check that the host is up and run again"
        ) from error


def _start(channel: paramiko.Channel, command: str) -> None:
    """Start the command. paramiko waits for the host's word for ever, so the channel is closed under it."""
    patience = threading.Timer(CHANNEL_SECONDS, channel.close)
    patience.start()
    try:
        channel.exec_command(command)
    finally:
        patience.cancel()
    # A full window is no reason to stop reading what the command says; see _Pipe.
    channel.settimeout(POLL_SECONDS)


def _write(pipe: StandardInput, data: bytes) -> None:
    pipe.write(data)


class _NobodyReadsError(Exception):
    """The command ended, or closed its standard input, before it had read everything."""


class _Conversation:
    """Feeds a channel and drains both of its streams until the command is over or its time is."""

    def __init__(
        self,
        channel: paramiko.Channel,
        deadline: float,
        on_line: Callable[[str], None] | None,
        on_error_line: Callable[[str], None] | None,
        while_waiting: Callable[[], None] | None,
    ) -> None:
        self.channel = channel
        self.deadline = deadline
        self.on_line = on_line
        self.on_error_line = on_error_line
        self.while_waiting = while_waiting
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.told = 0
        self.told_errors = 0
        self.ready_to_read = select.poll()  # select() takes no descriptor above 1023
        # Channel.fileno() becomes readable when either stream has data or ends.
        self.ready_to_read.register(channel.fileno(), select.POLLIN)
        self.pulse = Pulse(channel.get_transport())

    def run(self, feed: Feed | None, password: str | None) -> Completed:
        if password is not None:
            self._become_root(password)
        if feed:
            self._feed(feed)
        self._shut_stdin()
        while not self._finished():
            self._drain(wait=True)
        while not self.channel.status_event.wait(POLL_SECONDS):
            self._check_time()
        status = self.channel.recv_exit_status()
        if status == -1:
            transport = self.channel.get_transport()
            transport.join(SETTLE_SECONDS)
            if transport.is_active():
                raise HostsWrongError(
                    "the command was killed on the host; look there for what did it (`journalctl -k` tells of a "
                    "lack of memory), and run again"
                )
            raise EOFError("the host ended it")
        return Completed(status, self.stdout.decode(errors="replace"), self._stderr_text())

    def _feed(self, feed: Feed) -> None:
        try:
            feed(_Pipe(self))
        except _NobodyReadsError:
            return  # what the command says tells why
        except TimeoutError:
            raise
        except OSError as error:
            raise HostsWrongError(f"what is to be sent cannot be read on this machine: {error}") from error

    def send(self, data: memoryview) -> int:
        """Send some of `data` and return how much; what the command says meanwhile is read.

        A command that waits for its output to be read would not read its input.
        """
        while True:
            if self.channel.closed or self.channel.exit_status_ready():
                raise _NobodyReadsError
            try:
                sent = self.channel.send(data[:CHUNK_BYTES])  # type: ignore[arg-type]  # any buffer
            except TimeoutError:
                sent = 0
            except OSError as error:
                raise _NobodyReadsError from error
            self._drain(wait=False)
            self._check_time()
            if sent:
                self.pulse.felt()  # once the buffers are full, only a host that reads lets us send
                return sent

    def listen(self) -> None:
        """Take what the command says within the next moment."""
        if self.channel.closed or self.channel.exit_status_ready():
            raise _NobodyReadsError
        self._drain(wait=True)

    def _shut_stdin(self) -> None:
        try:
            self.channel.shutdown_write()
        except (OSError, EOFError):
            return  # the host closed first: reading on tells what happened

    def _become_root(self, password: str) -> None:
        """Answer sudo when it asks, and only then: unasked, the password would become standard input."""
        deadline = time.monotonic() + SUDO_SECONDS
        answered = False
        while SUDO_READY.encode() not in self.stderr:
            asked = self.stderr.count(SUDO_PROMPT.encode())
            if asked > 1:
                raise InputWrongError("sudo refused the password; correct it and run again")
            if asked and not answered:
                self.channel.sendall(password.encode() + b"\n")
                answered = True
            if self._finished():
                raise InputWrongError(sudo_refusal(self._stderr_text()))
            if time.monotonic() > deadline:
                said = " ".join(self._stderr_text().split()) or "nothing"
                raise InputWrongError(f"sudo let nobody in within {SUDO_SECONDS} s; it said: {said}")
            self._drain(wait=True)

    def _finished(self) -> bool:
        if self.channel.recv_ready() or self.channel.recv_stderr_ready():
            return False
        if self.channel.eof_received or self.channel.closed:
            return True
        # sshd may send the exit status before the last of the output.
        return self.channel.exit_status_ready() and self.pulse.silence > TRAILING_SECONDS

    def _drain(self, *, wait: bool) -> None:
        """Take what has arrived; with `wait`, until something does, the command ends or its time is over."""
        if wait:
            self._check_time()
            self.ready_to_read.poll(POLL_SECONDS * 1000)
        while self.channel.recv_ready():
            self.stdout += self.channel.recv(1 << 16)
            self.pulse.felt()
        while self.channel.recv_stderr_ready():
            self.stderr += self.channel.recv_stderr(1 << 16)
            self.pulse.felt()
        if len(self.stdout) + len(self.stderr) > MOST_BYTES:
            raise HostsWrongError(
                f"the command printed more than {MOST_BYTES >> 20} MB and was given up; let it print less, as with "
                "`| tail`"
            )
        self._tell()

    def _check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise TimeoutError
        if self.while_waiting:
            self.while_waiting()
        self.pulse.check()

    def _tell(self) -> None:
        while self.on_line and (end := self.stdout.find(b"\n", self.told)) >= 0:
            self.on_line(self.stdout[self.told : end].decode(errors="replace"))
            self.told = end + 1
        while self.on_error_line and (end := self.stderr.find(b"\n", self.told_errors)) >= 0:
            line = _without_sudo(self.stderr[self.told_errors : end + 1])
            self.told_errors = end + 1
            if line:
                self.on_error_line(line.removesuffix("\n"))

    def _stderr_text(self) -> str:
        return _without_sudo(self.stderr)


class _Pipe:
    """A command's standard input as a file."""

    def __init__(self, conversation: _Conversation) -> None:
        self._conversation = conversation

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            view = view[self._conversation.send(view) :]
        return len(data)

    def listen(self) -> None:
        """Take what the command says; raises like a write when the command is over."""
        self._conversation.listen()


def _without_sudo(stderr: bytearray) -> str:
    """Return what was said on stderr, but for what tells us how far sudo is."""
    return stderr.decode(errors="replace").replace(SUDO_READY + "\n", "").replace(SUDO_PROMPT, "")


def expect_success(completed: Completed, what: str) -> Completed:
    """Return `completed`, or raise HostsWrongError with the last line it printed to stderr."""
    if completed.exit_status == 0:
        return completed
    raise HostsWrongError(f"{what} failed with exit status {completed.exit_status}: {last_words(completed)}")


def last_words(completed: Completed) -> str:
    """Return the last line a command printed to stderr that says something."""
    # tar's last word says nothing of what it said before
    said_nothing = "tar: Exiting with failure status"
    lines = [
        line for line in completed.stderr.splitlines() if line.strip() and not line.startswith(said_nothing)
    ]
    return lines[-1] if lines else "it printed nothing"
