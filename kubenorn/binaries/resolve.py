"""The way from settings to verified binaries on the controller."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from kubenorn.binaries.address import Mirror, masked
from kubenorn.binaries.archive import unpack
from kubenorn.binaries.cache import Cache, default_cache
from kubenorn.binaries.inspect import Found, inspect_binary
from kubenorn.binaries.layout import Wanted
from kubenorn.binaries.local import LocalArchive, LocalFolder
from kubenorn.binaries.source import (
    BinarySource,
    LocalBinary,
    NotThereError,
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
    report = Reporter(progress)
    with ThreadPoolExecutor(_THREADS) as pool, ExitStack() as opened:
        run = _Run(source, Pins.of(source), Cache(cache or default_cache()), report, pool, opened)
        try:
            return run.resolve(wishes)
        except BaseException:
            report.cancelled.set()  # so that an interrupted run does not wait for its downloads
            raise


@dataclass
class _Run:
    source: BinarySource
    pins: Pins
    cache: Cache
    report: Reporter
    pool: ThreadPoolExecutor
    opened: ExitStack
    problems: list[str] = field(default_factory=list)

    def resolve(self, wishes: list[Wanted]) -> dict[str, LocalBinary]:
        settings = dict.fromkeys(self._setting(wanted) for wanted in wishes)
        origins = dict(self._each(lambda name: (name, self._origin(name)), settings))
        # A wish whose source is wrong is left out: the source is among the problems already.
        sourced = [wanted for wanted in wishes if self._setting(wanted) in origins]
        located = self._each(lambda wanted: self._locate(wanted, origins[self._setting(wanted)]), sourced)
        batches: dict[tuple[str, bool], list[Found]] = {}
        for found in located:
            batches.setdefault((found.location.artifact.shown, found.wanted.is_etcd), []).append(found)
        fetched = self._each(self._fetch, batches.values())
        binaries = self._each(self._inspect, [pair for batch in fetched for pair in batch])
        if self.problems:
            raise InputWrongError.of(list(dict.fromkeys(self.problems)))
        return {binary.name: binary for binary in binaries}

    def _setting(self, wanted: Wanted) -> str:
        return "etcd_source" if wanted.is_etcd and self.source.etcd_source else "source"

    def _origin(self, setting: str) -> Origin:
        """Return the source that the setting names; raise InputWrongError when it is none."""
        key = f"{self.source.key}.{setting}"
        value = (self.source.etcd_source if setting == "etcd_source" else self.source.source) or ""
        if value.lower().startswith(("http://", "https://")):
            return self._mirror(value, key)
        path, shown = Path(value).expanduser(), f"{key}: {masked(value) if '://' in value else value!r}"
        if value and path.is_dir():
            return LocalFolder(path.absolute(), shown, self.pins, self.cache.digests)
        if value and path.is_file():
            return LocalArchive(path.absolute(), shown, self.pins, self.cache.digests)
        raise InputWrongError(
            f"{shown} is no file and no folder here: name a folder, a release archive or a mirror's URL"
        )

    def _mirror(self, value: str, key: str) -> Origin:
        # httpx takes a tenth of a second to import: who has the binaries in a folder does not wait for it.
        from kubenorn.binaries.connection import Connection  # noqa: PLC0415  # see above
        from kubenorn.binaries.mirror import MirrorOrigin  # noqa: PLC0415  # see above

        connection = Connection(Mirror.of(value, key), key, self.source.ca_file, self.report)
        self.opened.callback(connection.close)
        return MirrorOrigin(connection, f"{key}: {connection.mirror.shown}", self.pins, self.cache)

    def _locate(self, wanted: Wanted, origin: Origin) -> Found:
        try:
            return Found(wanted, origin, origin.locate(wanted))
        except InputWrongError as error:
            raise InputWrongError(f"{error}{self._etcd_remedy(wanted, error)}") from None

    def _fetch(self, batch: list[Found]) -> list[tuple[Found, Path]]:
        """Return the files of binaries that are one artifact or come out of one archive."""
        first, artifact = batch[0], batch[0].location.artifact
        members = {found.wanted.name: found.location.member for found in batch if found.location.member}
        try:
            paths = unpack(self.cache, artifact, members, self.report) if members else {}
            return [(found, paths.get(found.wanted.name) or artifact.fetch()) for found in batch]
        except InputWrongError as error:
            remedy = self._etcd_remedy(first.wanted, error)
            raise InputWrongError(f"{error} ({first.origin.shown}){remedy}") from None

    def _inspect(self, pair: tuple[Found, Path]) -> LocalBinary:
        return inspect_binary(*pair, self.pins, self.cache.digests)

    def _etcd_remedy(self, wanted: Wanted, error: InputWrongError) -> str:
        if not isinstance(error, NotThereError) or not wanted.is_etcd or self.source.etcd_source:
            return ""
        return f"; etcd has releases of its own, {self.source.key}.etcd_source may name another place"

    def _each(self, function: Callable[[_Item], _Answer], items: Iterable[_Item]) -> list[_Answer]:
        """Return what the function returns for each item, in parallel; note what is wrong as problems."""
        answers = []
        for future in [self.pool.submit(function, item) for item in items]:
            try:
                answers.append(future.result())
            except InputWrongError as error:
                self.problems.append(str(error))
            except OSError as error:
                self.problems.append(
                    f"{error.filename or self.cache.root}: {error.strerror or error}: see to it and run again"
                )
        return answers
