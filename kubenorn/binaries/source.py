"""The settings that say where the binaries come from, and what is found out about each binary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Protocol

from kubenorn.binaries.checksums import Digest, Expected, parse_setting
from kubenorn.binaries.layout import Wanted
from kubenorn.errors import InputWrongError
from kubenorn.settings import BinarySettings

Progress = Callable[[str, int, int | None], None]
"""Told `(name, done_bytes, total_bytes or None)` of a file on its way, from several threads."""


@dataclass(frozen=True)
class LocalBinary:
    """A verified binary on the controller."""

    name: str
    path: Path
    sha256: str
    """Of its content, in lower-case hexadecimal digits."""
    size: int
    """In bytes."""
    arch: str
    """Kubernetes' name of the machine it is made for, read from the file itself."""


class NotThereError(InputWrongError):
    """A source does not have a binary."""


@dataclass(frozen=True)
class BinarySource:
    """Where the binaries come from, as settings say it under `key`.

    A source is a folder, a release archive (`….tar.gz`) or the http(s) address of a mirror. A relative path
    is relative to the working folder. An address may hold `user:password@`: it is never shown, so it is
    left out of the repr as well.
    """

    source: str = field(repr=False)
    etcd_source: str | None = field(default=None, repr=False)
    """Where etcd's binaries come from, if elsewhere."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """`sha256:HEX` or `sha512:HEX` by name of a binary or archive, or by the end of its path
    (`arm64/kubectl`). Stronger than what stands beside the file."""
    ca_file: Path | None = None
    """PEM file with the authority of a private mirror, trusted beside the system's."""
    key: str = "cluster.binaries"
    """How these settings are called in errors."""

    @classmethod
    def of(cls, settings: BinarySettings) -> "BinarySource":
        """Return the source that a cluster's settings name."""
        return cls(settings.source, settings.etcd_source, settings.checksums, settings.ca_file)

    @property
    def is_remote(self) -> bool:
        """Whether a mirror has to be asked."""
        places = (self.source, self.etcd_source or "")
        return any(place.lower().startswith(("http://", "https://")) for place in places)


@dataclass(frozen=True)
class Pins:
    """The checksums out of the settings."""

    digests: Mapping[str, Digest]
    key: str

    @classmethod
    def of(cls, source: BinarySource) -> "Pins":
        """Return the checksums of the settings; raise InputWrongError naming every one that is none."""
        digests, problems = {}, []
        for name, text in source.checksums.items():
            try:
                digests[name] = parse_setting(text, key=f"{source.key}.checksums.{name}")
            except InputWrongError as error:
                problems.append(str(error))
        if problems:
            raise InputWrongError.of(problems)
        return cls(digests, f"{source.key}.checksums")

    def find(self, path: str) -> Expected | None:
        """Return what the settings say of the file at `path`: of the longest end of it that is a key."""
        parts = PurePosixPath(path).parts
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            if name in self.digests:
                return Expected(self.digests[name], f"{self.key}.{name}")
        return None


class CancelledError(Exception):
    """Work in another thread stopped because the run was interrupted."""


@dataclass(frozen=True)
class Reporter:
    """Passes progress on, and is where long work notices that the run was interrupted."""

    progress: Progress | None = None
    cancelled: Event = field(default_factory=Event)

    def __call__(self, name: str, done_bytes: int, total_bytes: int | None) -> None:
        """Tell the operator; raise CancelledError when the run was interrupted."""
        if self.cancelled.is_set():
            raise CancelledError
        if self.progress is not None:
            self.progress(name, done_bytes, total_bytes)


class Artifact(Protocol):
    """A file of a source: a binary or an archive of binaries, fetched when it is needed."""

    @property
    def shown(self) -> str:
        """What it is called in errors."""

    def digest(self) -> Digest:
        """Return the digest it has or, before it was fetched, must have."""

    def fetch(self) -> Path:
        """Return the verified file on the controller; raise InputWrongError if there is none."""


@dataclass(frozen=True)
class Location:
    """The file of a source that is or holds a wanted binary; in an archive, the member it is."""

    artifact: Artifact
    member: str | None = None


class Origin(Protocol):
    """One source: a folder, an archive or a mirror."""

    @property
    def shown(self) -> str:
        """Setting and value, for errors, without a password."""

    def locate(self, wanted: Wanted) -> Location:
        """Return where the binary is; raise InputWrongError if it is missing or nothing vouches for it."""
