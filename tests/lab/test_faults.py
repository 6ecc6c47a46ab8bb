"""Faults in the middle of a change of a running control plane. Each time: the API stays available through the VIP,
and the run after the fault is mended succeeds, and the one after that changes nothing."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from lab.binaries import binaries_folder
from lab.lab import Lab
from lab.tools import wait_for
from tests.lab.controller import ROOT, Controller
from tests.lab.hosts import active_since, everywhere, snapshot, vip_holders
from tests.lab.probing import Failure, available

UNIT_FILE = "/etc/systemd/system/kube-scheduler.service"
CHANGE: dict[str, Any] = {"cluster.extra_arguments": {"kube-scheduler": {"v": "4"}}}
"""Restarts nothing but the schedulers, quickly."""


@contextmanager
def mounted(lab: Lab, host: str, mount: str, target: str) -> Iterator[None]:
    """Mount something over a folder of a host while the block runs."""
    lab.run(host, mount)
    try:
        yield
    finally:
        lab.run(host, f"umount {target}")


def meanwhile(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """Start a thread that acts as soon as the condition holds."""

    def wait() -> None:
        if wait_for(condition, seconds=60, interval=0.02):
            act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_full_disk(cluster: Controller, tmp_path: Path) -> None:
    config = cluster.inventory(tmp_path / "inventory", CHANGE)
    before, first = active_since(cluster.lab), first_changed(cluster.lab)
    staging = "/var/lib/kubenorn"
    tiny = f"mount -t tmpfs -o size=8k tmpfs {staging}"
    with available(cluster):
        with mounted(cluster.lab, first, tiny, staging):
            ran = cluster.deploy(config=config)
            after = active_since(cluster.lab)
        assert ran.status == 1
        assert re.search(rf"{first}: .*No space left on device", ran.stderr), ran.stderr
        assert after == before


def test_a_read_only_etc(cluster: Controller, tmp_path: Path) -> None:
    config = cluster.inventory(tmp_path / "inventory", CHANGE)
    before, first = active_since(cluster.lab), first_changed(cluster.lab)
    with available(cluster):
        with mounted(cluster.lab, first, "mount --bind /etc /etc && mount -o remount,ro,bind /etc", "/etc"):
            ran = cluster.deploy(config=config)
            after = active_since(cluster.lab)
        assert ran.status == 1
        assert re.search(rf"{first}: .*Read-only file system", ran.stderr), ran.stderr
        assert after == before


@contextmanager
def sudo_restored(lab: Lab, host: str) -> Iterator[Callable[[], None]]:
    """Give what revokes the lab's user sudo on a host; when the block ends the user has it again."""
    files = lab.run(host, "grep -l '^ops' /etc/sudoers.d/* /etc/sudoers").stdout.split()

    def revoke() -> None:
        for file in files:
            lab.run(host, f"cp -p {file} /root/saved; sed -i 's/^ops/#ops/' {file}")

    try:
        yield revoke
    finally:
        for file in files:
            lab.run(host, f"test ! -e /root/saved || mv /root/saved {file}")


def test_sudo_revoked(cluster: Controller, tmp_path: Path) -> None:
    config = cluster.inventory(tmp_path / "inventory", {**CHANGE, "group.username": "ops"})
    before = active_since(cluster.lab)
    with available(cluster):
        with sudo_restored(cluster.lab, "m2") as revoke:
            revoke()
            ran = cluster.deploy(config=config)
        assert ran.status == 2
        assert re.search(r"m2: .*sudo", ran.stderr), ran.stderr
        assert active_since(cluster.lab) == before


def test_sudo_revoked_in_the_middle_of_a_run(cluster: Controller, tmp_path: Path) -> None:
    """On the host that is changed last, as soon as the first one's file is in place."""
    lab = cluster.lab
    config = cluster.inventory(tmp_path / "inventory", {**CHANGE, "group.username": "ops"})
    first, last = first_changed(lab), holder_of(lab)
    changed = f"grep -q -e --v=4 {UNIT_FILE}"
    with available(cluster):
        before = active_since(lab)
        with sudo_restored(lab, last) as revoke:
            watcher = meanwhile(lambda: lab.run(first, changed, check=False).returncode == 0, revoke)
            ran = cluster.deploy(config=config)
            watcher.join(90)
        assert ran.status != 0
        assert re.search(rf"{last}: .*sudo", ran.stderr), ran.stderr
        assert lab.run(last, changed, check=False).returncode != 0
        assert active_since(lab)[last] == before[last]


def test_a_binary_that_arrives_damaged(cluster: Controller, tmp_path: Path) -> None:
    """The compressed copy holds another program, and all the controller could notice it by is forged with it."""
    cache = tmp_path / "cache"
    lab = cluster.lab
    right = everywhere(lab, "sha256sum /usr/local/bin/*")
    lab.run("m1", "rm /usr/local/bin/kubectl")
    with available(cluster):
        assert cluster.deploy(KUBENORN_CACHE=str(cache)).status == 0
        lab.run("m1", "rm /usr/local/bin/kubectl")
        (compressed,) = (cache / "compressed").glob("*.zst")
        program = bytearray((binaries_folder() / "kubectl").read_bytes())
        program[len(program) // 2] ^= 0xFF
        compressed.write_bytes(zstandard.compress(bytes(program), level=1))
        beside = compressed.with_name(f"{compressed.name}.sha256")
        beside.write_text(hashlib.sha256(compressed.read_bytes()).hexdigest() + "\n")
        (cache / "digests.json").unlink()
        ran = cluster.deploy(KUBENORN_CACHE=str(cache))
        assert ran.status == 1
        assert "m1: kubectl arrived with another sha256" in ran.stderr
        assert lab.run("m1", "ls /usr/local/bin/kubectl*", check=False).stdout == "", "not even beside"
        assert cluster.deploy().status == 0
    assert everywhere(lab, "sha256sum /usr/local/bin/*") == right


def test_an_invalid_haproxy_line(cluster: Controller, tmp_path: Path) -> None:
    """From a copy of the project whose template has a line that haproxy does not know."""
    copy = tmp_path / "copy"
    for part in ("kubenorn", "tasks", "runbooks", "templates"):
        shutil.copytree(ROOT / part, copy / part)
    with (copy / "templates/haproxy.cfg.j2").open("a") as template:
        template.write("\nfrontend broken\n    no-such-keyword\n")
    before, files = active_since(cluster.lab), snapshot(cluster.lab)
    with available(cluster):
        done = subprocess.run(
            [sys.executable, str(copy / "runbooks/deploy.py"), "--config", str(cluster.lab.config), "--yes"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(copy)},
        )
        assert done.returncode == 1, done.stdout
        assert re.search(r"m\d: /etc/haproxy/haproxy.cfg is refused: .*no-such-keyword", done.stderr), (
            done.stderr
        )
        assert active_since(cluster.lab) == before
        changed = {line.split()[1] for line in snapshot(cluster.lab) ^ files}
        assert not any(path.startswith("/etc") for path in changed), changed


def test_a_connection_cut_in_the_middle_of_a_transfer(cluster: Controller) -> None:
    lab = cluster.lab
    lab.run("m1", "rm /usr/local/bin/*")  # running processes keep theirs
    # sshd's listener is to stay, its sessions to go, as soon as the first binary arrives.
    cut = (
        "until [ -s /var/lib/kubenorn/staging/binaries/kube-apiserver ]; do sleep 0.01; done\n"
        "pkill -9 -f 'sshd: root@'\n"
    )
    lab.run("m1", "cat >/root/cut.sh && systemd-run -q --unit=cutter sh /root/cut.sh", input=cut)
    with available(cluster):
        ran = cluster.deploy()
        assert lab.run("m1", "systemctl is-active cutter", check=False).stdout == "inactive\n"
        assert ran.status == 3, ran.text
        assert re.search(r"m1: the SSH connection broke off", ran.stderr), ran.stderr


def test_a_host_powered_off_during_the_run(cluster: Controller, tmp_path: Path) -> None:
    lab = cluster.lab
    config = cluster.inventory(tmp_path / "inventory", CHANGE)
    lab.run("m1", "true")
    changed = f"grep -q -e --v=4 {UNIT_FILE}"
    holder = holder_of(lab)
    victim = next(host.name for host in lab.hosts if host.name not in {holder, first_changed(lab)})
    vanished: list[float] = []

    def power_off() -> None:
        vanished.append(time.time())
        lab.off(victim)
        vanished.append(time.time())

    def lost_with_the_host(failure: Failure) -> bool:
        """Whether the probe's connection was open to the host when it vanished."""
        began, ended, _ = failure
        return began <= vanished[1] and ended >= vanished[0]

    with available(cluster, lost_with_the_host):
        watcher = meanwhile(
            lambda: any(
                lab.run(h.name, changed, check=False).returncode == 0 for h in lab.hosts if h.name != victim
            ),
            power_off,
        )
        ran = cluster.deploy(config=config)
        watcher.join(90)
        lab.on(victim)
        assert ran.status in {1, 3}, ran.text
        assert victim in ran.stderr
        started = "systemctl is-active etcd"
        assert wait_for(lambda: lab.run(victim, started, check=False).stdout == "active\n", seconds=60)


def holder_of(lab: Lab) -> str:
    """Return the host that holds the VIP."""
    (holder,) = vip_holders(lab)
    return holder


def first_changed(lab: Lab) -> str:
    """Return the host that a run changes first: the first that does not hold the VIP."""
    return next(host.name for host in lab.hosts if host.name != holder_of(lab))


def test_a_clock_ten_minutes_off(cluster: Controller, tmp_path: Path) -> None:
    """The hosts share this machine's clock, so the `date` a host asks stands in for a wrong one."""
    config = cluster.inventory(tmp_path / "inventory", CHANGE)
    before = active_since(cluster.lab)
    wrong = '#!/bin/sh\nexec /usr/bin/date -d "+10 minutes" "$@"\n'
    with available(cluster):
        cluster.lab.run("m3", "cat >/usr/local/sbin/date && chmod 755 /usr/local/sbin/date", input=wrong)
        try:
            ran = cluster.deploy(config=config)
        finally:
            cluster.lab.run("m3", "rm /usr/local/sbin/date")
        assert ran.status == 2
        assert re.search(r"m3: its clock is (599|600|601) s ahead of this machine's", ran.stderr), ran.stderr
        assert active_since(cluster.lab) == before


@pytest.fixture(autouse=True)
def peace(cluster: Controller) -> None:
    """Begin each test with a cluster that is as desired."""
    ran = cluster.deploy()
    assert ran.status == 0, ran.text
