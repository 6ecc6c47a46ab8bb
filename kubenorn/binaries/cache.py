"""The cache folder on the controller: downloads, unpacked binaries and their compressed forms.

    downloads/ALGORITHM-HEX/NAME   what came from a mirror, by the digest it was verified against
    unpacked/ALGORITHM-HEX/NAME    binaries out of an archive, by the archive's digest
    compressed/SHA256-LEVEL.zst    what is pushed, by the digest of the binary
    digests.json                   DigestMemory
    locks/                         one lock file for each file above while somebody makes it

Beside each file stands its own digest, NAME.sha256. A file is used only if it has that digest, so whatever
a crash, a full disk or a hand left in the folder is made again instead of being used.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from kubenorn.binaries.checksums import Digest, parse_beside
from kubenorn.binaries.digests import DigestMemory, Hashes
from kubenorn.binaries.files import locked, rename_durably, write_whole
from kubenorn.errors import InputWrongError

ENVIRONMENT_VARIABLE: Final = "KUBENORN_CACHE"


def default_cache() -> Path:
    """Return the folder named by KUBENORN_CACHE, or else `~/.cache/kubenorn`; it need not exist."""
    named = os.environ.get(ENVIRONMENT_VARIABLE, "")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "kubenorn"


class HashingWriter:
    """A file being written whose digests are taken on the way."""

    def __init__(self, handle: BinaryIO, hashes: Hashes) -> None:
        self._handle = handle
        self._hashes = hashes

    def write(self, chunk: bytes) -> int:
        """Write and hash the bytes; return how many."""
        self._hashes.update(chunk)
        return self._handle.write(chunk)

    def flush(self) -> None:
        """Hand on what is held back."""
        self._handle.flush()

    def hex(self) -> dict[str, str]:
        """Return the digests of what was written so far, by algorithm."""
        return self._hashes.hex()


class Cache:
    """One cache folder. Several processes and threads may use it at once."""

    def __init__(self, root: Path) -> None:
        """Take the folder `root`, making it if need be.

        Raises InputWrongError when it cannot be used, or when anybody may write to it: the remembered
        digests in it are trusted.
        """
        self.root = root.expanduser().absolute()
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            mode = self.root.stat().st_mode
        except OSError as error:
            raise InputWrongError(
                f"the cache folder {self.root} cannot be made ({error.strerror}): "
                f"name another with {ENVIRONMENT_VARIABLE}"
            ) from None
        if mode & stat.S_IWOTH:
            raise InputWrongError(
                f"anybody may write to the cache folder {self.root}: `chmod o-w` it after emptying it, "
                f"or name another with {ENVIRONMENT_VARIABLE}"
            )
        self.digests = DigestMemory(self.root / "digests.json")

    def downloaded(self, digest: Digest, name: str) -> Path:
        """Return where the download `name` with that digest is kept."""
        return self.root / "downloads" / f"{digest.algorithm}-{digest.hex}" / name

    def unpacked(self, archive: Digest, name: str) -> Path:
        """Return where the binary `name` out of the archive with that digest is kept."""
        return self.root / "unpacked" / f"{archive.algorithm}-{archive.hex}" / name

    def compressed(self, name: str) -> Path:
        """Return where the compressed form called `name` is kept."""
        return self.root / "compressed" / name

    def lock(self, path: Path) -> AbstractContextManager[None]:
        """Return the lock to hold while `path`, one of the above or its folder, is looked for and made."""
        name = str(path.relative_to(self.root)).replace(os.sep, "_")
        return locked(self.root / "locks" / name)

    def sha256(self, path: Path) -> str | None:
        """Return the sha256 (hex) of the finished file `path`, or None if it is missing or damaged."""
        try:
            written = _digest_file(path).read_text(encoding="utf-8")
            expected = parse_beside(written, file=str(path), name=path.name)
            actual = self.digests.of_file(path)["sha256"]
        except (OSError, UnicodeDecodeError, InputWrongError):
            return None
        return actual if actual == expected.hex else None

    def part(self, path: Path) -> Path:
        """Return where `path` is written until it is finished; make its folder."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path.with_name(f"{path.name}.part")

    def finish(self, path: Path, digests: Mapping[str, str]) -> None:
        """Turn the written part of `path` into the finished file with those digests (sha256 among them).

        The caller holds the lock. The digest comes first: with the file alone nothing could be verified.
        """
        write_whole(_digest_file(path), f"{digests['sha256']}\n".encode())
        rename_durably(self.part(path), path)
        self.digests.remember_file(path, digests)

    @contextmanager
    def writing(self, path: Path, algorithms: Iterable[str] = ("sha256",)) -> Iterator[HashingWriter]:
        """Give a writer for `path`, which is finished when the block ends and not touched when it raises.

        The caller holds the lock.
        """
        part = self.part(path)
        try:
            with part.open("wb") as handle:
                writer = HashingWriter(handle, Hashes(algorithms))
                yield writer
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self.finish(path, writer.hex())


def _digest_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
