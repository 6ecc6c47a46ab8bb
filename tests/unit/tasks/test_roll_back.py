"""What puts a change set back on a host, run here with a folder of its own."""

import subprocess
from pathlib import Path

import pytest

from kubenorn.layout import STATE
from kubenorn.payload import ANOTHER_RUN_STATUS
from tasks import roll_back as module
from tasks.roll_back import rolling_back


@pytest.fixture
def change_set(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "journal").write_text("1\tabsent\t/x\t\t\n")
    (folder / "rollback.sh").write_text(
        f"mv {folder}/journal {folder}/journal.rolled-back; echo >>{folder}/times"
    )
    return folder


def rolled_back(change_set: Path) -> int:
    script = rolling_back(str(change_set)).replace(str(STATE), str(change_set.parent))
    return subprocess.run(["sh", "-c", script], check=False, timeout=20).returncode


def test_it_waits_for_a_host_that_does_so_by_itself(change_set: Path) -> None:
    """Two at once would rename each other's half-written files into place."""
    host = subprocess.Popen(
        ["flock", change_set.parent / "lock", "sh", "-c", f"echo >&2; sleep 1; sh {change_set}/rollback.sh"],
        stderr=subprocess.PIPE,
    )
    assert host.stderr
    host.stderr.readline()  # it has the lock
    assert rolled_back(change_set) == 0
    assert host.wait(5) == 0
    assert (change_set / "times").read_text() == "\n", "once"


def test_one_that_does_not_end_is_told(change_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 1)
    host = subprocess.Popen(
        ["flock", change_set.parent / "lock", "sh", "-c", "echo >&2; exec sleep 5"], stderr=subprocess.PIPE
    )
    assert host.stderr
    host.stderr.readline()
    assert rolled_back(change_set) == ANOTHER_RUN_STATUS
    assert host.wait(10) == 0
    assert rolled_back(change_set) == 0
