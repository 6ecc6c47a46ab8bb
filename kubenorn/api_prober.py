"""Asks the API through the VIP many times a second while a run changes the cluster, and counts what failed."""

import http.client
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

INTERVAL_SECONDS = 0.1
TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Failure:
    """One probe that failed: seconds since the prober began, and why."""

    at: float
    reason: str


@dataclass(frozen=True)
class Availability:
    """How the API answered through the VIP: probes, those that failed, and the longest gap in milliseconds."""

    probes: int
    failures: tuple[Failure, ...]
    longest_gap_ms: float

    def __str__(self) -> str:
        if not self.probes:
            return "API through the VIP: not measured, this machine does not reach the VIP"
        text = f"API through the VIP: {self.probes} probes, {len(self.failures)} failed"
        return f"{text}, longest gap {self.longest_gap_ms:.0f} ms" if self.failures else text


class ApiProber:
    """A thread that opens a new TLS connection to the VIP for every probe, as a new client would.

    `path` should be one that any kube-apiserver that serves answers, such as /version: one that is about to stop
    says no to /readyz while it still serves. Use it as a context manager. Nothing is measured when the VIP does
    not answer from this machine at the start, for which there may be no route.
    """

    def __init__(self, host: str, port: int, path: str, *, ca: bytes, certificate: Path, key: Path) -> None:
        self._address = (host, port)
        self._path = path
        self._context = ssl.create_default_context(cadata=ca.decode("ascii"))
        self._context.load_cert_chain(str(certificate), str(key))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._probes = 0
        self._failures: list[Failure] = []
        self._gap = 0.0

    def __enter__(self) -> "ApiProber":
        if not self._probe():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_SECONDS + 1)

    @property
    def availability(self) -> Availability:
        """What was measured so far."""
        return Availability(self._probes, tuple(self._failures), self._gap * 1000)

    def _run(self) -> None:
        began = last_good = time.monotonic()
        while not self._stop.is_set():
            at = time.monotonic()
            reason = self._probe()
            now = time.monotonic()
            self._probes += 1
            if reason:
                self._failures.append(Failure(at - began, reason))
                self._gap = max(self._gap, now - last_good)
            else:
                last_good = now
            self._stop.wait(max(0.0, INTERVAL_SECONDS - (now - at)))

    def _probe(self) -> str:
        """Return why a probe failed, empty when the API answered."""
        connection = http.client.HTTPSConnection(
            *self._address, timeout=TIMEOUT_SECONDS, context=self._context
        )
        try:
            connection.request("GET", self._path)
            answer = connection.getresponse()
            body = answer.read(200)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        return "" if answer.status == 200 and body else f"HTTP {answer.status}"
