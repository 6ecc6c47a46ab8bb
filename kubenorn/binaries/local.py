"""Binaries and release archives that lie in a folder on the controller."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubenorn.binaries.checksums import LISTS, SUFFIXES, Digest, Expected, parse_beside, parse_list
from kubenorn.binaries.digests import DigestMemory
from kubenorn.binaries.layout import Place, Wanted
from kubenorn.binaries.source import Location, NotThereError, Pins
from kubenorn.errors import InputWrongError


@dataclass(frozen=True)
class LocalFile:
    """A file on the controller and the digest it must have."""

    path: Path
    expected: Expected
    memory: DigestMemory

    @property
    def shown(self) -> str:
        """Its path."""
        return str(self.path)

    def digest(self) -> Digest:
        """Return its digest; raise InputWrongError when it is not the expected one."""
        digest = self.expected.digest
        actual = self.memory.of_file(self.path, {digest.algorithm})[digest.algorithm]
        if actual != digest.hex:
            raise InputWrongError(self.expected.mismatch(str(self.path), actual))
        return digest

    def fetch(self) -> Path:
        """Return its path; raise InputWrongError when its digest is not the expected one."""
        self.digest()
        return self.path


@dataclass(frozen=True)
class LocalFolder:
    """A source that is a folder: plain binaries, release archives, or a copy of a mirror."""

    root: Path
    shown: str
    pins: Pins
    memory: DigestMemory

    def locate(self, wanted: Wanted) -> Location:
        """Return the first place of the folder that has the binary, with the digest it must have."""
        for place in wanted.places_in_folder():
            if (self.root / place.path).is_file():
                return self._location(place)
        raise NotThereError(
            f"{wanted} is not in {self.shown}: put {wanted.name} or {wanted.archive} there"
            f"{self._alike(wanted)}, or name the folder that has it"
        )

    def _location(self, place: Place) -> Location:
        path = self.root / place.path
        return Location(
            LocalFile(path, expected_digest(path, self.root, self.pins), self.memory), place.member
        )

    def _alike(self, wanted: Wanted) -> str:
        pattern = "etcd-v*.tar.gz" if wanted.is_etcd else "kubernetes-server-linux-*.tar.gz"
        found = sorted(path.name for path in self.root.glob(pattern))
        return f" (there is only {', '.join(found)})" if found else ""


@dataclass(frozen=True)
class LocalArchive:
    """A source that is one release archive."""

    path: Path
    shown: str
    pins: Pins
    memory: DigestMemory

    def locate(self, wanted: Wanted) -> Location:
        """Return the archive and the member that must be in it."""
        expected = expected_digest(self.path, self.path.parent, self.pins)
        return Location(LocalFile(self.path, expected, self.memory), wanted.member)


def expected_digest(path: Path, root: Path, pins: Pins) -> Expected:
    """Return the digest the file below `root` must have: from settings, from beside it, from a list above it.

    Raises InputWrongError when nothing says it or what says it cannot be understood.
    """
    pinned = pins.find(path.relative_to(root).as_posix())
    if pinned is not None:
        return pinned
    for suffix in SUFFIXES:
        beside = path.with_name(f"{path.name}{suffix}")
        if beside.is_file():
            return Expected(parse_beside(_text(beside), file=str(beside), name=path.name), str(beside))
    lists = list(_lists(path, root))
    for file in lists:
        digest = parse_list(_text(file), file=str(file)).get(path.relative_to(file.parent).as_posix())
        if digest is not None:
            return Expected(digest, str(file))
    silent = f" ({', '.join(map(str, lists))} does not list it)" if lists else ""
    raise InputWrongError(
        f"no checksum vouches for {path}{silent}: check where the files came from, then run "
        f"`sha256sum * > SHA256SUMS` in {path.parent}, or write sha256:HEX under {pins.key}.{path.name}"
    )


def _lists(path: Path, root: Path) -> Iterator[Path]:
    """Yield the checksum lists in the file's folder and in those above it up to the root."""
    folder = path.parent
    while True:
        yield from (folder / name for name in LISTS if (folder / name).is_file())
        if folder in (root, folder.parent):
            return
        folder = folder.parent


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputWrongError(f"{path} is no text, so no checksum file: fetch it again") from None
