"""Binaries out of release archives."""

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kubenorn.binaries.cache import Cache
from kubenorn.binaries.elf import kind_of
from kubenorn.binaries.source import Artifact, NotThereError, Reporter
from kubenorn.errors import InputWrongError

_CHUNK_BYTES: Final = 1 << 20
_MEMBER_LIMIT_BYTES: Final = 2 << 30  # the largest real one has 0.2 GB; a bomb must not fill the disk


def unpack(cache: Cache, artifact: Artifact, members: Mapping[str, str], report: Reporter) -> dict[str, Path]:
    """Return where the binaries (name → member of the archive) lie unpacked in the cache.

    The archive is fetched and read only if one of them is not there yet. Raises InputWrongError when the
    archive is not what its checksum says, cannot be read, or lacks a member as a regular file.
    """
    digest = artifact.digest()
    paths = {name: cache.unpacked(digest, name) for name in members}
    with cache.lock(next(iter(paths.values())).parent):
        missing = {members[name]: path for name, path in paths.items() if cache.sha256(path) is None}
        if missing:
            archive = artifact.fetch()
            try:
                absent = _extract(cache, archive, dict(missing), report)
            except (tarfile.TarError, EOFError, zlib.error) as error:
                raise InputWrongError(_unreadable(artifact.shown, archive, error)) from None
            if absent:
                raise NotThereError(
                    f"{artifact.shown} has no regular file {', '.join(absent)}: "
                    "take the release archive of the wanted version and architecture"
                )
    return paths


def _extract(cache: Cache, archive: Path, missing: dict[str, Path], report: Reporter) -> list[str]:
    """Write the missing members to their paths in one pass; return the names of those not found."""
    # "r|" reads forward only: the archive is decompressed once and no further than the last wanted member.
    with tarfile.open(archive, mode="r|*") as tar:
        for member in tar:
            path = missing.get(member.name.removeprefix("./"))
            if path is None or not member.isreg():
                continue
            _write_member(cache, tar, member, path, report)
            del missing[member.name.removeprefix("./")]
            if not missing:
                break
    return sorted(missing)


def _write_member(
    cache: Cache, tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, report: Reporter
) -> None:
    # The name was compared whole and the content goes to a path of our own; the filter is a second lock on
    # the same door (absolute names, "..", devices), as PEP 706 wants it for any archive.
    safe = tarfile.data_filter(member, str(path.parent))
    if safe.size > _MEMBER_LIMIT_BYTES:
        raise tarfile.ReadError(f"member {member.name} says it has {safe.size} bytes")
    content = tar.extractfile(member)
    if content is None:
        raise tarfile.ReadError(f"member {member.name} has no content")
    with cache.writing(path) as writer:
        done = 0
        while chunk := content.read(_CHUNK_BYTES):
            done += writer.write(chunk)
            report(path.name, done, safe.size)
        if done != safe.size:
            raise tarfile.ReadError(f"member {member.name} is cut off after {done} bytes")


def _unreadable(shown: str, archive: Path, error: Exception) -> str:
    with archive.open("rb") as handle:
        kind = kind_of(handle.read(512))
    return f"{shown} is {kind} and cannot be unpacked ({error}): fetch the release archive again"
