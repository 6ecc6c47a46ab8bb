"""The lab itself, with a lab of its own: two hosts, no binaries."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import processes
from lab.facts import Facts, lab_folder
from lab.host import State, nspawn_lock
from lab.lab import Lab
from lab.network import INTERFACES
from lab.tools import wait_for

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or os.geteuid() != 0, reason="needs root on Linux"
    ),
]

NAME = "labtest"
ROOT = Path(__file__).parents[2]
FOLDER = lab_folder(ROOT, NAME)
FOLDER_DIGEST = hashlib.sha256(str(FOLDER).encode()).hexdigest()[:12]


def command_line(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m lab VERB --name labtest …` as an operator would."""
    verb, *rest = arguments
    command = [sys.executable, "-m", "lab", verb, "--name", NAME, *rest]
    return subprocess.run(
        command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False, timeout=300
    )


def traces() -> dict[str, set[str]]:
    """What a lab makes on this machine, apart from the cache and its folder.

    Other labs may come and go while this runs, so only what bears this lab's name or folder counts.
    """
    mine = ("labtest", str(FOLDER))

    def lines(text: str) -> set[str]:
        return {line for line in text.splitlines() if any(sign in line for sign in mine)}

    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    subnet = {line for line in output("ip", "route").splitlines() if SUBNET and SUBNET in line}
    groups = {str(path) for path in Path("/sys/fs/cgroup").glob("*/kubenorn/labtest*")}
    groups |= {str(path) for path in Path("/sys/fs/cgroup").glob("**/kubenorn-labtest*.scope")}
    return {
        "links": lines(output("ip", "-o", "link")),
        "routes": lines(output("ip", "route")) | subnet,
        "mounts": lines(Path("/proc/mounts").read_text()),
        "processes": {line for line in lines(output("ps", "-eo", "args")) if "nspawn" in line},
        "groups": groups,
        "nspawn": {str(path) for path in Path("/run/systemd/nspawn").glob("*/labtest*")},
        "locks": {str(path) for path in Path("/run/lock").glob(f"kubenorn-lab-{FOLDER_DIGEST}*")},
    }


SUBNET = ""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of two hosts that is up; removed at the end, whatever happens."""
    global SUBNET  # noqa: PLW0603
    command_line("down")
    raised = command_line("up", "--hosts", "2", "--no-binaries")
    assert raised.returncode == 0, raised.stderr
    lab = Lab.load(FOLDER)
    SUBNET = str(lab.facts.subnet)
    yield lab
    command_line("down")


@pytest.fixture
def running(lab: Lab) -> Lab:
    """The lab with both hosts running, whatever the last test did to it."""
    lab.up(with_binaries=False)
    return lab


def states(lab: Lab) -> list[State]:
    return [condition.state for condition in lab.conditions().values()]


def init_of(lab: Lab, host: str) -> int:
    process = lab.host(host).init()
    assert process is not None
    return process


def murder(lab: Lab, host: str) -> None:
    """SIGKILL every process of a host from outside, as the out-of-memory killer or a user might."""
    for process in lab.host(host).cgroup.processes():
        with contextlib.suppress(ProcessLookupError):  # init took it along
            os.kill(process, signal.SIGKILL)


def test_hosts_are_real_and_bare(running: Lab) -> None:
    first, second = (host.name for host in running.hosts)
    for host in (first, second):
        assert running.run(host, "hostname").stdout.strip() == host
        assert running.run(host, "systemctl is-system-running").stdout.strip() == "running"
        services = running.run(host, "systemctl is-active haproxy keepalived", check=False).stdout.split()
        assert services == ["inactive", "inactive"]
    assert running.run(first, f"ping -c1 -W2 {second}").returncode == 0
    ids = {running.run(host, "cat /etc/machine-id").stdout for host in (first, second)}
    assert len(ids) == 2


def test_no_way_out_of_a_host(running: Lab) -> None:
    assert "default" not in running.run("m1", "ip route").stdout


def test_status_shows_all_and_exits_0(running: Lab) -> None:
    shown = command_line("status")
    assert shown.returncode == 0, shown.stderr
    for word in ("m1", "m2", "running", running.vip, running.facts.bridge, SUBNET, str(FOLDER)):
        assert word in shown.stdout


def test_ssh_returns_the_exit_code_and_passes_stdin(running: Lab) -> None:
    assert command_line("ssh", "m1", "exit 7").returncode == 7
    assert command_line("ssh", "m1", "sh", "-c", "exit 8").returncode == 8
    assert command_line("ssh", "m1", "cat", stdin="two words").stdout == "two words"


@pytest.mark.parametrize(
    ("user", "command", "code"),
    [
        ("ops", "sudo -n true", 0),
        ("asks", "sudo -n true", 1),
        ("asks", "echo lab-only | sudo -S true", 0),
        ("nosudo", "sudo -n true", 1),
    ],
)
def test_users_may_what_they_are_for(running: Lab, user: str, command: str, code: int) -> None:
    assert running.run("m1", command, user=user, check=False).returncode == code


def test_packages_can_be_installed_again_without_network(running: Lab) -> None:
    running.run("m1", "apt-get purge -y haproxy keepalived && apt-get autoremove -y")
    assert running.run("m1", "command -v haproxy", check=False).returncode != 0
    running.run("m1", "apt-get update; apt-get install -y haproxy keepalived")
    assert running.run("m1", "haproxy -v").returncode == 0


def test_up_again_touches_nothing(running: Lab) -> None:
    before = [init_of(running, host.name) for host in running.hosts]
    edited = FOLDER / "hosts.yaml"
    edited.write_text(edited.read_text() + "# mine\n")
    assert command_line("up", "--no-binaries").returncode == 0
    assert [init_of(running, host.name) for host in running.hosts] == before
    assert "# mine" in edited.read_text()


def test_up_heals_a_host_whose_processes_were_killed(running: Lab) -> None:
    other = init_of(running, "m2")
    running.run("m1", "echo kept >/root/state; sync")
    murder(running, "m1")
    assert command_line("status").returncode == 1
    assert command_line("up", "--no-binaries").returncode == 0
    assert running.run("m1", "cat /root/state").stdout == "kept\n"
    assert init_of(running, "m2") == other


def test_up_heals_a_host_that_lost_only_its_container_program(running: Lab) -> None:
    host = running.host("m1")
    program = processes.parent(init_of(running, "m1"))
    assert processes.is_nspawn(program)
    os.kill(program, signal.SIGKILL)
    assert wait_for(lambda: not host.is_whole(), seconds=5)
    running.up(with_binaries=False)
    assert states(running) == [State.RUNNING, State.RUNNING]


def test_up_heals_after_poweroff_from_inside(running: Lab) -> None:
    running.run("m1", "systemctl poweroff", check=False)
    host = running.host("m1")
    assert wait_for(lambda: not host.cgroup.processes(), seconds=20)
    assert states(running)[0] is State.OFF
    running.up(with_binaries=False)
    assert states(running) == [State.RUNNING, State.RUNNING]


def test_up_heals_stale_mounts_and_a_lost_bridge_as_after_a_crash(running: Lab) -> None:
    """Everything is killed and the bridge gone, the mounts stay: then a reboot, where these are gone too."""
    for host in running.hosts:
        murder(running, host.name)
    subprocess.run(["ip", "link", "delete", running.facts.bridge], check=True)
    assert command_line("up", "--no-binaries").returncode == 0
    assert states(running) == [State.RUNNING, State.RUNNING]


def test_up_plugs_running_hosts_into_a_new_bridge(running: Lab) -> None:
    before = init_of(running, "m1")
    subprocess.run(["ip", "link", "delete", running.facts.bridge], check=True)
    running.up(with_binaries=False)
    assert states(running) == [State.RUNNING, State.RUNNING]
    assert init_of(running, "m1") == before


def test_reset_makes_a_host_bare_and_keeps_its_host_keys(running: Lab) -> None:
    running.run("m1", "touch /root/leftover; systemctl enable haproxy")
    running.run("m2", "touch /root/stays")
    key = running.run("m1", "cat /etc/ssh/ssh_host_ed25519_key.pub").stdout
    assert command_line("reset", "m1").returncode == 0
    assert running.run("m1", "ls /root").stdout == ""
    assert running.run("m1", "systemctl is-enabled haproxy", check=False).stdout.strip() == "disabled"
    assert running.run("m1", "cat /etc/ssh/ssh_host_ed25519_key.pub").stdout == key
    assert running.run("m2", "ls /root").stdout == "stays\n"


def test_off_and_on_keep_the_state(running: Lab) -> None:
    running.run("m1", "echo kept >/root/state")
    assert command_line("off", "m1").returncode == 0
    assert states(running) == [State.OFF, State.RUNNING]
    assert not (INTERFACES / running.host("m1").port).exists()
    assert command_line("ssh", "m1", "true").returncode == 255
    assert command_line("on", "m1").returncode == 0
    assert running.run("m1", "cat /root/state").stdout == "kept\n"


def test_a_frozen_host_hangs_until_it_is_thawed(running: Lab) -> None:
    before = init_of(running, "m1")
    assert command_line("freeze", "m1").returncode == 0
    assert states(running) == [State.FROZEN, State.RUNNING]
    assert not running.host("m1").is_well()
    assert command_line("thaw", "m1").returncode == 0
    assert states(running) == [State.RUNNING, State.RUNNING]
    assert init_of(running, "m1") == before


def test_a_frozen_host_can_lose_its_power(running: Lab) -> None:
    running.freeze("m1")
    running.off("m1")
    assert states(running)[0] is State.OFF


def test_a_taken_subnet_and_bridge_are_refused_in_one_sentence(running: Lab) -> None:
    command = [sys.executable, "-m", "lab", "up", "--name", "labtest-b", "--subnet", SUBNET, "--no-binaries"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert str(FOLDER) in refused.stderr
    assert "--subnet" in refused.stderr
    assert not lab_folder(ROOT, "labtest-b").exists()


def test_down_leaves_nothing(running: Lab) -> None:
    locks = [nspawn_lock(running.host(host.name).folder / "merged") for host in running.hosts]
    assert all(lock.exists() for lock in locks)
    murder(running, "m1")
    assert any(traces().values())
    assert command_line("down").returncode == 0
    assert {kind: found for kind, found in traces().items() if found} == {}
    assert not any(lock.exists() for lock in locks)
    assert not FOLDER.exists()
    assert command_line("down").returncode == 0


def test_down_finds_hosts_whose_folder_was_deleted_by_hand(lab: Lab) -> None:
    command_line("down")
    assert command_line("up", "--hosts", "1", "--no-binaries").returncode == 0
    (FOLDER / "lab.json").unlink()
    assert Facts.load(FOLDER) is None
    shutil.rmtree(FOLDER / "hosts" / "m1" / "keys")
    assert command_line("down").returncode == 0
    assert {kind: found for kind, found in traces().items() if found} == {}
    assert not FOLDER.exists()
