"""The scripts that change a host and put it back, run for real in a folder, with a systemctl that does nothing."""

import os
import subprocess
from pathlib import Path

import pytest

from kubenorn.render import render_purely

UNIT = "haproxy"
NOBODY = f"{os.getuid()}:{os.getgid()}"


class Sandbox:
    """A folder that stands for a host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sets = folder / "change-sets"
        self.change_set = self.sets / "run"
        self.etc = folder / "etc"
        self.staging = folder / "staging"
        self.state = folder / "state"
        self.unjudged = folder / "unjudged"
        for made in (self.sets, self.etc, self.staging / "payload", folder / "bin"):
            made.mkdir(parents=True)
        self.state.write_text("active")
        show = f'case $3 in ActiveState) echo "$3=$(cat {self.state})";; *) echo "$3=0";; esac'
        self.program("systemctl", f"case $1 in is-active) cat {self.state};; show) {show};; esac")
        self.program("journalctl", "echo 'error: no such flag'")

    def program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def rollback_script(self, folder: Path, units: str) -> Path:
        (folder / "units").write_text(units)
        script = folder / "rollback.sh"
        script.write_text(render_purely("rollback.sh.j2", {"deadline_seconds": 1}))
        return script

    def apply_script(self, files: dict[str, str], *, wait_for: list[str], binaries: str = "") -> Path:
        names = {path: f"{index:03d}" for index, path in enumerate(files)}
        for path, content in files.items():
            (self.staging / "payload" / names[path]).write_text(content)
        self.rollback_script(self.staging, "".join(f"restart\t{unit}\tawaited\n" for unit in wait_for))
        (self.staging / "payload.sha256").write_text("")
        owner, group = NOBODY.split(":")
        shown = [
            {
                "path": path,
                "payload": names[path],
                "mode": 0o640,
                "owner": owner,
                "group": group,
                "validated": None,
            }
            for path in files
        ]
        script = self.staging / "apply.sh"
        script.write_text(
            render_purely(
                "apply.sh.j2",
                {
                    "packages": (), "package_manager": None, "users": (), "directories": (), "binaries": (),
                    "zstd": True, "roll_back": True, "unjudged": self.unjudged, "change_set": self.change_set,
                    "change_sets": self.sets,
                    "kept_change_sets": 3, "digests": self.folder / "digests", "files": shown, "permissions": (),
                    "tmpfiles": None, "daemon_reload": False, "enable": (), "unit_actions": (),
                    "wait_for": wait_for, "deadline_seconds": 1, "restart_limit": 10,
                },
            )
        )  # fmt: skip
        return script

    def run(self, script: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", script], env=self.environment, capture_output=True, text=True, check=False, timeout=30
        )


@pytest.fixture
def host(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def test_what_is_put_back_stays_a_link_and_the_rest_follows(host: Sandbox) -> None:
    host.change_set.mkdir()
    kept = host.change_set / "files" / str(host.etc).lstrip("/")
    kept.mkdir(parents=True)
    (kept / "link").symlink_to("../somewhere/else")
    (kept / "plain").write_text("before")
    for name in ("link", "plain"):
        (host.etc / name).write_text("after")
    lines = [f"1\tkept\t{host.etc}/plain", f"2\tkept\t{host.etc}/gone", f"3\tkept\t{host.etc}/link"]
    (host.change_set / "journal").write_text("".join(f"{line}\t\t\n" for line in lines))
    done = host.run(host.rollback_script(host.change_set, f"restart\t{UNIT}\tawaited\n"))
    assert str((host.etc / "link").readlink()) == "../somewhere/else"
    assert (host.etc / "plain").read_text() == "before"
    assert f"step\trestart {UNIT}" in done.stdout
    assert done.stdout.splitlines()[-1] == f"rollback-failed\t{host.etc}/gone could not be put back"
    assert done.returncode == 1
    assert (host.change_set / "journal").exists(), "it can be tried again"


def test_a_unit_that_was_starting_is_not_waited_for(host: Sandbox) -> None:
    host.change_set.mkdir()
    (host.change_set / "journal").write_text(f"1\tabsent\t{host.etc}/new\t\t\n")
    host.state.write_text("activating")
    done = host.run(host.rollback_script(host.change_set, f"restart\t{UNIT}\t\n"))
    assert done.returncode == 0, done.stdout
    assert "step\trestart" in done.stdout


def test_a_host_whose_controller_went_away_undoes_what_failed(host: Sandbox) -> None:
    target = host.etc / "haproxy.cfg"
    target.write_text("before")
    host.state.write_text("failed")
    script = host.apply_script({str(target): "after"}, wait_for=[UNIT])
    reading, writing = os.pipe()
    os.close(reading)  # nobody listens from the first word on
    host.program(
        "sleep", f"[ -e {host.folder}/seen ] || cp {target} {host.folder}/seen; exec /usr/bin/sleep $1"
    )
    process = subprocess.Popen(
        ["sh", script], env=host.environment, stdout=writing, stderr=subprocess.DEVNULL
    )
    os.close(writing)
    process.wait(30)
    assert (host.folder / "seen").read_text() == "after", "it was in place"
    assert target.read_text() == "before"


def test_what_is_applied_waits_to_be_judged(host: Sandbox) -> None:
    script = host.apply_script({str(host.etc / "haproxy.cfg"): "after"}, wait_for=[UNIT])
    assert host.run(script).returncode == 0
    assert host.unjudged.read_text() == f"{host.change_set}\n"
    host.unjudged.unlink()
    host.state.write_text("failed")
    assert host.run(script).returncode == 1
    assert not host.unjudged.exists(), "it was undone at once"


def test_what_replaced_nothing_needs_no_judge(host: Sandbox) -> None:
    """Such as a restart alone: its change set is not kept."""
    assert host.run(host.apply_script({}, wait_for=[UNIT])).returncode == 0
    assert not host.unjudged.exists()


def test_what_never_replaced_anything_takes_no_place_among_the_kept(host: Sandbox) -> None:
    for name in ("a", "b", "c"):
        (host.sets / name).mkdir()
        (host.sets / name / "journal").write_text("1\tabsent\t/x\t\t\n")
    script = host.apply_script({str(host.etc / "file"): "new"}, wait_for=[])
    (host.staging / "payload.sha256").write_text(f"{'0' * 64}  payload/000\n")
    done = host.run(script)
    assert "failed\tthe transfer arrived damaged" in done.stdout
    assert sorted(each.name for each in host.sets.iterdir()) == ["a", "b", "c"]
    (host.staging / "payload.sha256").write_text("")
    assert host.run(script).returncode == 0
    assert sorted(each.name for each in host.sets.iterdir()) == ["b", "c", "run"]


def test_folders_that_it_makes_on_the_way_can_be_entered(host: Sandbox) -> None:
    script = host.apply_script({str(host.etc / "a" / "b" / "file"): "new"}, wait_for=[])
    assert host.run(script).returncode == 0
    assert [(host.etc / each).stat().st_mode & 0o777 for each in ("a", "a/b", "a/b/file")] == [
        0o755,
        0o755,
        0o640,
    ]
