"""The lock's script on a host, run here with a folder of its own."""

import subprocess
import time
from pathlib import Path

import pytest

from kubenorn.layout import STATE
from tasks.host_lock import _HOLD, DYING_SECONDS, STALE_SECONDS, _Lock


def hold(folder: Path, owner: str, mode: str = "keep") -> subprocess.Popen[str]:
    script = _HOLD.replace(str(STATE), str(folder)).replace(f"-w {DYING_SECONDS} 9", "-w 1 9")
    return subprocess.Popen(
        ["sh", "-c", script, "sh", mode, owner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.parametrize("mode", ["keep", "break"])
def test_a_lock_that_is_fed_is_left_alone(tmp_path: Path, mode: str) -> None:
    first = hold(tmp_path, "first")
    assert said(first) == "locked"
    second = hold(tmp_path, "second", mode)
    assert said(second).endswith("first")
    assert second.wait(10) == 75
    assert first.poll() is None
    first.communicate()
    assert not (tmp_path / "run-lock.owner").exists()


def test_one_that_nobody_feeds_is_taken_when_asked_for(tmp_path: Path) -> None:
    first = hold(tmp_path, "first")
    assert said(first) == "locked"
    ago = time.time() - STALE_SECONDS - 60
    subprocess.run(["touch", "-d", f"@{ago}", tmp_path / "run-lock.fed"], check=True)
    second = hold(tmp_path, "second", "break")
    held, age, owner = said(second).split("\t")
    assert (held, owner) == ("held", "first")
    assert STALE_SECONDS + 60 <= int(age) <= STALE_SECONDS + 70
    assert said(second) == "locked"
    assert first.wait(10) != 0
    second.communicate()


def test_what_an_earlier_run_still_does_is_waited_for(tmp_path: Path) -> None:
    orphan = subprocess.Popen(["flock", tmp_path / "lock", "sleep", "2"])
    time.sleep(0.3)
    process = hold(tmp_path, "next")
    waiting = list(iter(lambda: said(process), "locked"))
    assert set(waiting) == {"busy"}
    assert orphan.wait(5) == 0
    process.communicate()


def test_waiting_ends_with_the_controller(tmp_path: Path) -> None:
    orphan = subprocess.Popen(["flock", tmp_path / "lock", "sleep", "30"])
    try:
        time.sleep(0.3)
        process = hold(tmp_path, "next")
        assert said(process) == "busy"
        assert process.stdout
        process.stdout.close()
        assert process.wait(5) != 0
    finally:
        subprocess.run(["pkill", "-P", str(orphan.pid)], check=False)
        orphan.wait(5)


def test_a_lock_that_ends_by_itself_is_lost() -> None:
    lock = _Lock()
    lock._answer("m1", "locked")
    lock.check()
    lock._ended("m1", "refused", "another run took it")
    with pytest.raises(Exception, match=r"m1: its lock is lost \(another run took it\)"):
        lock.check()
