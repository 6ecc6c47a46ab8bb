"""Files from a mirror over HTTP: resumed, and verified on the way."""

import os
from pathlib import Path
from typing import Final

import httpx
import tenacity
from tenacity.stop import stop_base

from kubenorn.binaries.checksums import Expected
from kubenorn.binaries.connection import ATTEMPTS, Connection, PassingError, retry_trouble
from kubenorn.binaries.digests import Hashes
from kubenorn.binaries.elf import kind_of
from kubenorn.errors import InputWrongError

_TEXT_LIMIT_BYTES: Final = 1 << 20
_ABSENT: Final = (403, 404, 410)  # object stores that hide their listing answer 403 for what is not there


class _WrongDigestError(InputWrongError):
    """The file has another digest. Of a resumed download the beginning may be of another file."""

    resumed = False
    """Fetched once more from the beginning then; so a mirror that sends another range does no harm."""


def fetch_text(connection: Connection, path: str) -> str | None:
    """Return the small text file at `path`, or None if the mirror has none.

    Raises InputWrongError when the mirror cannot be reached, refuses, or sends no text.
    """

    def ask() -> str | None:
        with connection.stream("GET", path) as response:
            if response.status_code in _ABSENT:
                return None
            connection.refuse_errors(response, path)
            content = b""
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > _TEXT_LIMIT_BYTES:
                    raise InputWrongError(f"{connection.shown(path)} is too large for a checksum file")
            try:
                return content.decode()
            except UnicodeDecodeError:
                raise InputWrongError(f"{connection.shown(path)} is no text, so no checksum file") from None

    return connection.insist(path, ask)


def status_of(connection: Connection, path: str) -> int:
    """Return the HTTP status the mirror answers for the file at `path`, without fetching it.

    Raises InputWrongError when the mirror cannot be reached.
    """

    def ask() -> int:
        with connection.stream("HEAD", path) as response:
            retry_trouble(response)
            return response.status_code

    return connection.insist(path, ask)


def download(connection: Connection, path: str, part: Path, expected: Expected) -> dict[str, str]:
    """Fetch the file at `path` into `part`; return its digests (hex), sha256 and the expected one.

    What `part` holds already is kept if the mirror can go on from there. An interrupted download stays
    in `part`; one with a wrong digest does not. Raises InputWrongError when the digest is not the
    expected one or the mirror fails for good.
    """
    try:
        return connection.insist(path, lambda: _attempt(connection, path, part, expected), _GiveUp(part))
    except _WrongDigestError as wrong:
        if not wrong.resumed:
            raise
    return connection.insist(path, lambda: _attempt(connection, path, part, expected), _GiveUp(part))


def _attempt(connection: Connection, path: str, part: Path, expected: Expected) -> dict[str, str]:
    have = part.stat().st_size if part.exists() else 0
    with connection.stream("GET", path, _range(have)) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)  # the next attempt begins at the beginning
            raise PassingError("HTTP 416")
        connection.refuse_errors(response, path)
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        digests = _receive(connection, response, part, expected, have if resumed else 0)
    algorithm = expected.digest.algorithm
    if digests[algorithm] == expected.digest.hex:
        return digests
    with part.open("rb") as handle:
        kind = kind_of(handle.read(512))
    part.unlink()
    hint = f" it is {kind};" if "HTML" in kind or kind == "empty" else ""
    wrong = _WrongDigestError(expected.mismatch(connection.shown(path), digests[algorithm], hint=hint))
    wrong.resumed = resumed
    raise wrong


def _receive(
    connection: Connection, response: httpx.Response, part: Path, expected: Expected, have: int
) -> dict[str, str]:
    """Write the body behind the first `have` bytes of `part`; return the digests of the whole."""
    hashes = Hashes({"sha256", expected.digest.algorithm})
    length = response.headers.get("content-length", "")
    total = have + int(length) if length.isdecimal() else None
    name = part.name.removesuffix(".part")
    with part.open("r+b" if have else "w+b", buffering=0) as handle:
        hashes.update_from(handle)
        done = have
        # Raw: a .tar.gz that a server labels "Content-Encoding: gzip" must not be unpacked on the way. In
        # pieces as they come: what httpx collects to larger ones is lost when the connection is cut.
        for chunk in response.iter_raw():
            handle.write(chunk)
            hashes.update(chunk)
            done += len(chunk)
            connection.report(name, done, total)
        os.fsync(handle.fileno())
    return hashes.hex()


class _GiveUp(stop_base):
    """Stop after some attempts in a row that brought nothing; a download that gets on may go on."""

    def __init__(self, part: Path) -> None:
        self._part = part
        self._most_bytes = 0
        self._in_vain = 0

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        size = self._part.stat().st_size if self._part.exists() else 0
        self._in_vain = 1 if size > self._most_bytes else self._in_vain + 1
        self._most_bytes = max(size, self._most_bytes)
        return self._in_vain >= ATTEMPTS or retry_state.attempt_number >= 20 * ATTEMPTS


def _range(have: int) -> dict[str, str]:
    return {"Range": f"bytes={have}-"} if have else {}
