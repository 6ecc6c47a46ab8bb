"""A program of its own: asks the API through the VIP at a fixed rate, and keeps one watch connection open.

    python -m kubenorn.drill.prober JSON

It prints what it saw as JSON lines (see `parse_line`) until its standard input ends, so it never outlives the
drill. A process of its own keeps its times exact: in the drill's own, SSH's threads would hold it up.
"""

import asyncio
import http.client
import json
import socket
import ssl
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from kubenorn.drill.events import Answer, LeaderChange, Probe, WatchChange

CONNECT_SECONDS = 0.5
"""For the watch: a VIP that nobody has answers nothing, and the kernel would ask again only after a second."""
ANSWER_SECONDS = 1.0
"""For a probe; others begin meanwhile, so it does not blur what is measured."""
SILENCE_SECONDS = 5.0
"""Leaders renew their leases every two seconds, so a watch that is silent for longer is dead."""
RETRY_SECONDS = 0.05
ANNOTATION = "control-plane.alpha.kubernetes.io/leader"


@dataclass(frozen=True)
class Target:
    """Whom to ask, how often, and as whom: files of this machine."""

    host: str
    """The VIP, which the certificate names."""
    reached_at: str
    port: int
    """Where it is connected to: the VIP itself, or the way to it."""
    path: str
    watch_path: str
    interval: float
    ca: str
    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        """Return what TLS needs to trust the cluster's CA alone."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def to_json(self) -> str:
        """Return the program's argument."""
        return json.dumps(asdict(self))


Line = Probe | WatchChange | LeaderChange


def parse_line(line: str) -> Line:
    """Return what a line of the program says. Raises ValueError when it is none of it."""
    try:
        kind, fields = json.loads(line)
        match kind:
            case "probe":
                start, end, answer, reason = fields
                return Probe(start, end, Answer(answer), reason)
            case "watch":
                return WatchChange(*fields)
            case "leader":
                return LeaderChange(*fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"no line of the prober: {line[:100]!r}") from error
    raise ValueError(f"no line of the prober: {line[:100]!r}")


def _tell(kind: str, *fields: object) -> None:
    sys.stdout.write(json.dumps([kind, fields]) + "\n")
    sys.stdout.flush()


def judge(code: str, checks: str) -> tuple[Answer, str]:
    """Return what an answer other than 200 means: `checks` are kube-apiserver's, a line each, `[-]name failed: …`."""
    failed = [line[3:].split()[0] for line in checks.splitlines() if line.startswith("[-]")]
    answer = Answer.DRAINING if failed == ["shutdown"] else Answer.FAILED
    return answer, f"HTTP {code} {', '.join(failed)}".rstrip()


async def _ask(target: Target, context: ssl.SSLContext) -> tuple[Answer, str]:
    """Ask once, over a connection of its own."""
    reader, writer = await asyncio.open_connection(
        target.reached_at,
        target.port,
        ssl=context,
        server_hostname=target.host,
        ssl_handshake_timeout=ANSWER_SECONDS,
    )
    try:
        request = f"GET {target.path} HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        status = (await reader.readline()).decode(errors="replace").split()
        code = status[1] if len(status) > 1 else ""
        if code == "200":
            return Answer.OK, ""
        if not code:
            return Answer.FAILED, "the connection ended without an answer"
        checks = (await reader.read()).decode(errors="replace")
        return judge(code, checks)
    finally:
        writer.transport.abort()


async def _probe(target: Target, context: ssl.SSLContext) -> None:
    start = time.monotonic()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer, reason = await _ask(target, context)
    except TimeoutError:
        answer, reason = Answer.FAILED, f"no answer within {ANSWER_SECONDS:g} s"
    except OSError as error:
        answer, reason = Answer.FAILED, error.strerror or type(error).__name__
    _tell("probe", start, time.monotonic(), answer.value, reason)


async def _probes(target: Target, context: ssl.SSLContext) -> None:
    """Begin a probe every interval, whether or not the earlier ones are over."""
    running: set[asyncio.Task[None]] = set()
    due = time.monotonic()
    while True:
        task = asyncio.create_task(_probe(target, context))
        running.add(task)
        task.add_done_callback(running.discard)
        due = max(due + target.interval, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


def _watch(target: Target, context: ssl.SSLContext) -> None:
    """Keep one watch open for ever; tell when it is lost and up again, and who leads."""
    leaders: dict[str, str] = {}
    complaint = ""
    while True:
        connection = http.client.HTTPConnection(target.host, target.port)
        try:
            plain = socket.create_connection((target.reached_at, target.port), CONNECT_SECONDS)
            connection.sock = context.wrap_socket(plain, server_hostname=target.host)
            connection.sock.settimeout(SILENCE_SECONDS)
            connection.request("GET", target.watch_path)
            response = connection.getresponse()
            if response.status == 200:
                _tell("watch", time.monotonic(), True, "")
                complaint = "the server ended it"
                for line in response:
                    _lease(line, leaders)
        except (OSError, http.client.HTTPException) as error:
            complaint = complaint and (str(error) or type(error).__name__)
        finally:
            connection.close()
        if complaint:
            _tell("watch", time.monotonic(), False, complaint)
            complaint = ""
        time.sleep(RETRY_SECONDS)


def _lease(line: bytes, leaders: dict[str, str]) -> None:
    """Tell of a leader that is another than before."""
    try:
        found = json.loads(line)["object"]
        name, record = found["metadata"]["name"], found.get("spec") or {}
        if noted := (found["metadata"].get("annotations") or {}).get(ANNOTATION):
            record = json.loads(noted)
    except (ValueError, LookupError, TypeError):
        return
    holder = record.get("holderIdentity")
    if holder and leaders.get(name) != holder:
        leaders[name] = holder
        _tell("leader", time.monotonic(), name, holder)


def main() -> None:
    """Run until standard input ends."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    target = Target(**given)
    context = target.context()
    threading.Thread(target=_watch, args=(target, context), daemon=True).start()

    async def run() -> None:
        probing = asyncio.create_task(_probes(target, context))
        await asyncio.to_thread(sys.stdin.read)
        probing.cancel()

    asyncio.run(run())


if __name__ == "__main__":
    main()
