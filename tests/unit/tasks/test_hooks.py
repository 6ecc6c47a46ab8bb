"""The operator's hooks, and the guard that runs one when the drill cannot."""

from pathlib import Path

import pytest

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
        ("no-such-program {host}", "m1: the hook freeze .no-such-program. failed"),
    ],
)
def test_a_hook_that_fails_tells_why(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(HostsWrongError, match=sentence):
        hooks(tmp_path, freeze=line).run(Hook.FREEZE, "m1")


def test_what_mends_is_tried_twice(tmp_path: Path) -> None:
    line = "sh -c 'test -e once && touch twice || { touch once; exit 1; }' {host}"
    hooks(tmp_path, thaw=line).mend(Hook.THAW, "m1")
    assert (tmp_path / "twice").exists()


def test_a_disarmed_guard_does_nothing(tmp_path: Path) -> None:
    guard = HookGuard(hooks(tmp_path, thaw="touch {host}"), Hook.THAW, "m1", 60)
    guard.disarm()
    assert list(tmp_path.iterdir()) == []


def test_a_guard_whose_drill_is_gone_mends_and_says_so_when_asked(tmp_path: Path) -> None:
    guard = HookGuard(hooks(tmp_path, thaw="touch {host}"), Hook.THAW, "m1", 60)
    assert guard._process.stdin
    guard._process.stdin.close()
    assert wait_for((tmp_path / "m1").exists, seconds=20)
    guard._process.stdin = None
    with pytest.raises(HostsWrongError, match="dead-man switch mended the host"):
        guard.disarm()
