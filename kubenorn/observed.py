"""The observed state of one host: what its probe answered, parsed into types."""

import base64
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface
from pathlib import PurePosixPath
from typing import Any

from kubenorn.errors import HostsWrongError
from kubenorn.records import ListeningSocket, UnitState, parse_listener, parse_units, records


@dataclass(frozen=True)
class ObservedFile:
    """A file on the host. `text` is there for files that are not secret."""

    mode: int
    owner: str
    group: str
    size: int
    modified: datetime
    sha256: str | None
    kind: str
    text: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ObservedDirectory:
    """Mode and owner of a directory."""

    mode: int
    owner: str
    group: str


@dataclass(frozen=True)
class ObservedObjects:
    """API objects of the project in the cluster, where the API answered."""

    bindings: dict[str, dict[str, Any]]
    token_sha256: str | None = None


@dataclass(frozen=True)
class ObservedHost:
    """Everything the probe saw."""

    machine: str
    hostname: str
    kernel: str
    clock: datetime
    init: str | None
    """Name of PID 1 where systemd runs the host; None where it does not."""
    system: str
    programs: frozenset[str]
    users: frozenset[str]
    addresses: tuple[tuple[str, IPv4Interface], ...]
    """Interface name and address with its network."""
    disks: dict[str, int]
    """Free bytes by mount point."""
    directories: dict[PurePosixPath, ObservedDirectory]
    files: dict[PurePosixPath, ObservedFile]
    units: Mapping[str, UnitState]
    listeners: tuple[ListeningSocket, ...]
    objects: ObservedObjects | None

    @property
    def package_manager(self) -> str | None:
        """The package manager to install with: apt-get, dnf or yum."""
        return next((p for p in ("apt-get", "dnf", "yum") if p in self.programs), None)

    def interface_of(self, address: IPv4Address) -> str | None:
        """Return the interface that carries `address`, or None."""
        return next((name for name, interface in self.addresses if interface.ip == address), None)


_NONSENSE = (
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError),
    *(tarfile.TarError, EOFError, zlib.error),  # of the packed texts
)


def parse_probe(output: str) -> ObservedHost:
    """Return what a probe printed. Raises HostsWrongError when it did not run to its end, or makes no sense."""
    try:
        return _parse(output)
    except _NONSENSE as error:
        raise HostsWrongError(
            f"the probe's answer makes no sense ({type(error).__name__}); run again with --verbose to see it"
        ) from error


def _parse(output: str) -> ObservedHost:
    single: dict[str, list[str]] = {}
    unit_lines: list[str] = []
    groups: dict[str, list[list[str]]] = {}
    for kind, *fields in records(output):
        if kind == "unit":
            unit_lines.append(fields[0] if fields else "")
        elif kind in {"machine", "clock", "systemd", "system", "bindings", "token", "end", "probe"}:
            single[kind] = fields
        else:
            groups.setdefault(kind, []).append(fields)
    if single.get("probe") != ["1"] or "end" not in single:
        raise HostsWrongError("the probe did not run to its end; run again with --verbose to see its output")
    listeners = [parse_listener(tool, text) for tool in ("netstat", "ss") for (text,) in groups.get(tool, [])]
    return ObservedHost(
        machine=single["machine"][0],
        hostname=single["machine"][1],
        kernel=single["machine"][2],
        clock=datetime.fromtimestamp(float(single["clock"][0]), UTC),
        init=single["systemd"][0] if "systemd" in single else None,
        system=" ".join(single.get("system", ["unknown"])).strip(),
        programs=frozenset(name for (name,) in groups.get("program", [])),
        users=frozenset(name for (name,) in groups.get("user", [])),
        addresses=tuple((name, IPv4Interface(value)) for name, value in groups.get("address", [])),
        disks={mount: int(free) * 1024 for mount, free in groups.get("disk", []) if free.isdigit()},
        directories={
            PurePosixPath(path): ObservedDirectory(int(mode, 8), owner, group)
            for mode, owner, group, path in groups.get("directory", [])
        },
        files=_files(groups),
        units=parse_units(unit_lines),
        listeners=tuple(listener for listener in listeners if listener),
        objects=_objects(single),
    )


def _files(groups: dict[str, list[list[str]]]) -> dict[PurePosixPath, ObservedFile]:
    digests = {path: digest for digest, path in groups.get("sha256", [])}
    texts = dict(_texts(groups))
    return {
        PurePosixPath(path): ObservedFile(
            mode=int(mode, 8),
            owner=owner,
            group=group,
            size=int(size),
            modified=datetime.fromtimestamp(float(modified), UTC),
            sha256=digests.get(path),
            kind=kind,
            text=texts.get(path),
        )
        for mode, owner, group, size, modified, kind, path in groups.get("file", [])
    }


def _texts(groups: dict[str, list[list[str]]]) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file in the tar archives that the probe packed."""
    for (packed,) in groups.get("texts", []):
        if not packed:  # without tar or gzip, which preflight tells
            continue
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed)), mode="r:gz") as archive:
            for member in archive:
                if content := archive.extractfile(member):
                    yield member.name, content.read()


def _objects(single: dict[str, list[str]]) -> ObservedObjects | None:
    if "bindings" not in single:
        return None
    items = json.loads(base64.b64decode(single["bindings"][0])).get("items") or []
    return ObservedObjects(
        bindings={item["metadata"]["name"]: item for item in items},
        token_sha256=single["token"][0] if "token" in single else None,
    )
