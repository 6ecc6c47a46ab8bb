"""Binaries and release archives on a mirror with the layout of the official download sites."""

import threading
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from kubenorn.binaries.cache import Cache
from kubenorn.binaries.checksums import LISTS, SUFFIXES, Digest, Expected, parse_beside, parse_list
from kubenorn.binaries.connection import Connection
from kubenorn.binaries.download import download, fetch_text, status_of
from kubenorn.binaries.layout import Place, Wanted
from kubenorn.binaries.source import Location, NotThereError, Pins
from kubenorn.errors import InputWrongError

_NO_HEAD: Final = (405, 501)  # the mirror cannot tell without sending the file


@dataclass(frozen=True)
class RemoteFile:
    """A file on a mirror and the digest it must have."""

    connection: Connection
    path: str
    expected: Expected
    cache: Cache

    @property
    def shown(self) -> str:
        """Its address as it may be shown."""
        return self.connection.shown(self.path)

    def digest(self) -> Digest:
        """Return the digest it must have."""
        return self.expected.digest

    def fetch(self) -> Path:
        """Return the verified file in the cache; download it if it is not there yet.

        A second process that wants the same file waits and then finds it. Raises InputWrongError when it
        cannot be had or is another file.
        """
        final = self.cache.downloaded(self.digest(), PurePosixPath(self.path).name)
        with self.cache.lock(final):
            if self.cache.sha256(final) is None:
                digests = download(self.connection, self.path, self.cache.part(final), self.expected)
                self.cache.finish(final, digests)
        self.cache.digests.remember_url(self.connection.mirror.url(self.path), self.digest())
        return final


@dataclass(frozen=True)
class MirrorOrigin:
    """A source that is a mirror.

    A file under a versioned address never changes, so one that was verified once is taken from the cache
    without a word to the mirror.
    """

    connection: Connection
    shown: str
    pins: Pins
    cache: Cache
    _texts: dict[str, str | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def locate(self, wanted: Wanted) -> Location:
        """Return the file on the mirror that is or holds the binary, with the digest it must have.

        Raises InputWrongError when there is none, or no checksum of it.
        """
        places = wanted.places_on_mirror()
        for place in places:
            if expected := self._in_cache(place, wanted.name):
                return self._location(place, expected)
        for place in places:
            if expected := self._on_mirror(place):
                return self._location(place, expected)
        raise self._nowhere(wanted, places)

    def _location(self, place: Place, expected: Expected) -> Location:
        return Location(RemoteFile(self.connection, place.path, expected, self.cache), place.member)

    def _in_cache(self, place: Place, binary: str) -> Expected | None:
        """Return the digest under which the cache has the file, or the binary out of it, already."""
        address = self.connection.mirror.url(place.path)
        pinned = self.pins.find(place.path)
        digest = pinned.digest if pinned else self.cache.digests.of_url(address)
        if digest is None:
            return None
        kept = [self.cache.downloaded(digest, PurePosixPath(place.path).name)]
        if place.member is not None:
            kept.append(self.cache.unpacked(digest, binary))
        if all(self.cache.sha256(path) is None for path in kept):
            return None
        return pinned or Expected(
            digest, f"the checksum verified when {self.connection.shown(place.path)} was fetched"
        )

    def _on_mirror(self, place: Place) -> Expected | None:
        """Return the digest that settings or a checksum file on the mirror tell."""
        pinned = self.pins.find(place.path)
        if pinned is not None:
            return pinned if self._has(place) else None
        name = PurePosixPath(place.path).name
        for suffix in SUFFIXES:
            text = self._text(f"{place.path}{suffix}")
            if text is not None:
                shown = self.connection.shown(f"{place.path}{suffix}")
                return Expected(parse_beside(text, file=shown, name=name), shown)
        for file in LISTS:
            path = str(PurePosixPath(place.path).with_name(file))
            text = self._text(path)
            digest = (
                parse_list(text, file=self.connection.shown(path)).get(name) if text is not None else None
            )
            if digest is not None:
                return Expected(digest, self.connection.shown(path))
        return None

    def _has(self, place: Place) -> bool:
        status = status_of(self.connection, place.path)
        return status < 400 or status in _NO_HEAD

    def _text(self, path: str) -> str | None:
        with self._lock:
            if path in self._texts:
                return self._texts[path]
        text = fetch_text(self.connection, path)
        with self._lock:
            self._texts[path] = text
        return text

    def _nowhere(self, wanted: Wanted, places: list[Place]) -> InputWrongError:
        present = [place.path for place in places if self._has(place)]
        if not present:
            tried = " and ".join(self.connection.shown(place.path) for place in places)
            return NotThereError(
                f"{wanted} is not on the mirror ({self.shown}; tried {tried}): look at version and address"
            )
        name = PurePosixPath(present[0]).name
        return InputWrongError(
            f"no checksum vouches for {self.connection.shown(present[0])}: the mirror has neither "
            f"{name}.sha512 nor {name}.sha256 nor a SHA256SUMS that lists it beside it: add one, "
            f"or write sha256:HEX under {self.pins.key}.{name}"
        )
