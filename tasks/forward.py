"""A port of this machine that leads to an address behind the jump host, for programs that know no SSH."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

from kubenorn.errors import KubenornError
from tasks.login import Login

CHUNK_BYTES = 1 << 15
BACKLOG = 64


@contextmanager
def forwarded(login: Login, host: str, port: int) -> Iterator[tuple[str, int]]:
    """Give an address of this machine that leads to `host`:`port` as the jump host of `login` sees it.

    Each connection is a channel of its own; one that the jump host cannot open is closed at once.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        thread = threading.Thread(target=_accept, args=(listener, login, host, port), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            # close() alone would not wake up accept()
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, login: Login, host: str, port: int) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, login, host, port), daemon=True).start()


def _serve(client: socket.socket, login: Login, host: str, port: int) -> None:
    with client, suppress(OSError, EOFError, paramiko.SSHException, KubenornError):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with login.behind_jump_host(host, port) as (wire, _):
            try:
                _pump(client, wire.stream)
            finally:
                wire.close()


def _pump(one: "socket.socket | paramiko.Channel", other: "socket.socket | paramiko.Channel") -> None:
    """Carry bytes both ways until either side is done."""
    while True:
        readable, _, _ = select.select([one, other], [], [])
        for source, target in ((one, other), (other, one)):
            if source in readable:
                data = source.recv(CHUNK_BYTES)
                if not data:
                    return
                target.sendall(data)
