"""What is sent to a host to apply its plan: one tar stream with only what changed, and the script that uses it."""

import hashlib
import io
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from kubenorn.desired import ManagedBinary, ManagedFile
from kubenorn.layout import (
    CHANGE_SETS,
    DIGESTS,
    HAPROXY_CONFIGURATION,
    KEEPALIVED_CONFIGURATION,
    STATE,
    TMPFILES,
    UNITS,
    UNJUDGED_FILE,
)
from kubenorn.plan import Action, HostPlan
from kubenorn.render import Render

READY_SECONDS = 180
"""How long a host's units may take to become active; three members' first start waits for the slowest."""
RESTART_LIMIT = 10
"""A unit that systemd had to restart this often while it was waited for will not become ready."""

KEPT_CHANGE_SETS = 5
"""How many runs can be rolled back, one after the other."""

RECEIVE = (
    f"umask 077; mkdir -p {STATE} && cd {STATE} && exec 9>lock || exit 74; flock -n 9 || exit 75; "
    "rm -rf staging && mkdir staging && tar -xf - -C staging && sh staging/apply.sh; "
    "status=$?; rm -rf staging; exit $status"
)
"""Unpacks the stream in a folder of root's own and runs its script, one run at a time on a host."""
ANOTHER_RUN_STATUS = 75


class Writable(Protocol):
    """What a payload is written to."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`."""


@dataclass(frozen=True)
class Payload:
    """The stream's parts: the script and small files in memory, compressed binaries on disk."""

    script: str = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    binaries: Mapping[str, Path]

    @property
    def size(self) -> int:
        """Bytes that will be sent, without the tar headers."""
        in_memory = sum(len(content) for content in self.files.values())
        return len(self.script) + in_memory + sum(path.stat().st_size for path in self.binaries.values())

    def write(self, pipe: Writable) -> None:
        """Write the tar stream."""
        # GNU format: what every tar reads; the stream is never seeked
        stream = cast(IO[bytes], pipe)  # which only is written to
        with tarfile.open(mode="w|", fileobj=stream, format=tarfile.GNU_FORMAT, bufsize=1 << 17) as archive:
            sums = "".join(f"{hashlib.sha256(c).hexdigest()}  {n}\n" for n, c in self.files.items())
            texts = {"apply.sh": self.script.encode(), "payload.sha256": sums.encode(), **self.files}
            for name, content in texts.items():
                archive.addfile(_member(name, len(content)), io.BytesIO(content))
            for name, path in self.binaries.items():
                with path.open("rb") as file:
                    archive.addfile(_member(name, path.stat().st_size), file)


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o600
    return info


def build_payload(
    plan: HostPlan,
    *,
    run_id: str,
    roll_back: bool,
    package_manager: str | None,
    zstd: bool,
    compressed: Mapping[str, Path],
    render: Render,
) -> Payload:
    """Return what applies `plan`.

    What is replaced is kept on the host in a change set called `run_id`; with `roll_back` it is put back by
    itself when a unit does not become active. `compressed` are the compressed binaries by name, zstd's or
    gzip's as `zstd` says the host can read.
    """
    names = {file.path: f"{index:03d}" for index, file in enumerate(plan.files)}
    wait_for = [a.unit for a in plan.unit_actions]
    script = render(
        "apply.sh.j2",
        {
            "packages": plan.packages,
            "package_manager": package_manager,
            "users": plan.users,
            "directories": plan.directories,
            "binaries": [_binary(b) for b in plan.binaries],
            "zstd": zstd,
            "roll_back": roll_back,
            "unjudged": UNJUDGED_FILE,
            "change_set": CHANGE_SETS / run_id,
            "change_sets": CHANGE_SETS,
            "kept_change_sets": KEPT_CHANGE_SETS,
            "digests": DIGESTS,
            "files": [_file(f, names[f.path]) for f in plan.files],
            "permissions": plan.permissions,
            "tmpfiles": TMPFILES if TMPFILES in names else None,
            "daemon_reload": plan.daemon_reload,
            "enable": plan.enable,
            "unit_actions": list(_unit_actions(plan)),
            "wait_for": wait_for,
            "deadline_seconds": READY_SECONDS,
            "restart_limit": RESTART_LIMIT,
        },
    )
    return Payload(
        script=script,
        files={
            "rollback.sh": render("rollback.sh.j2", {"deadline_seconds": READY_SECONDS}).encode(),
            "units": "".join("\t".join(words) + "\n" for words in _undoing(plan)).encode(),
            **{f"payload/{names[f.path]}": f.content for f in plan.files},
        },
        binaries={f"binaries/{b.name}": compressed[b.name] for b in plan.binaries},
    )


def _undoing(plan: HostPlan) -> Iterator[tuple[str, str, str]]:
    """Yield what roll-back does with each unit that was touched, and whether it is waited for afterwards.

    What was stopped before is stopped again. A unit that systemd was starting is left to that: on a host whose etcd
    is away a kube-apiserver starts again and again, and returns by itself.
    """
    before = {Action.START: "stop", Action.RESTART: "restart", Action.RELOAD: "reload"}
    for action in plan.unit_actions:
        if action.starting:
            yield "restart", action.unit, ""
        else:
            yield before[action.action], action.unit, "" if action.action is Action.START else "awaited"


def _binary(binary: ManagedBinary) -> dict[str, object]:
    new = shlex.quote(f"{binary.path}.kubenorn-new")
    commands = {"kubectl": f"{new} version --client", "etcdctl": f"{new} version"}
    return {
        "name": binary.name,
        "path": binary.path,
        "sha256": binary.sha256,
        "version": binary.version,
        # etcdctl speaks API version 2 by default before 3.4, and has no --version for 3
        "version_command": "ETCDCTL_API=3 " + commands.get(binary.name, f"{new} --version"),
    }


def _file(file: ManagedFile, payload: str) -> dict[str, object]:
    return {
        "path": file.path,
        "payload": payload,
        "mode": file.mode,
        "owner": file.owner,
        "group": file.group,
        "validated": _validation(file.path, payload),
    }


def _validation(path: PurePosixPath, payload: str) -> str | None:
    """Return the command with which a component checks its new file before the old one is replaced."""
    new = shlex.quote(f"{path}.kubenorn-new")
    if path == HAPROXY_CONFIGURATION / "haproxy.cfg":
        return f"haproxy -c -f {new}"
    if path == KEEPALIVED_CONFIGURATION / "keepalived.conf":
        return f"keepalived -t -f {new}"
    if path.parent == UNITS:
        # systemd-analyze takes the unit's name from the file's
        copy = f"verify/{path.name}"
        return f"mkdir -p verify && cp payload/{payload} {copy} && systemd-analyze verify {copy}"
    return None


def _unit_actions(plan: HostPlan) -> Iterator[tuple[str, list[str]]]:
    for action in (Action.RESTART, Action.START, Action.RELOAD):
        units = [a.unit for a in plan.unit_actions if a.action is action]
        if units:
            yield action.value, units
