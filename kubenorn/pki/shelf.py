"""The cluster's folder as the PKI sees it: reading, writing (or, in a dry run, not), and what is there."""

from collections.abc import Collection
from pathlib import Path

from kubenorn.files import make_private_folder, read_if_exists, remove_leftovers, write_atomically

PKI = "pki"
HOSTS = "hosts"
CONTROLLER = "_controller"
"""The controller's own folder under hosts/; no host can have this name, as it cannot be a DNS SAN."""


class Shelf:
    """A cluster's folder. Paths are relative to it, so that they can be shown as they are."""

    def __init__(self, folder: Path, *, dry_run: bool) -> None:
        self._folder = folder
        self._dry_run = dry_run

    def full(self, path: str) -> str:
        """Return the path as an operator would type it."""
        return str(self._folder / path)

    def read(self, path: str) -> bytes | None:
        """Return the file's content, or None when it is not there."""
        return read_if_exists(self._folder / path)

    def write(self, path: str, content: bytes) -> None:
        """Write a private file by rename; does nothing in a dry run."""
        if not self._dry_run:
            make_private_folder((self._folder / path).parent)
            write_atomically(self._folder / path, content)

    def write_pair(self, stem: str, certificate_pem: bytes, key_pem: bytes) -> None:
        """Write STEM-key.pem, then STEM.pem: no certificate is ever there whose key was never written."""
        self.write(f"{stem}-key.pem", key_pem)
        self.write(f"{stem}.pem", certificate_pem)

    def issued(self, names: Collection[str] | None = None) -> str | None:
        """Return one file under hosts/ of a certificate called one of `names` (None: any), or None."""
        for path in sorted((self._folder / HOSTS).glob("*/*.pem")):
            if names is None or path.name.removesuffix(".pem").removesuffix("-key") in names:
                return str(path)
        return None

    def clean(self) -> None:
        """Remove temporary files of a run that was killed; the caller holds the lock."""
        for folder in (self._folder / PKI, *(self._folder / HOSTS).glob("*")):
            remove_leftovers(folder)
