"""A lab: real systemd hosts on this machine, and everything they need.

lab = Lab.load(Path(".lab"))
lab.run("m1", "systemctl is-active haproxy", check=False).stdout
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kubenorn.errors import InputWrongError
from lab import inventory, keys, network
from lab.binaries import BUILT_VERSIONS, binaries, binaries_folder, checked_release, versions
from lab.cgroup import group_name, hosts_with_groups
from lab.facts import (
    DEFAULT_HOSTS,
    DEFAULT_NAME,
    DEFAULT_SUBNET,
    Facts,
    HostFacts,
    checked_count,
    checked_name,
    checked_subnet,
    first_free,
)
from lab.host import Condition, Host
from lab.progress import Steps
from lab.rootfs import rootfs
from lab.ssh import run_on
from lab.tools import in_parallel, install_missing_packages, lock_folder, locked, write_atomically

MACHINE_PACKAGES = ("systemd-container", "debootstrap", "openssh-client", "iproute2")


class Lab:
    """A lab in its folder. Methods that change it hold its lock, so two commands never race on one lab."""

    def __init__(self, folder: Path, facts: Facts, steps: Steps | None = None) -> None:
        self.folder = folder
        self.facts = facts
        self.steps = steps or Steps(quiet=True)

    @classmethod
    def load(cls, folder: Path, steps: Steps | None = None) -> "Lab":
        """Return the lab kept in folder. Raises InputWrongError when there is none."""
        folder = folder.absolute()
        facts = Facts.load(folder)
        if facts is None:
            name = folder.name.removeprefix(".lab").removeprefix("-")
            option = f" --name {name}" if name else ""
            raise InputWrongError(f"There is no lab in {folder}: run `python -m lab up{option}` first.")
        return cls(folder, facts, steps)

    @classmethod
    def plan(
        cls,
        folder: Path,
        *,
        name: str = DEFAULT_NAME,
        hosts: int | None = None,
        subnet: str | None = None,
        steps: Steps | None = None,
    ) -> "Lab":
        """Return the lab kept in folder, changed to that many hosts; or a new one, which up() makes real.

        Raises InputWrongError for a bad argument and for a lab that already has another subnet.
        """
        folder = folder.absolute()
        wanted = checked_subnet(subnet) if subnet else None
        count = checked_count(hosts) if hosts is not None else None
        kept = Facts.load(folder)
        if kept is None:
            chosen = wanted or (DEFAULT_SUBNET if name == DEFAULT_NAME else None)
            if chosen is None:
                chosen = first_free(route.network for route in network.routes())
            return cls(folder, Facts(checked_name(name), chosen, count or DEFAULT_HOSTS), steps)
        if wanted and wanted != kept.subnet:
            raise InputWrongError(
                f"The lab in {folder} has the subnet {kept.subnet}: run down first to change it."
            )
        return cls(folder, Facts(kept.name, kept.subnet, count or kept.count, kept.written), steps)

    @classmethod
    def remains(cls, folder: Path, *, name: str, steps: Steps | None = None) -> "Lab":
        """Return the lab of that name in folder as far as it can be told, for down.

        A folder that was deleted or damaged by hand leaves hosts and a bridge, which are found by their names.
        """
        folder = folder.absolute()
        with contextlib.suppress(InputWrongError):
            if facts := Facts.load(folder):
                return cls(folder, facts, steps)
        unsure = Facts(name, DEFAULT_SUBNET, 0)
        subnet = (
            network.subnet_of(unsure.bridge) if network.bridge_owner(unsure.bridge) == str(folder) else None
        )
        return cls(folder, Facts(name, subnet or DEFAULT_SUBNET, 0), steps)

    @property
    def hosts(self) -> list[HostFacts]:
        """The hosts' names and addresses."""
        return self.facts.hosts

    @property
    def vip(self) -> str:
        """The address meant for the control plane's VIP."""
        return self.facts.vip

    @property
    def config(self) -> Path:
        """Nornir's configuration of the lab's inventory."""
        return self.folder / "config.yaml"

    def host(self, name: str) -> Host:
        """Return one host. Raises InputWrongError when the lab has none of that name."""
        for me in self.hosts:
            if me.name == name:
                return Host(self.facts, me, self.folder)
        raise InputWrongError(
            f"The lab has no host {name}: it has {', '.join(me.name for me in self.hosts)}."
        )

    def run(
        self,
        host: str,
        command: str,
        *,
        input: str | None = None,
        check: bool = True,
        timeout: float = 60.0,
        user: str = "root",
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host over ssh; return its exit code, stdout and stderr.

        timeout is in seconds. Raises HostsWrongError when there is no login, and when check is set and the
        command fails.
        """
        me = self.host(host).me
        return run_on(self.folder, me, command, input=input, check=check, timeout=timeout, user=user)

    def up(self, *, with_binaries: bool = True) -> None:
        """Raise the lab, or heal what is not as it should be; what runs well is left alone."""
        with self._locked():
            install_missing_packages(MACHINE_PACKAGES, self.steps.say)
            with locked(lock_folder() / "kubenorn-network.lock"):
                network.refuse_taken(self.facts, self.folder)
                self.folder.mkdir(parents=True, exist_ok=True)
                self.facts.save(self.folder)
                if not network.is_up(self.facts):
                    network.raise_network(self.facts, self.folder)
            # Two threads: the binaries keep the processors busy while hosts wait for the disk and each other.
            with ThreadPoolExecutor(max_workers=1) as pool:
                building = pool.submit(binaries, self.steps) if with_binaries else None
                self._raise_hosts()
                source = building.result() if building else _binaries_if_there()
            self._write_inventory(source)

    def down(self) -> None:
        """Remove the lab with all its hosts. Harmless when it is not up."""
        with self._locked():
            self._end_hosts(self._all_hosts())
            network.remove_network(self.facts, self.folder)
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def reset(self, names: Iterable[str] = ()) -> None:
        """Make hosts bare again (all, when none is named) and boot them; their ssh host keys stay."""
        with self._locked():
            self._require_network()
            lower = rootfs(self.steps)

            def one(host: Host) -> None:
                with self.steps.step(f"{host.name}: bare"):
                    host.power_cut()
                    host.wipe()
                    host.boot(lower)

            in_parallel(one, self._named(names))

    def off(self, host: str) -> None:
        """Cut a host's power: every process in it ends at once, nothing is shut down. Its state stays."""
        with self._locked():
            self.host(host).power_cut()

    def on(self, host: str) -> None:
        """Boot a host with the state it has; one that runs well is left alone."""
        with self._locked():
            self._require_network()
            self._raise_host(self.host(host), rootfs(self.steps))

    def freeze(self, host: str) -> None:
        """Stop a host from running, as a hang does: its addresses stay, nothing answers."""
        with self._locked():
            self.host(host).cgroup.freeze()

    def thaw(self, host: str) -> None:
        """Let a frozen host run on."""
        with self._locked():
            self.host(host).cgroup.thaw()

    def conditions(self) -> dict[str, Condition]:
        """Return the condition of each host by name."""
        hosts = self._named(())
        return dict(zip([host.name for host in hosts], in_parallel(Host.condition, hosts), strict=True))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock lies outside the lab's folder, which down removes."""
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        path = lock_folder() / f"kubenorn-lab-{digest}.lock"
        with locked(
            path, waiting=lambda: self.steps.say(f"Another command works on {self.folder}; waiting for it")
        ):
            yield

    def _named(self, names: Iterable[str]) -> list[Host]:
        return [self.host(name) for name in (list(names) or [me.name for me in self.hosts])]

    def _all_hosts(self) -> list[Host]:
        """Every host that has a folder, also those beyond the number the lab has now."""
        names = {me.name for me in self.hosts} | {place.name for place in self.folder.glob("hosts/m*")}
        names |= hosts_with_groups(group_name(self.facts.tag, self.folder))
        return [Host(self.facts, HostFacts(name, ""), self.folder) for name in names]

    def _require_network(self) -> None:
        if not network.is_up(self.facts):
            raise InputWrongError(f"The lab in {self.folder} is not up: run up first.")

    def _end_hosts(self, hosts: list[Host]) -> None:
        def one(host: Host) -> None:
            with self.steps.step(f"{host.name}: ended"):
                host.power_cut()

        in_parallel(one, hosts)

    def _raise_hosts(self) -> None:
        wanted = {me.name for me in self.hosts}
        surplus = [host for host in self._all_hosts() if host.name not in wanted]
        if surplus:
            self.steps.say(
                f"Removing {', '.join(sorted(host.name for host in surplus))}: beyond --hosts {len(wanted)}"
            )
            self._end_hosts(surplus)
            for host in surplus:
                shutil.rmtree(host.folder, ignore_errors=True)
        hosts = self._named(())
        entries = [(host.me, host.make_keys()) for host in hosts]
        keys.client_key(self.folder)
        known = self.folder / keys.KNOWN_HOSTS
        if not known.exists() or known.read_text() != keys.known_hosts(entries):
            write_atomically(known, keys.known_hosts(entries))
        lower = rootfs(self.steps)
        in_parallel(lambda host: self._raise_host(host, lower), hosts)

    def _raise_host(self, host: Host, lower: Path) -> None:
        if host.heal():
            return
        with self.steps.step(f"{host.name}: up"):
            host.boot(lower)

    def _write_inventory(self, source: Path | None) -> None:
        built = source in (None, binaries_folder())
        known = BUILT_VERSIONS if source is None or built else versions(source)
        files = inventory.documents(self.facts, self.folder, source or binaries_folder(), known)
        written = inventory.write(self.folder, files, self.facts.written)
        if written != self.facts.written:
            self.facts = self.facts.with_written(written)
            self.facts.save(self.folder)
        _give_to_sudo_user(self.folder)


def _binaries_if_there() -> Path | None:
    """The release folder the operator named, without building anything."""
    named = os.environ.get("KUBENORN_RELEASE_FOLDER")
    return checked_release(Path(named).expanduser().absolute()) if named else None


def _give_to_sudo_user(folder: Path) -> None:
    """Let whoever ran the lab under sudo use its inventory and log in: runbooks need no root."""
    if "SUDO_UID" not in os.environ:
        return
    owner = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    for path in (folder, *(path for path in folder.iterdir() if path.is_file())):
        os.chown(path, *owner)
