"""One lab host: an overlay on the shared root file system, booted by systemd-nspawn."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kubenorn.errors import HostsWrongError, InputWrongError
from lab import keys, mounts, network, processes
from lab.cgroup import Cgroup, group_name
from lab.facts import Facts, HostFacts
from lab.rootfs import rootfs_folder
from lab.ssh import answers, run_on
from lab.tools import wait_for, write_atomically

NSPAWN_RUN = Path("/run/systemd/nspawn")
# Generous, for a machine that compiles something at the same time; alone a host takes a few seconds.
BOOT_SECONDS = 90.0
# How long a host that is whole may take to answer before it counts as half dead.
HEAL_SECONDS = 20.0
CONSOLE_LINES = 12
USERS = ("root", "ops", "asks", "nosudo")


class State(StrEnum):
    """What status says of a host."""

    RUNNING = "running"
    OFF = "off"
    FROZEN = "frozen"
    DEGRADED = "degraded"


@dataclass(frozen=True)
class Condition:
    """A host at one moment: its state, the PID of its init here, PSS in MiB, and uptime in seconds."""

    state: State
    pid: int | None = None
    memory: int = 0
    uptime: float = 0.0


class Host:
    """A host of a lab, with its folder below the lab's."""

    def __init__(self, facts: Facts, me: HostFacts, lab_folder: Path) -> None:
        self.facts = facts
        self.me = me
        self.name = me.name
        self.lab_folder = lab_folder
        self.folder = lab_folder / "hosts" / me.name
        self.machine = facts.machine(me.name)
        self.cgroup = Cgroup(group_name(facts.tag, lab_folder), me.name)
        self.port = f"vb-{self.machine}"

    @property
    def console(self) -> Path:
        """The file with what the host last wrote on its console."""
        return self.folder / "console.log"

    def init(self) -> int | None:
        """Return the PID, on this machine, of the host's PID 1, or None when the host is off."""
        for process in self.cgroup.processes():
            if processes.namespace_pids(process)[1:] == ["1"]:
                return process
        return None

    def is_whole(self) -> bool:
        """Return whether init and the container program above it live, and the root is mounted."""
        init = self.init()
        merged = self.folder / "merged"
        return (
            init is not None
            and processes.is_nspawn(processes.parent(init))
            and merged in mounts.mounted_below(merged)
        )

    def is_well(self) -> bool:
        """Return whether the host is whole, thawed, and root can log in."""
        return self.is_whole() and not self.cgroup.is_frozen() and answers(self.lab_folder, self.me)

    def heal(self) -> bool:
        """Mend what can be mended while the host runs; return whether it is well then.

        A host that is whole gets time to answer: it may be booting, or the machine may be busy.
        """
        if self.cgroup.is_frozen():
            self.cgroup.thaw()
        network.attach(self.facts, self.port)
        if self.is_whole():
            wait_for(lambda: not self.is_whole() or self.is_well(), seconds=HEAL_SECONDS)
        return self.is_well()

    def condition(self) -> Condition:
        """Return what status shows of the host."""
        present = self.cgroup.processes()
        if not present:
            return Condition(State.OFF)
        init = self.init()
        memory = sum(processes.pss(process) for process in present) // 1024
        uptime = processes.age(init) if init else 0.0
        if self.cgroup.is_frozen():
            return Condition(State.FROZEN, init, memory, uptime)
        state = State.RUNNING if self._says_running() else State.DEGRADED
        return Condition(state, init, memory, uptime)

    def _says_running(self) -> bool:
        if not self.is_well():
            return False
        answer = run_on(self.lab_folder, self.me, "systemctl is-system-running", check=False, timeout=15)
        return answer.stdout.strip() == "running"

    def make_keys(self) -> list[str]:
        """Return the host's public keys, made at the first call; they stay through every reset."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return keys.host_keys(self.folder, self.name)

    def boot(self, lower: Path) -> None:
        """Boot the host with the state it has, or bare on lower if it has none, and wait for a login.

        Whatever is left of an earlier run is cleared first. Raises HostsWrongError with the last lines of the
        console when nobody can log in within BOOT_SECONDS.
        """
        self.power_cut()
        self.folder.mkdir(parents=True, exist_ok=True)
        merged = mounts.mount_overlay(self._lower(lower), self.folder)
        self._personalise(merged)
        self._start(merged)
        started = time.monotonic()

        def done() -> bool:
            if not self.cgroup.processes() and time.monotonic() - started > 1:
                raise HostsWrongError(f"{self.name} ended while booting. {self._last_lines()}")
            return answers(self.lab_folder, self.me)

        if not wait_for(done, seconds=BOOT_SECONDS, interval=0.1):
            raise HostsWrongError(
                f"{self.name}: no login at {self.me.address} after {BOOT_SECONDS:.0f} s. {self._last_lines()}"
            )

    def power_cut(self) -> None:
        """End the host as a power cut would, and remove everything of it but its files. Harmless when off."""
        self.cgroup.kill(self.init())
        if self.folder.exists():
            nspawn_lock(self.folder / "merged").unlink(missing_ok=True)
        mounts.unmount_below(self.folder)
        self.cgroup.remove()
        if network.bridge_owner(self.facts.bridge) not in (None, str(self.lab_folder)):
            return  # another checkout's lab has the bridge now: what follows goes by names, which are its own
        network.remove_interface(self.port)
        # What systemd-nspawn leaves when it is killed itself.
        for name in ("propagate", "unix-export"):
            mounts.unmount_below(NSPAWN_RUN / name / self.machine)
            shutil.rmtree(NSPAWN_RUN / name / self.machine, ignore_errors=True)

    def wipe(self) -> None:
        """Delete the state of a host that is off, so that it boots bare. Its keys and machine-id stay."""
        for name in ("upper", "work", "rootfs"):
            place = self.folder / name
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)

    def _lower(self, newest: Path) -> Path:
        """A host's state only fits the root file system it was made on, so that is written beside it."""
        record = self.folder / "rootfs"
        if not (self.folder / "upper").exists() or not record.exists():
            self.wipe()
            write_atomically(record, f"{newest.name}\n")
            return newest
        lower = rootfs_folder(record.read_text(encoding="utf-8").strip())
        if not lower.is_dir():
            raise InputWrongError(
                f"{self.name} was made on the root file system {lower.name}, no longer in the cache: "
                f"run `reset {self.name}` to make it bare on the newest."
            )
        return lower

    def _personalise(self, root: Path) -> None:
        """Write what differs between hosts. Done at each boot: the lab may have got more hosts."""
        etc = root / "etc"
        prefix = self.facts.subnet.prefixlen
        files = {
            etc / "hostname": f"{self.name}\n",
            etc / "machine-id": f"{keys.machine_id(self.folder)}\n",
            etc / "hosts": hosts_file(self.facts.hosts),
            # Sorts before the shipped 80-container-host0.network, or DHCP and link-local would win.
            etc / "systemd" / "network" / "10-host0.network": network_file(self.me.address, prefix),
        }
        for path, text in files.items():
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
        for key in keys.HOST_KEYS:
            for name, mode in ((key, 0o600), (f"{key}.pub", 0o644)):
                shutil.copyfile(self.folder / "keys" / name, etc / "ssh" / name)
                (etc / "ssh" / name).chmod(mode)
        for user in USERS:
            _authorise(root, user, keys.client_key(self.lab_folder))

    def _start(self, root: Path) -> None:
        container = [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no", "--boot"),
            *(f"--directory={root}", f"--machine={self.machine}", f"--hostname={self.name}"),
            *(f"--uuid={keys.machine_id(self.folder)}", f"--network-bridge={self.facts.bridge}"),
            # The hosts' own: no resolver, UTC, no journal on this machine; the console goes to a file.
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only"),
        ]
        with self.console.open("wb") as console:
            # --fork: the host belongs to nobody, so it survives this process and is never its zombie.
            subprocess.run(
                ["setsid", "--fork", *self.cgroup.command(container)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd="/",
                check=True,
            )

    def _last_lines(self) -> str:
        try:
            lines = self.console.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        tail = "\n  ".join(line.strip() for line in lines[-CONSOLE_LINES:])
        return f"The last lines of its console ({self.console}):\n  {tail}"


def nspawn_lock(root: Path) -> Path:
    """Return systemd-nspawn's lock file for a mounted root, which it leaves when it is killed itself.

    The name is that of image_path_lock() in systemd's src/shared/discover-image.c.
    """
    try:
        here = root.stat()
    except FileNotFoundError:
        return NSPAWN_RUN / "locks" / "none"
    return NSPAWN_RUN / "locks" / f"inode-{here.st_dev}:{here.st_ino}"


def hosts_file(hosts: list[HostFacts]) -> str:
    """Return /etc/hosts for a lab host: localhost and all hosts of the lab."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    return "\n".join([*lines, *(f"{host.address} {host.name}" for host in hosts)]) + "\n"


def network_file(address: str, prefix: int) -> str:
    """Return the systemd.network(5) file for host0: one address and no gateway, so there is no way out."""
    return (
        "[Match]\nName=host0\n\n"
        f"[Network]\nAddress={address}/{prefix}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nDHCP=no\nLLMNR=no\n"
    )


def _authorise(root: Path, user: str, public_key: str) -> None:
    """Let the lab's key in as user, unless there is a file already: a test may have put another there."""
    home = root / ("root" if user == "root" else f"home/{user}")
    path = home / ".ssh" / "authorized_keys"
    if path.exists() or not home.is_dir():
        return
    owner = home.stat()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(f"{public_key}\n")
    path.chmod(0o600)
    for place in (path.parent, path):
        os.chown(place, owner.st_uid, owner.st_gid)
