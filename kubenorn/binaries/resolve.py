"""The way from settings to verified binaries on the controller."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from kubenorn.binaries.archive import unpack
from kubenorn.binaries.cache import Cache, default_cache
from kubenorn.binaries.elf import NotLinuxExecutableError, arch_of_file
from kubenorn.binaries.layout import Wanted
from kubenorn.binaries.local import LocalArchive, LocalFolder
from kubenorn.binaries.source import (
    Artifact,
    BinarySource,
    LocalBinary,
    Location,
    Origin,
    Pins,
    Progress,
    Reporter,
)
from kubenorn.errors import InputWrongError

_THREADS: Final = 4  # hashing and TLS leave the interpreter's lock; a mirror is not hit by more than this

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


def resolve_binaries(
    wanted: Mapping[str, str],
    source: BinarySource,
    arch: str,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, LocalBinary]:
    """Return every wanted binary (name → version, `1.20.2` or `v1.20.2`), verified, for machines of `arch`.

    Nothing is read or fetched a second time while the files have not changed. `cache` is the cache folder,
    by default `default_cache()`. `progress` is called from several threads. Raises one InputWrongError that
    names every problem: what is missing, lacks a checksum, differs from it or is for another machine.
    """
    wishes = [Wanted(name, version.removeprefix("v"), arch) for name, version in wanted.items()]
    run = _Run(source, Cache(cache or default_cache()), Reporter(progress))
    with ThreadPoolExecutor(_THREADS) as pool:
        run.pool = pool
        try:
            return run.resolve(wishes)
        except BaseException:
            run.report.cancelled.set()  # so that an interrupted run does not wait for its downloads
            raise


@dataclass
class _Wish:
    """A binary and where it is."""

    wanted: Wanted
    origin: Origin
    location: Location


@dataclass
class _Run:
    source: BinarySource
    cache: Cache
    report: Reporter
    pool: ThreadPoolExecutor = field(init=False)
    problems: list[str] = field(default_factory=list)

    def resolve(self, wishes: list[Wanted]) -> dict[str, LocalBinary]:
        self.pins = Pins.of(self.source)
        origins = self._origins(wishes)
        located = self._each(lambda one: self._locate(one, origins), wishes)
        batches: dict[tuple[str, bool], list[_Wish]] = {}
        for wish in located:
            batches.setdefault((wish.location.artifact.shown, wish.wanted.is_etcd), []).append(wish)
        fetched = self._each(self._fetch, batches.values())
        pairs = [pair for batch in fetched for pair in batch]
        binaries = self._each(self._look_at, pairs)
        if self.problems:
            raise InputWrongError.of(list(dict.fromkeys(self.problems)))
        return {binary.name: binary for binary in binaries}

    def _origins(self, wishes: list[Wanted]) -> dict[str, Origin]:
        """Return the sources in use by their setting; remember those that are none as problems."""
        settings = dict.fromkeys(self._setting(one) for one in wishes)
        return dict(self._each(lambda name: (name, self._origin(name)), settings))

    def _setting(self, wanted: Wanted) -> str:
        return "etcd_source" if wanted.is_etcd and self.source.etcd_source else "source"

    def _origin(self, setting: str) -> Origin:
        value = self.source.etcd_source if setting == "etcd_source" else self.source.source
        return origin_of(value or "", f"{self.source.key}.{setting}", self.pins, self.cache)

    def _locate(self, wanted: Wanted, origins: Mapping[str, Origin]) -> _Wish | None:
        origin = origins.get(self._setting(wanted))
        if origin is None:
            return None  # its source is among the problems already
        try:
            return _Wish(wanted, origin, origin.locate(wanted))
        except InputWrongError as error:
            raise InputWrongError(f"{error}{self._etcd_remedy(wanted)}") from None

    def _fetch(self, batch: list[_Wish]) -> list[tuple[_Wish, Path]]:
        """Return the files of binaries that are one artifact or come out of one archive."""
        artifact: Artifact = batch[0].location.artifact
        members = {wish.wanted.name: wish.location.member for wish in batch if wish.location.member}
        try:
            paths = unpack(self.cache, artifact, members, self.report) if members else {}
            return [(wish, paths.get(wish.wanted.name) or artifact.fetch()) for wish in batch]
        except InputWrongError as error:
            first = batch[0]
            raise InputWrongError(
                f"{error} ({first.origin.shown}){self._etcd_remedy(first.wanted)}"
            ) from None

    def _look_at(self, pair: tuple[_Wish, Path]) -> LocalBinary:
        """Return what the verified file is; raise InputWrongError when it is for another machine."""
        wish, path = pair
        wanted, where = wish.wanted, f"{wish.location.artifact.shown} ({wish.origin.shown})"
        pinned = self.pins.find(wish.location.member or wanted.name) if wish.location.member else None
        if pinned is not None:
            actual = self.cache.digests.of_file(path, {pinned.digest.algorithm})[pinned.digest.algorithm]
            if actual != pinned.digest.hex:
                raise InputWrongError(pinned.mismatch(f"{wanted.name} in {where}", actual))
        try:
            arch = arch_of_file(path)
        except NotLinuxExecutableError as error:
            raise InputWrongError(f"{wanted.name} from {where}: {error}: put the real binary there") from None
        if arch != wanted.arch:
            raise InputWrongError(
                f"{wanted.name} from {where} is made for {arch}, the hosts are {wanted.arch}: "
                f"take the files for linux-{wanted.arch}"
            )
        sha256 = self.cache.digests.of_file(path)["sha256"]
        return LocalBinary(wanted.name, path, sha256, path.stat().st_size, arch)

    def _etcd_remedy(self, wanted: Wanted) -> str:
        if not wanted.is_etcd or self.source.etcd_source:
            return ""
        return f"; etcd has releases of its own, {self.source.key}.etcd_source may name another place"

    def _each(self, function: Callable[[_Item], _Answer | None], items: Iterable[_Item]) -> list[_Answer]:
        """Return what the function returns for each item, in parallel; note what is wrong as problems."""
        answers = []
        for future in [self.pool.submit(function, item) for item in items]:
            try:
                answer = future.result()
            except InputWrongError as error:
                self.problems.append(str(error))
            except OSError as error:
                self.problems.append(
                    f"{error.filename or self.cache.root}: {error.strerror or error}: see to it and run again"
                )
            else:
                if answer is not None:
                    answers.append(answer)
        return answers


def origin_of(value: str, key: str, pins: Pins, cache: Cache) -> Origin:
    """Return the source that the setting `key` names; raise InputWrongError when it is none."""
    path = Path(value).expanduser()
    shown = f"{key}: {path}"
    if path.is_dir():
        return LocalFolder(path.absolute(), shown, pins, cache.digests)
    if path.is_file():
        return LocalArchive(path.absolute(), shown, pins, cache.digests)
    raise InputWrongError(
        f"{shown} is no file and no folder: name a folder, a release archive or a mirror's URL"
    )
