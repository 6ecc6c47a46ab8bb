"""The lock's script on a host, run here with a folder of its own."""

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubenorn.render import render_purely
from tasks.host_lock import STALE_SECONDS, Lock


class Host:
    """A folder that stands for a host, with one change set whose unit is as the file `unit` says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unjudged = folder / "unjudged"
        self.unit = folder / "unit"
        self.change_set = folder / "change-sets" / "run"
        for made in (self.change_set, folder / "bin"):
            made.mkdir(parents=True)
        self.unit.write_text("active")
        self.program("systemctl", f"cat {self.unit}")
        self.program("sleep", "exec /usr/bin/sleep 0.1")
        (self.change_set / "units").write_text("restart\thaproxy\tawaited\n")
        (self.change_set / "journal").write_text("1\tkept\t/etc/haproxy/haproxy.cfg\n")
        (self.change_set / "rollback.sh").write_text(f"echo >{folder}/put-back\n")

    def program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def applied(self) -> None:
        self.unjudged.write_text(f"{self.change_set}\n")

    @property
    def put_back(self) -> bool:
        return (self.folder / "put-back").exists()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def hold(host: Host, owner: str, mode: str = "keep") -> subprocess.Popen[str]:
    variables = {
        "state": host.folder,
        "unjudged": host.unjudged,
        "orphan_seconds": 20,
        "dying_seconds": 1,
        "stale_seconds": STALE_SECONDS,
    }
    return subprocess.Popen(
        ["sh", "-c", render_purely("lock.sh.j2", variables), "sh", mode, owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{host.folder / 'bin'}:{os.environ['PATH']}"},
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.parametrize("mode", ["keep", "break"])
def test_a_lock_that_is_fed_is_left_alone(host: Host, mode: str) -> None:
    first = hold(host, "first")
    assert said(first) == "locked"
    second = hold(host, "second", mode)
    assert said(second).endswith("first")
    assert second.wait(10) == 75
    assert first.poll() is None
    first.communicate()
    assert not (host.folder / "run-lock.owner").exists()


def test_one_that_nobody_feeds_is_taken_when_asked_for(host: Host) -> None:
    first = hold(host, "first")
    assert said(first) == "locked"
    ago = time.time() - STALE_SECONDS - 60
    subprocess.run(["touch", "-d", f"@{ago}", host.folder / "run-lock.fed"], check=True)
    second = hold(host, "second", "break")
    held, age, owner = said(second).split("\t")
    assert (held, owner) == ("held", "first")
    assert STALE_SECONDS + 60 <= int(age) <= STALE_SECONDS + 70
    assert said(second) == "locked"
    assert first.wait(10) != 0
    second.communicate()


def test_what_an_earlier_run_still_does_is_waited_for(host: Host) -> None:
    orphan = subprocess.Popen(["flock", host.folder / "lock", "sleep", "2"])
    time.sleep(0.3)
    process = hold(host, "next")
    waiting = list(iter(lambda: said(process), "locked"))
    assert set(waiting) == {"busy"}
    assert orphan.wait(5) == 0
    process.communicate()


def test_waiting_ends_with_the_controller(host: Host) -> None:
    orphan = subprocess.Popen(["flock", host.folder / "lock", "sleep", "30"])
    try:
        time.sleep(0.3)
        process = hold(host, "next")
        assert said(process) == "busy"
        assert process.stdout
        process.stdout.close()
        assert process.wait(5) != 0
    finally:
        subprocess.run(["pkill", "-P", str(orphan.pid)], check=False)
        orphan.wait(5)


def test_what_its_controller_has_judged_is_left_as_it_is(host: Host) -> None:
    process = hold(host, "first")
    assert said(process) == "locked"
    host.applied()
    host.unit.write_text("failed")
    process.communicate("\njudged\n", timeout=10)
    assert not host.unjudged.exists()
    assert not host.put_back


@pytest.mark.parametrize(("state", "put_back"), [("active", False), ("reloading", False), ("failed", True)])
def test_what_a_killed_controller_left_is_judged_in_its_stead(host: Host, state: str, put_back: bool) -> None:
    process = hold(host, "first")
    assert said(process) == "locked"
    host.applied()
    host.unit.write_text(state)
    process.communicate("\n", timeout=10)
    assert host.put_back is put_back
    assert not host.unjudged.exists()
    assert not (host.folder / "run-lock.owner").exists()


def test_the_script_of_a_killed_controller_ends_before_it_is_judged(host: Host) -> None:
    process = hold(host, "first")
    assert said(process) == "locked"
    script = f"/usr/bin/sleep 1; echo {host.change_set} >{host.unjudged}; echo failed >{host.unit}"
    subprocess.Popen(["flock", host.folder / "lock", "sh", "-c", script])
    time.sleep(0.3)
    process.communicate("\n", timeout=10)
    assert host.put_back


def test_the_next_run_waits_while_it_is_judged(host: Host) -> None:
    first = hold(host, "first")
    assert said(first) == "locked"
    host.applied()
    host.program("sleep", "exec /usr/bin/sleep 0.4")
    assert first.stdin
    first.stdin.close()
    second = hold(host, "second")
    assert set(iter(lambda: said(second), "locked")) == {"busy"}
    assert first.wait(1) == 0
    assert not host.unjudged.exists()
    second.communicate("judged\n", timeout=10)


def test_what_nobody_judged_is_judged_before_the_next_run(host: Host) -> None:
    host.applied()
    host.unit.write_text("failed")
    process = hold(host, "next")
    assert set(iter(lambda: said(process), "locked")) == {"busy"}
    assert host.put_back
    process.communicate("judged\n", timeout=10)


def test_what_was_put_back_already_is_not_put_back_again(host: Host) -> None:
    host.applied()
    host.unit.write_text("failed")
    (host.change_set / "journal").rename(host.change_set / "journal.rolled-back")
    hold(host, "next").communicate("judged\n", timeout=10)
    assert not host.put_back
    assert not host.unjudged.exists()


def test_a_lock_that_ends_by_itself_is_lost() -> None:
    lock = Lock()
    lock._answer("m1", "locked")
    lock.check()
    lock._ended("m1", "refused", "another run took it")
    with pytest.raises(Exception, match=r"m1: its lock is lost \(another run took it\)"):
        lock.check()


@pytest.mark.parametrize("late", [False, True], ids=["before it is fed", "while it is fed"])
def test_a_host_that_was_found_ready_is_said_to_be_judged_once(
    monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Once: what may be changed there later is not judged with it."""
    written: list[bytes] = []
    lock = Lock()
    if not late:
        lock.judged(["m1"])

    def write(data: bytes) -> None:
        written.append(data)
        if late and len(written) == 1:
            lock.judged(["m1"])

    def run_command(_: Any, __: str, *, feed: Any, **___: Any) -> None:
        waits = iter([False, False, False, True])
        monkeypatch.setattr(lock.release, "wait", lambda _: next(waits))
        feed(SimpleNamespace(write=write))

    monkeypatch.setattr("tasks.host_lock.run_command", run_command)
    monkeypatch.setattr("tasks.host_lock.renderer", lambda _: render_purely)
    task: Any = SimpleNamespace(host=SimpleNamespace(name="m1"))
    lock.hold(task, "me", break_lock=False)
    said = [b"\n", b"judged\n", b"\n"] if late else [b"judged\n", b"\n", b"\n"]
    assert written == [*said, b"judged\n"], "the last is how it ends"
