"""The connection to a mirror: whom it trusts, how long it waits, when it asks again."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import httpx
import tenacity
from tenacity.stop import stop_base

from kubenorn.binaries.address import Mirror, masked
from kubenorn.binaries.source import Reporter
from kubenorn.errors import InputWrongError

ATTEMPTS: Final = 5  # in a row that brought nothing
_FIRST_WAIT_SECONDS = 0.5  # doubled each time, up to:
_LONGEST_WAIT_SECONDS: Final = 8
_TIMEOUT: Final = httpx.Timeout(30, connect=10)  # seconds without a byte, seconds for a connection
_BUSY: Final = (408, 429)  # worth another attempt, like 5xx

_Answer = TypeVar("_Answer")


class PassingError(Exception):
    """The mirror answered that it is in trouble; it may be over it soon."""


class Connection:
    """The way to one mirror. Several threads may use it. Nothing is sent before the first question."""

    def __init__(self, mirror: Mirror, key: str, ca_file: Path | None, report: Reporter) -> None:
        """Take the mirror that the setting `key` names.

        `ca_file` is a PEM file of authorities trusted beside the system's. Proxies are taken from the
        environment. Waiting ends when the run that is reported to is interrupted.
        """
        self.mirror = mirror
        self.report = report
        self._key = key
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._http: httpx.Client | None = None
        self._unreachable: str | None = None

    def close(self) -> None:
        """Close what is open."""
        if self._http is not None:
            self._http.close()

    def shown(self, path: str) -> str:
        """Return the address of the file at `path` as it may be shown."""
        return f"{self.mirror.shown}/{path}"

    @contextmanager
    def stream(
        self, method: str, path: str, headers: dict[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Give the answer for the file at `path`, its body still to be read."""
        with self._client().stream(method, self.mirror.url(path), headers=headers) as response:
            yield response

    def insist(self, path: str, ask: Callable[[], _Answer], stop: stop_base | None = None) -> _Answer:
        """Return the answer, asking again while what fails may pass.

        `path` names the file in errors, `stop` says when to give up, else it is after ATTEMPTS. Raises
        InputWrongError then, and once the mirror cannot be reached for every later question at once.
        """
        if self._unreachable is not None:
            raise InputWrongError(self._unreachable)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=tenacity.stop_any(
                stop or tenacity.stop_after_attempt(ATTEMPTS),
                tenacity.stop_when_event_set(self.report.cancelled),
            ),
            wait=tenacity.wait_exponential(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS),
            sleep=tenacity.sleep_using_event(self.report.cancelled),
            reraise=True,
        )
        # Of what failed only the words are kept: httpx's errors carry requests, and those a signed address.
        try:
            return retrying(ask)
        except PassingError as error:
            raise InputWrongError(f"{self.shown(path)} answers {error}, again and again: run later") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._unreachable = f"{self.mirror.shown} fails ({_reason(error)}): {self._remedy(error)}"
            raise InputWrongError(self._unreachable) from None

    def refuse_errors(self, response: httpx.Response, path: str) -> None:
        """Raise what the status of an answer calls for: PassingError, InputWrongError, or nothing."""
        retry_trouble(response)
        status = response.status_code
        if status == httpx.codes.UNAUTHORIZED:
            raise InputWrongError(
                f"{self.mirror.shown} asks for another user or password (HTTP 401): "
                f"write https://USER:PASSWORD@… in {self._key}"
            )
        if status >= 300:
            raise InputWrongError(f"{self.shown(path)} answers HTTP {status}: look at {self._key}")

    def _client(self) -> httpx.Client:
        with self._lock:
            if self._http is None:
                self._http = self._connect()
            return self._http

    def _connect(self) -> httpx.Client:
        try:
            return httpx.Client(
                auth=self.mirror.login,  # not in the address: httpx logs addresses
                verify=self._tls(),
                timeout=_TIMEOUT,
                follow_redirects=True,
                headers={"Accept-Encoding": "identity", "User-Agent": "kubenorn"},
                event_hooks={"request": [self._refuse_clear_text]},
            )
        except (ValueError, ImportError, httpx.InvalidURL):
            # The words are left out: they quote the proxy's address, which may hold a password.
            raise InputWrongError(
                "a proxy in the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used: "
                "write http://HOST:PORT or unset it"
            ) from None

    def _refuse_clear_text(self, request: httpx.Request) -> None:
        # Called for each request, so for each step of a redirect too.
        if self.mirror.base.startswith("https:") and request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("it redirects from https to http")

    def _tls(self) -> ssl.SSLContext:
        """Return the system's authorities and those httpx brings, and the operator's own."""
        context = httpx.create_ssl_context()
        context.load_default_certs()
        if self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as error:  # SSLError is one
                reason = error.strerror or "no PEM certificate in it"
                setting = f"{self._key.rpartition('.')[0]}.ca_file"
                raise InputWrongError(f"{setting}: {self._ca_file}: {reason}: name a PEM file") from None
        return context

    def _remedy(self, error: Exception) -> str:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return f"name its authority in {self._key.rpartition('.')[0]}.ca_file"
        return f"see that it is up and that proxies in the environment are right, or change {self._key}"


def retry_trouble(response: httpx.Response) -> None:
    """Raise PassingError if the status says that the same question may get an answer later."""
    status = response.status_code
    if (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED) or status in _BUSY:
        raise PassingError(f"HTTP {status}")


def _reason(error: Exception) -> str:
    reason = str(error) or type(error).__name__
    return masked(reason) if "://" in reason else reason


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.UnsupportedProtocol) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return False
    return isinstance(error, httpx.TransportError | PassingError)
