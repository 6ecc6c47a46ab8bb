"""The compressed form of a binary that is pushed to the hosts: made once for all hosts and all runs."""

import gzip
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, cast

import zstandard

from kubenorn.binaries.cache import Cache, HashingWriter, default_cache
from kubenorn.binaries.digests import Hashes
from kubenorn.binaries.source import LocalBinary
from kubenorn.errors import InputWrongError

Method = Literal["zstd", "gzip"]

_CHUNK_BYTES: Final = 1 << 20
_ENDINGS: Final = {"zstd": "zst", "gzip": "gz"}


@dataclass(frozen=True)
class CompressedBinary:
    """A binary as it is pushed."""

    binary: LocalBinary
    method: Method
    path: Path
    size: int
    """In bytes, compressed."""


def compress_binary(
    binary: LocalBinary, cache: Path | None = None, *, method: Method = "zstd", level: int = 1
) -> CompressedBinary:
    """Return the compressed form of the binary from the cache folder; make it if it is not there yet.

    gzip is for hosts without zstd. Level 1 is the fastest; zstd's higher ones up to 3 are for slow links.
    The host compares the digest of what it unpacked with `binary.sha256`. Raises InputWrongError when the
    binary changed since it was resolved or when one of the files cannot be read or written.
    """
    kept = Cache(cache or default_cache())
    path = kept.compressed(f"{binary.sha256}-{level}.{_ENDINGS[method]}")
    try:
        with kept.lock(path):
            if kept.sha256(path) is None:
                _make(kept, binary, path, method, level)
        return CompressedBinary(binary, method, path, path.stat().st_size)
    except OSError as error:
        raise InputWrongError(
            f"{binary.name} cannot be compressed ({error.filename or path}: {error.strerror or error}): "
            "see to it and run again"
        ) from None


def _compressor(
    method: Method, level: int, target: HashingWriter
) -> AbstractContextManager[gzip.GzipFile | zstandard.ZstdCompressionWriter]:
    if method == "gzip":
        # Neither name nor time go in, so that the same binary always gives the same bytes.
        return gzip.GzipFile("", "wb", level, fileobj=target, mtime=0)
    zstd = zstandard.ZstdCompressor(level=level, threads=-1, write_checksum=True)
    # The stubs ask for a whole file; all that is called is write().
    return zstd.stream_writer(cast(BinaryIO, target), closefd=False)


def _make(cache: Cache, binary: LocalBinary, path: Path, method: Method, level: int) -> None:
    # The compressed form is found by the binary's digest alone, so a file that is no longer that binary
    # must not get in: it is hashed on the way, which costs nothing beside compressing it.
    hashes = Hashes(["sha256"])
    with cache.writing(path) as writer:
        with binary.path.open("rb") as source, _compressor(method, level, writer) as target:
            while chunk := source.read(_CHUNK_BYTES):
                hashes.update(chunk)
                target.write(chunk)
        if hashes.hex()["sha256"] != binary.sha256:
            raise InputWrongError(f"{binary.path} changed while it was used: run again")
