"""A mirror on 127.0.0.1 that misbehaves on demand."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .material import ETCD, KUBERNETES, etcd_members, kubernetes_members, sha256, sha512, tarball


@dataclass
class Mirror:
    """What the server has, what it was asked, and how it fails."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    faults: dict[str, list[int]] = field(default_factory=dict)
    """By path, one number a request: a status from 100 on, below that a cut after that many percent."""
    ranges: bool = True
    false_range: bool = False
    login: str | None = None
    """The Authorization header that is asked for."""
    redirects: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def paths(self, method: str = "GET") -> list[str]:
        return [path for one, path, _ in self.asked if one == method]

    def put_official(self, arch: str = "amd64", *, alone: bool = True) -> None:
        """Have the layout of the official sites, both below one address."""
        folder = f"v{KUBERNETES}"
        archive = f"{folder}/kubernetes-server-linux-{arch}.tar.gz"
        self.files[archive] = tarball(kubernetes_members(arch))
        self.files[f"{archive}.sha512"] = sha512(self.files[archive]).encode()
        for member, content in kubernetes_members(arch).items() if alone else ():
            path = f"{folder}/bin/linux/{arch}/{member.rpartition('/')[2]}"
            self.files[path] = content
            self.files[f"{path}.sha256"] = sha256(content).encode()
        etcd = f"etcd-v{ETCD}-linux-{arch}.tar.gz"
        self.files[f"v{ETCD}/{etcd}"] = tarball(etcd_members(arch))
        lines = f"{sha256(b'')}  etcd.aci\n{sha256(self.files[f'v{ETCD}/{etcd}'])}  {etcd}\n"
        self.files[f"v{ETCD}/SHA256SUMS"] = lines.encode()


class _Handler(BaseHTTPRequestHandler):
    mirror: Mirror
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(b"", len(self.mirror.files.get(self.path[1:], b"")))

    def do_GET(self) -> None:
        content = self.mirror.files.get(self.path[1:], b"")
        self._answer(content, len(content))

    def _answer(self, body: bytes, length: int) -> None:
        path, mirror = self.path[1:], self.mirror
        mirror.asked.append((self.command, path, dict(self.headers)))
        fault = mirror.faults[path].pop(0) if mirror.faults.get(path) else None
        if path in mirror.redirects:
            self._head(302, 0, {"Location": mirror.redirects[path]})
        elif mirror.login is not None and self.headers["Authorization"] != mirror.login:
            self._head(401, 0)
        elif fault is not None and fault >= 100:
            self._head(fault, 0)
        elif path not in mirror.files:
            self._head(404, 0)
        else:
            self._send(body, length, fault)

    def _send(self, body: bytes, length: int, cut_percent: int | None) -> None:
        wanted = self.headers["Range"]
        if wanted and self.mirror.ranges and self.command == "GET":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= length:
                self._head(416, 0)
                return
            if self.mirror.false_range:
                start = 0
            self._head(206, length - start, {"Content-Range": f"bytes {start}-{length - 1}/{length}"})
            body = body[start:]
        else:
            self._head(200, length)
        if cut_percent is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: len(body) * cut_percent // 100])
        self.wfile.flush()
        self.close_connection = True

    def _head(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the tests."""


@contextmanager
def running(mirror: Mirror, tls: ssl.SSLContext | None = None) -> Iterator[Mirror]:
    """Serve the mirror, whose `url` is set, while the block runs."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"mirror": mirror}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    mirror.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
