"""A host's control groups: they know all its processes, whoever their parents are.

Where the machine's PID 1 is systemd, a host is a scope unit of it. Elsewhere the lab makes the folders
itself, one in each hierarchy it needs: without a folder of its own each container's systemd would fight the
others for the machine's.
"""

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubenorn.errors import HostsWrongError
from lab.tools import run, wait_for

PARENT = "kubenorn"
# Of cgroup v1: systemd keeps units apart, freezer freezes, memory and pids keep the hosts out of the limits
# of whoever started the lab.
V1_WANTED = ("name=systemd", "freezer", "memory", "pids")
_ENTER = (
    'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1/cgroup.procs"; shift; n=$((n - 1)); done; exec "$@"'
)


def group_name(tag: str, folder: Path) -> str:
    """Return what a lab's groups are called: the folder is in it, so two checkouts' labs never share one."""
    return f"{tag}-{hashlib.sha256(str(folder).encode()).hexdigest()[:6]}"


def hosts_with_groups(lab: str) -> set[str]:
    """Return the hosts of a lab that have groups, which a lab whose folder was deleted by hand still has."""
    found: set[str] = set()
    for hierarchy in hierarchies(Path("/proc/mounts").read_text()):
        found.update(place.name for place in hierarchy.mount.glob(f"{PARENT}/{lab}/*") if place.is_dir())
        scopes = hierarchy.mount.glob(f"system.slice/kubenorn-{lab}-*.scope")
        found.update(place.name.removeprefix(f"kubenorn-{lab}-").removesuffix(".scope") for place in scopes)
    return found


@dataclass(frozen=True)
class Hierarchy:
    """A mounted cgroup hierarchy: where, whether it is version 2, and which v1 controllers it has."""

    mount: Path
    unified: bool
    controllers: frozenset[str] = frozenset()


def hierarchies(mounts: str) -> list[Hierarchy]:
    """Return the hierarchies the lab uses, out of the text of /proc/mounts."""
    found = []
    for line in mounts.splitlines():
        _, mount, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.append(Hierarchy(Path(mount), unified=True))
        elif kind == "cgroup" and (controllers := frozenset(options.split(",")) & frozenset(V1_WANTED)):
            found.append(Hierarchy(Path(mount), unified=False, controllers=controllers))
    return found


def machine_runs_systemd() -> bool:
    """Return whether this machine's PID 1 is systemd (the test of sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


class Cgroup:
    """The control groups of one host of one lab."""

    def __init__(self, lab: str, host: str) -> None:
        self._lab = lab
        self._scope = f"kubenorn-{lab}-{host}.scope" if machine_runs_systemd() else None
        self._hierarchies = hierarchies(Path("/proc/mounts").read_text())
        below = f"system.slice/{self._scope}" if self._scope else f"{PARENT}/{lab}/{host}"
        self._folders = {hierarchy: hierarchy.mount / below for hierarchy in self._hierarchies}
        if not self._folders:
            raise HostsWrongError("No cgroup hierarchy is mounted here: mount one at /sys/fs/cgroup.")

    def command(self, argv: Sequence[str]) -> list[str]:
        """Make the groups and return a command that runs argv, with the same PID, inside them."""
        if self._scope:
            run(["systemctl", "reset-failed", self._scope], check=False)
            options = [f"--unit={self._scope}", "--slice=system.slice", "--property=Delegate=yes"]
            return ["systemd-run", "--scope", "--quiet", "--collect", *options, "--", *argv]
        folders = []
        for folder in self._folders.values():
            folder.mkdir(parents=True, exist_ok=True)
            folders.append(str(folder))
        return ["sh", "-c", _ENTER, "sh", str(len(folders)), *folders, *argv]

    def processes(self) -> set[int]:
        """Return the process ids of everything that runs in the host, its container program included."""
        found: set[int] = set()
        for folder in self._folders.values():
            for place, _, _ in os.walk(folder):
                try:
                    found.update(int(line) for line in (Path(place) / "cgroup.procs").read_text().split())
                except OSError:
                    continue  # removed, or threaded, while we looked
        found.discard(0)  # a process of another PID namespace
        return found

    def kill(self, first: int | None = None, seconds: float = 10.0) -> None:
        """SIGKILL everything in the host and wait until it is gone.

        first is killed on its own and the others get a moment to go by themselves: the container's init takes
        all its processes with it at once, and the container program then clears up what it made.
        Raises HostsWrongError when processes are still there after that many seconds.
        """
        if first is not None:
            _signal(first, signal.SIGKILL)
            self.thaw()  # cgroup v1 delivers no signal to what is frozen
            wait_for(lambda: not self.processes(), seconds=1.0, interval=0.02)
        deadline = time.monotonic() + seconds
        while processes := self.processes():
            for process in processes:
                _signal(process, signal.SIGKILL)
            self.thaw()
            if time.monotonic() > deadline:
                raise HostsWrongError(
                    f"Processes {sorted(processes)} do not die: see what they wait for in ps."
                )
            time.sleep(0.02)

    def remove(self) -> None:
        """Remove the (empty) groups, and the lab's when this was its last host."""
        for folder in self._folders.values():
            for place, _, _ in os.walk(folder, topdown=False):
                _remove_folder(Path(place))
            if not self._scope:
                for parent in (folder.parent, folder.parent.parent):
                    _remove_folder(parent, seconds=0)

    def freeze(self) -> None:
        """Stop everything in the host from running, until thaw."""
        if not self._write_freezer(frozen=True):
            for process in self.processes():
                _signal(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let everything in the host run again."""
        if not self._write_freezer(frozen=False):
            for process in self.processes():
                _signal(process, signal.SIGCONT)

    def is_frozen(self) -> bool:
        """Return whether the host is frozen (by the freezer, or as far as its processes are all stopped)."""
        for hierarchy, folder in self._folders.items():
            try:
                if hierarchy.unified and (folder / "cgroup.freeze").exists():
                    if (folder / "cgroup.freeze").read_text().strip() == "1":
                        return True
                elif "freezer" in hierarchy.controllers:
                    return (folder / "freezer.state").read_text().strip() != "THAWED"
            except OSError:
                continue
        states = [_state(process) for process in self.processes()]
        return bool(states) and all(state == "T" for state in states)

    def _write_freezer(self, *, frozen: bool) -> bool:
        """Return whether there was a freezer to tell."""
        for hierarchy, folder in sorted(self._folders.items(), key=lambda entry: entry[0].unified):
            if "freezer" in hierarchy.controllers and (folder / "freezer.state").exists():
                (folder / "freezer.state").write_text("FROZEN" if frozen else "THAWED")
                return True
            if hierarchy.unified and len(self._hierarchies) == 1 and (folder / "cgroup.freeze").exists():
                (folder / "cgroup.freeze").write_text("1" if frozen else "0")
                return True
        return False


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def _remove_folder(folder: Path, seconds: float = 2.0) -> None:
    def removed() -> bool:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:  # busy: the kernel has not quite let go of the last process, or another lab is in it
            return False
        return True

    wait_for(removed, seconds=seconds, interval=0.02)
