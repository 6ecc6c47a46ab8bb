"""Real digests of files, and the memory of them that saves reading 300 MB again when nothing changed."""

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Final

from kubenorn.binaries.checksums import Digest, digest_of_hex
from kubenorn.binaries.files import locked, write_whole

_CHUNK_BYTES: Final = 1 << 20
# A file changed less than this before it was read is remembered for this run only: a second change within
# the same clock tick of its file system would leave the same times. Two seconds is the coarsest tick in use.
_SETTLED_NS = 2_000_000_000


class Hashes:
    """Several digests of one stream, taken in one pass."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name) for name in sorted(set(algorithms))}

    def update(self, chunk: bytes | memoryview) -> None:
        """Take in the next bytes of the stream."""
        for one in self._hashes.values():
            one.update(chunk)

    def update_from(self, handle: FileIO) -> None:
        """Take in the rest of an open, unbuffered file."""
        buffer = bytearray(_CHUNK_BYTES)
        view = memoryview(buffer)
        while count := handle.readinto(buffer):
            self.update(view[:count])

    def hex(self) -> dict[str, str]:
        """Return the digests of all bytes taken in so far, by algorithm."""
        return {name: one.hexdigest() for name, one in self._hashes.items()}


def hash_file(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the digests (hex) of the file's content by algorithm, from one reading of the file."""
    hashes = Hashes(algorithms)
    with path.open("rb", buffering=0) as handle:
        hashes.update_from(handle)
    return hashes.hex()


@dataclass
class DigestMemory:
    """Digests of files met before (by path, size, times and inode) and of addresses downloaded before.

    Kept in one JSON file. Losing it costs time, never correctness: what is not in it is read again. A file
    is trusted to be unchanged when size, mtime, ctime and inode are. The ctime is there because archives
    with fixed time stamps may bring another file of the same size and mtime under a reused inode.
    """

    file: Path
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)
    _urls: dict[str, str] = field(default_factory=dict)
    _this_run: dict[str, dict[str, Any]] = field(default_factory=dict)
    _loaded: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def of_file(self, path: Path, algorithms: Iterable[str] = ("sha256",)) -> dict[str, str]:
        """Return the digests (hex) of the file's content by algorithm; read it only if it may have changed.

        sha256 is always among them. Raises OSError when the file cannot be read.
        """
        needed = {"sha256", *algorithms}
        known = self._known(path)
        if needed <= known.keys():
            return known
        before = _identity(path)
        digests = hash_file(path, needed | known.keys())
        changed_ns = max(before["mtime_ns"], before["ctime_ns"])
        settled = time.time_ns() - changed_ns > _SETTLED_NS
        if _identity(path) == before:
            entry = {str(path.absolute()): before | {"digests": digests}}
            with self._lock:
                self._this_run |= entry
            if settled:
                self._store(files=entry)
        return digests

    def remember_file(self, path: Path, digests: Mapping[str, str]) -> None:
        """Note the digests of a file that this process has just written and nobody else writes."""
        entry = {str(path.absolute()): _identity(path) | {"digests": dict(digests)}}
        with self._lock:
            self._this_run |= entry
        self._store(files=entry)

    def of_url(self, url: str) -> Digest | None:
        """Return the digest the file at `url` had when it was downloaded and verified, if it was."""
        with self._lock:
            self._load()
            value = self._urls.get(url, "")
        try:
            return digest_of_hex(value)
        except ValueError:
            return None

    def remember_url(self, url: str, digest: Digest) -> None:
        """Note the digest of the verified download from `url`, which must hold no password."""
        if self.of_url(url) != digest:
            self._store(urls={url: digest.hex})

    def _known(self, path: Path) -> dict[str, str]:
        with self._lock:
            self._load()
            name = str(path.absolute())
            entry = self._this_run.get(name) or self._files.get(name, {})
        if any(entry.get(key) != value for key, value in _identity(path).items()):
            return {}
        return dict(entry["digests"])

    def _load(self) -> None:
        if not self._loaded:
            self._files, self._urls = self._read()
            self._loaded = True

    def _read(self) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        try:
            content = json.loads(self.file.read_bytes())
            files = {
                path: entry
                for path, entry in content["files"].items()
                if all(isinstance(value, str) for value in entry["digests"].values())
            }
            return files, {url: str(value) for url, value in content["urls"].items()}
        except FileNotFoundError:
            return {}, {}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}, {}  # broken or written by another version: as good as none

    def _store(
        self, files: Mapping[str, dict[str, Any]] | None = None, urls: Mapping[str, str] | None = None
    ) -> None:
        # What another process noted meanwhile is kept: read, merge and write under one lock.
        with self._lock, locked(self.file.with_suffix(".lock")):
            self._files, self._urls = self._read()
            self._loaded = True
            self._files |= files or {}
            self._urls |= urls or {}
            self._files = {path: entry for path, entry in self._files.items() if Path(path).exists()}
            content = json.dumps({"files": self._files, "urls": self._urls}, indent=1)
            write_whole(self.file, content.encode())


def _identity(path: Path) -> dict[str, int]:
    status = path.stat()
    return {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }
