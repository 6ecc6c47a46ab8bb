"""The byte stream to a host's sshd: a TCP connection, a channel of a jump host, or a ProxyCommand."""

import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

import paramiko

from kubenorn.errors import HostsUnreachableError
from tasks.endpoint import Endpoint

LogIn = Callable[[Endpoint], paramiko.SSHClient]


@dataclass(frozen=True)
class Wire:
    """An open stream that paramiko takes as a socket."""

    stream: "socket.socket | paramiko.Channel"
    proxy: "ProxyProcess | None" = None

    def close(self) -> str:
        """Close the stream and end its proxy; return what the proxy complained of last, if anything."""
        if isinstance(self.stream, paramiko.Channel):
            close_channel(self.stream)
        else:
            self.stream.close()
        return self.proxy.end() if self.proxy else ""


class ProxyProcess:
    """A ProxyCommand of ssh_config between us and one end of a socket pair.

    paramiko.ProxyCommand spins at 100 % when the command ends, and swallows what it says.
    """

    def __init__(self, command: str, inner: socket.socket) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # read when the login has failed
        # Without a terminal, so that it neither asks there nor hears a Ctrl-C before we do. As in ssh(1),
        # the operator's own words run in a shell.
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            stdin=inner.fileno(),
            stdout=inner.fileno(),
            stderr=self._stderr,
            start_new_session=True,
        )

    def end(self) -> str:
        """End the command, wait for it, and return the last line it wrote to stderr."""
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def close_channel(channel: paramiko.Channel) -> None:
    """Close a channel, one that was waited for with select(2) too.

    paramiko writes to the pipe behind Channel.fileno() when data comes, and close() closes that pipe without keeping
    the other thread from it: a broken pipe there ends the whole connection, with all its channels.
    """
    for buffer in (channel.in_buffer, channel.in_stderr_buffer):
        buffer.set_event(threading.Event())
    channel.close()


@dataclass
class JumpHosts:
    """One login at each jump host, shared by all hosts behind it: sshd drops many logins at once."""

    _clients: dict[Endpoint, paramiko.SSHClient] = field(default_factory=dict)
    _locks: dict[Endpoint, threading.Lock] = field(default_factory=dict)
    _failures: dict[Endpoint, tuple[float, Exception]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, jump: Endpoint, log_in: LogIn) -> paramiko.SSHClient:
        """Return the login at `jump`. Raises what `log_in` raises, also for those who waited meanwhile."""
        asked_at = time.monotonic()
        with self._lock:
            lock = self._locks.setdefault(jump, threading.Lock())
        with lock:
            known = self._clients.get(jump)
            transport = known.get_transport() if known else None
            if known and transport and transport.is_active():
                return known
            failed_at, failure = self._failures.get(jump, (0.0, None))
            if failure and failed_at >= asked_at:
                raise failure
            try:
                self._clients[jump] = log_in(jump)
            except Exception as error:
                self._failures[jump] = (time.monotonic(), error)
                raise
            return self._clients[jump]


def open_wire(endpoint: Endpoint, jumps: JumpHosts, log_in: LogIn, timeout: float) -> Wire:
    """Return a stream to `endpoint`; `log_in` is asked for the jump host before it. `timeout` is in seconds.

    Raises OSError, paramiko.SSHException, and what `log_in` raises.
    """
    if endpoint.jump:
        transport = jumps.client(endpoint.jump, log_in).get_transport()
        if transport is None:
            raise HostsUnreachableError(f"jump host {endpoint.jump}: the connection is closed; run again")
        target = (endpoint.hostname, endpoint.port)
        channel = transport.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=timeout)
        return Wire(channel)
    if endpoint.proxy_command:
        outer, inner = socket.socketpair()
        with inner:
            return Wire(outer, ProxyProcess(endpoint.proxy_command, inner))
    connection = socket.create_connection((endpoint.hostname, endpoint.port), timeout=timeout)
    # Many small packets, each waiting for its answer: Nagle's algorithm would only delay them.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Wire(connection)
