"""The operator's hooks, and the guard that runs one when the drill cannot."""

import shlex
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from kubenorn.drill.guard import FAILED, MENDED, Orders
from kubenorn.drill.scenarios import Hook
from kubenorn.errors import HostsWrongError
from lab.tools import wait_for
from tasks.hooks import HookGuard, Hooks


def hooks(folder: Path, **commands: str) -> Hooks:
    return Hooks({Hook(name): line for name, line in commands.items()}, folder)


def test_a_hook_runs_in_its_folder_without_a_shell(tmp_path: Path) -> None:
    hooks(tmp_path, freeze="touch '{host} $HOME'").run(Hook.FREEZE, "m1")
    assert [each.name for each in tmp_path.iterdir()] == ["m1 $HOME"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sh -c 'echo no power >&2; exit 3' {host}", "m1: the hook freeze ended with 3: no power"),
        ("no-such-program {host}", "m1: the hook freeze could not be run: No such file or directory."),
    ],
)
def test_a_hook_that_fails_tells_why(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(HostsWrongError, match=sentence):
        hooks(tmp_path, freeze=line).run(Hook.FREEZE, "m1")


def test_what_mends_is_tried_twice(tmp_path: Path) -> None:
    line = "sh -c 'test -e once && touch twice || { touch once; exit 1; }' {host}"
    hooks(tmp_path, thaw=line).mend(Hook.THAW, "m1")
    assert (tmp_path / "twice").exists()


def test_a_hook_that_does_not_end_is_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.hooks.HOOK_SECONDS", 0.2)
    with pytest.raises(HostsWrongError) as caught:
        hooks(tmp_path, freeze="sh -c 'sleep 30' --password=hunter2 {host}").run(Hook.FREEZE, "m1")
    assert str(caught.value) == "m1: the hook freeze did not end within 0 s."


def guarded(folder: Path, seconds: float = 60, **commands: str) -> HookGuard:
    own = hooks(folder, **({"freeze": "true {host}", "thaw": "touch {host}"} | commands))
    return HookGuard(own, Hook.FREEZE, Hook.THAW, "m1", seconds)


def test_a_disarmed_guard_mends_nothing(tmp_path: Path) -> None:
    before = time.monotonic()
    guard = guarded(tmp_path)
    assert before <= guard.broken() <= time.monotonic()
    guard.disarm()
    assert list(tmp_path.iterdir()) == []


def test_a_guard_tells_why_the_host_could_not_be_broken(tmp_path: Path) -> None:
    guard = guarded(tmp_path, freeze="sh -c 'echo no power >&2; exit 3' {host}")
    with pytest.raises(HostsWrongError, match="m1: the hook freeze ended with 3: no power"):
        guard.broken()
    guard.disarm()


def test_a_guard_that_is_gone_is_told(tmp_path: Path) -> None:
    guard = guarded(tmp_path, freeze="sleep 2 {host}")
    guard._process.kill()
    with pytest.raises(HostsWrongError, match="m1: the process that runs the hook freeze ended"):
        guard.broken()


def test_a_guard_mends_when_nobody_disarms_it_and_says_so_when_asked(tmp_path: Path) -> None:
    guard = guarded(tmp_path, seconds=0.1)
    guard.broken()
    assert wait_for((tmp_path / "m1").exists, seconds=20)
    with pytest.raises(HostsWrongError, match="dead-man switch mended the host"):
        guard.disarm()


DRILL = """
import sys, time
from pathlib import Path
from kubenorn.drill.scenarios import Hook
from tasks.hooks import HookGuard, Hooks
lines = {Hook.FREEZE: "sh -c 'sleep 1; echo broken >>state' {host}", Hook.THAW: "sh -c 'echo mended >>state' {host}"}
HookGuard(Hooks(lines, Path(sys.argv[1])), Hook.FREEZE, Hook.THAW, "m1", 60).broken()
"""


def test_a_drill_killed_while_its_hook_breaks_leaves_the_host_mended(tmp_path: Path) -> None:
    """The hook outlives the drill and breaks the host: what mends must come after that, not before."""
    drill = subprocess.Popen([sys.executable, "-c", DRILL, str(tmp_path)])
    assert wait_for(lambda: hook_runs(tmp_path), seconds=20, interval=0.05)
    drill.kill()
    drill.wait()
    state = tmp_path / "state"
    assert wait_for(lambda: state.exists() and "mended" in state.read_text(), seconds=20)
    assert state.read_text().split() == ["broken", "mended"]


def hook_runs(folder: Path) -> bool:
    """Whether a process other than the guard works in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve() == folder.resolve():
                found.append((process / "comm").read_text().strip())
    return "sleep" in found


def test_mending_is_tried_until_it_works(tmp_path: Path) -> None:
    failing = "sh -c 'echo >>tries; test $(wc -l <tries) = 3' {host}"
    orders = Orders(["true"], shlex.split(failing), dead_man=0, longest=10, pause=0.05, trying=10)
    command = [sys.executable, "-m", "kubenorn.drill.guard"]
    assert subprocess.run([*command, orders.to_json()], cwd=tmp_path, check=False).returncode == MENDED
    assert len((tmp_path / "tries").read_text()) == 3
    hopeless = replace(orders, mending=["false"], trying=0.1)
    ended = subprocess.run([*command, hopeless.to_json()], cwd=tmp_path, check=False).returncode
    assert ended == FAILED
