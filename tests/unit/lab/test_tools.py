import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kubenorn.errors import HostsWrongError
from lab.__main__ import duration
from lab.tools import built_folder, in_parallel, locked, run, wait_for, write_atomically


def test_a_failure_shows_the_command_and_its_last_words() -> None:
    with pytest.raises(HostsWrongError, match=r"exit 3.*failed with 3: sorry"):
        run(["sh", "-c", "echo sorry >&2; exit 3"])


def test_a_command_that_takes_too_long_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(HostsWrongError, match=r"longer than 0\.2 s"):
        run(["sleep", "30"], timeout=0.2)
    assert time.monotonic() - started < 5


def test_a_missing_program_is_named() -> None:
    with pytest.raises(HostsWrongError, match="no-such-program was not found"):
        run(["no-such-program"])


def test_stdin_is_passed_and_output_returned() -> None:
    assert run(["cat"], input="two\nlines").stdout == "two\nlines"


def test_results_come_in_order_and_all_failures_are_told() -> None:
    assert in_parallel(lambda n: n * n, [3, 1, 2]) == [9, 1, 4]
    assert in_parallel(lambda n: n, []) == []

    def fail(name: str) -> None:
        raise HostsWrongError(f"{name} is broken")

    with pytest.raises(HostsWrongError, match="m1 is broken\nm2 is broken"):
        in_parallel(fail, ["m1", "m2"])


def test_a_lock_keeps_others_out_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    seen: list[str] = []
    waited = threading.Event()

    def second() -> None:
        with locked(path, waiting=waited.set):
            seen.append("second")

    with locked(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(5)
        seen.append("first")
    thread.join(5)
    assert seen == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    script = (
        "import os, sys; from pathlib import Path; from lab.tools import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert path.exists()
    with locked(path, waiting=lambda: pytest.fail("waited for a dead holder")):
        pass


def test_a_build_that_fails_leaves_nothing_and_clears_older_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "entry"
    (tmp_path / ".entry.building-killed").mkdir()

    def failing_build() -> None:
        with built_folder(target) as building:
            (building / "half").touch()
            raise HostsWrongError("no disk")

    with pytest.raises(HostsWrongError):
        failing_build()
    assert list(tmp_path.iterdir()) == []
    with built_folder(target) as building:
        (building / "whole").touch()
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    write_atomically(path, "new", 0o600)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_waiting_ends_at_the_deadline() -> None:
    assert wait_for(lambda: True, seconds=0)
    assert not wait_for(lambda: False, seconds=0.1)


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "5 s"), (61, "1 min"), (3 * 3600 + 300, "3 h 5 min")])
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
