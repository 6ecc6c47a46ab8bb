"""Desired against observed: the ordered changes of one host. Empty when nothing differs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath

from kubenorn.desired import DesiredHost, ManagedBinary, ManagedDirectory, ManagedFile, ManagedUnit
from kubenorn.diff import difference
from kubenorn.layout import UNITS
from kubenorn.observed import ObservedFile, ObservedHost
from kubenorn.records import UnitState


class Action(StrEnum):
    """What is done to a target, in the words tables use."""

    CREATE = "create"
    UPDATE = "update"
    INSTALL = "install"
    ENABLE = "enable"
    START = "start"
    RESTART = "restart"
    RELOAD = "reload"


@dataclass(frozen=True)
class Change:
    """One line of the plan: what is done to which target, why, and how it differs (secrets masked)."""

    action: Action
    kind: str
    target: str
    reason: str
    diff: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitAction:
    """Start, restart or reload of one unit."""

    unit: str
    action: Action
    reason: str
    starting: bool = False
    """Whether systemd was at starting it, perhaps again and again."""


@dataclass(frozen=True)
class HostPlan:
    """Everything that has to change on one host, by kind in the order it is applied."""

    host: str
    packages: tuple[str, ...]
    users: tuple[str, ...]
    directories: tuple[ManagedDirectory, ...]
    binaries: tuple[ManagedBinary, ...]
    files: tuple[ManagedFile, ...]
    permissions: tuple[ManagedFile | ManagedBinary, ...]
    """Files whose content is right but whose mode or owner is not."""
    daemon_reload: bool
    enable: tuple[str, ...]
    unit_actions: tuple[UnitAction, ...]
    changes: tuple[Change, ...]

    @property
    def content(self) -> tuple[object, ...]:
        """What the host lacks, without what its units need: that changes while one starts again and again."""
        return (
            self.packages, self.users, self.directories, self.binaries, self.files, self.permissions, self.enable,
        )  # fmt: skip

    @property
    def empty(self) -> bool:
        """Whether the host is as desired."""
        return not self.changes


def plan_host(desired: DesiredHost, observed: ObservedHost) -> HostPlan:
    """Return what must change for `observed` to become `desired`."""
    packages = tuple(p for p in desired.packages if p not in observed.programs)
    users = tuple(u for u in desired.users if u not in observed.users)
    directories = [d for d in desired.directories if not _directory_is_right(d, observed)]
    binaries = [(b, reason) for b in desired.binaries if (reason := _binary_reason(b, observed))]
    files = [(f, reason) for f in desired.files if (reason := _content_reason(f, observed.files.get(f.path)))]
    changed_paths = {f.path for f, _ in files}
    changed = changed_paths | {b.path for b, _ in binaries}
    things: tuple[ManagedFile | ManagedBinary, ...] = (*desired.files, *desired.binaries)
    permissions = [
        (each, reason)
        for each in things
        if each.path not in changed and (reason := _permission_reason(each, observed.files[each.path]))
    ]
    unit_actions = tuple(
        action for unit in desired.units if (action := _unit_action(unit, desired, observed, changed))
    )
    enable = tuple(u.name for u in desired.units if not _is_enabled(observed.units.get(u.name)))
    changes = [
        *(Change(Action.INSTALL, "package", p, "missing") for p in packages),
        *(Change(Action.CREATE, "user", u, "missing") for u in users),
        *(_directory_change(d, observed) for d in directories),
        *(_file_change("binary", b.path, reason, observed) for b, reason in binaries),
        *(_file_change("file", f.path, reason, observed, desired=f) for f, reason in files),
        *(Change(Action.UPDATE, "file", str(f.path), reason) for f, reason in permissions),
        *(Change(Action.ENABLE, "unit", u, "not enabled") for u in enable),
        *(Change(a.action, "unit", a.unit, a.reason) for a in unit_actions),
    ]
    return HostPlan(
        host=desired.name,
        packages=packages,
        users=users,
        directories=tuple(directories),
        binaries=tuple(b for b, _ in binaries),
        files=tuple(f for f, _ in files),
        permissions=tuple(f for f, _ in permissions),
        daemon_reload=_needs_daemon_reload(desired, observed, changed_paths),
        enable=enable,
        unit_actions=unit_actions,
        changes=tuple(changes),
    )


def _directory_is_right(desired: ManagedDirectory, observed: ObservedHost) -> bool:
    current = observed.directories.get(desired.path)
    return current is not None and (current.mode, current.owner, current.group) == (
        desired.mode,
        desired.owner,
        desired.group,
    )


def _directory_change(desired: ManagedDirectory, observed: ObservedHost) -> Change:
    current = observed.directories.get(desired.path)
    if current is None:
        return Change(Action.CREATE, "directory", str(desired.path), "missing")
    reason = (
        f"is {current.mode:04o} {current.owner}:{current.group}, "
        f"should be {desired.mode:04o} {desired.owner}:{desired.group}"
    )
    return Change(Action.UPDATE, "directory", str(desired.path), reason)


def _binary_reason(desired: ManagedBinary, observed: ObservedHost) -> str | None:
    current = observed.files.get(desired.path)
    if current is None:
        return "missing"
    if current.sha256 != desired.sha256:
        return f"is not {desired.name} {desired.version} (sha256 differs)"
    return None


def _content_reason(desired: ManagedFile, current: ObservedFile | None) -> str | None:
    if current is None:
        return "missing"
    if current.kind not in {"regular file", "regular empty file"}:
        return f"is a {current.kind}, should be a regular file"
    if current.sha256 != desired.sha256:
        return "content differs"
    return None


def _permission_reason(desired: ManagedFile | ManagedBinary, current: ObservedFile) -> str | None:
    if (current.mode, current.owner, current.group) == (desired.mode, desired.owner, desired.group):
        return None
    return (
        f"is {current.mode:04o} {current.owner}:{current.group}, "
        f"should be {desired.mode:04o} {desired.owner}:{desired.group}"
    )


def _file_change(
    kind: str, path: PurePosixPath, reason: str, observed: ObservedHost, desired: ManagedFile | None = None
) -> Change:
    current = observed.files.get(path)
    action = Action.UPDATE if current else Action.CREATE
    diff = difference(current, desired) if desired else ()
    return Change(action, kind, str(path), reason, diff)


def _is_enabled(state: UnitState | None) -> bool:
    return state is not None and state.enabled == "enabled"


def _is_unit_file(path: PurePosixPath) -> bool:
    return UNITS in path.parents


def _needs_daemon_reload(
    desired: DesiredHost, observed: ObservedHost, changed_paths: set[PurePosixPath]
) -> bool:
    states = (observed.units.get(unit.name) for unit in desired.units)
    return any(map(_is_unit_file, changed_paths)) or any(s.needs_daemon_reload for s in states if s)


def _unit_action(
    unit: ManagedUnit, desired: DesiredHost, observed: ObservedHost, changed: set[PurePosixPath]
) -> UnitAction | None:
    """Return what the unit needs, if anything.

    A change of what it reads; or a last run that died between copy and restart, which shows in an input
    younger than the unit's last start (for a configuration the unit can reload: its last state change).
    A package that is installed now may start its unit with its own configuration: so that is a restart.
    """
    if unit.name in desired.packages and unit.name not in observed.programs:
        return UnitAction(unit.name, Action.RESTART, "is installed now")
    state = observed.units.get(unit.name)
    restart: list[str] = []
    reload: list[str] = []
    for path in _inputs(unit, desired):
        reloadable = unit.reloads and not _is_unit_file(path)
        reason = _input_reason(path, observed, _taken(state, reloadable), changed)
        if reason:
            (reload if reloadable else restart).append(reason)
    if state is None or not state.is_active:
        # One that is starting has read its old files already: starting it would do nothing.
        starting = state is not None and state.active == "activating"
        action = Action.RESTART if starting and (restart or reload) else Action.START
        return UnitAction(unit.name, action, f"is {state.active if state else 'unknown'}", starting)
    if state.needs_daemon_reload and not restart:
        restart.append("its unit file changed after systemd read it")
    if restart:
        return UnitAction(unit.name, Action.RESTART, _summary(restart))
    if reload:
        return UnitAction(unit.name, Action.RELOAD, _summary(reload))
    return None


def _taken(state: UnitState | None, reloadable: bool) -> datetime | None:
    """Return when a unit last read its inputs: at its start, or at its last reload."""
    if state is None:
        return None
    return state.changed if reloadable else state.started or state.active_since


def _inputs(unit: ManagedUnit, desired: DesiredHost) -> Iterator[PurePosixPath]:
    for binary in desired.binaries:
        if unit.name in binary.units:
            yield binary.path
    for file in desired.files:
        if unit.name in file.units:
            yield file.path


def _input_reason(
    path: PurePosixPath, observed: ObservedHost, taken: datetime | None, changed: set[PurePosixPath]
) -> str | None:
    if path in changed:
        return f"{path.name} changes"
    current = observed.files[path]
    if taken is not None and current.modified > taken:
        return f"{path.name} is younger than the running unit"
    return None


def _summary(reasons: list[str]) -> str:
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return reasons[0] + more
