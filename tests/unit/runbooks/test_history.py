"""The history runbook, run as a program: tables that fit, one run whole, JSON, refusals."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kubenorn.run_journal import RunJournal, runs_folder
from kubenorn.run_operator import Operator
from kubenorn.run_record import (
    Availability,
    HostResult,
    HostState,
    Outcome,
    PlannedChange,
    RunRecord,
    new_record,
    run_id,
)
from tests.unit.builders import cluster_data
from tests.unit.inventories import write_inventory

MOMENT = datetime(2026, 11, 21, 2, 15, 7, 123000, tzinfo=UTC)
RUNBOOK = Path("runbooks/history.py").absolute()
HOSTS = ["production-master-01", "production-master-02", "production-master-03"]
CHANGED, UNCHANGED = HostResult(HostState.CHANGED, "2 changes"), HostResult(HostState.UNCHANGED, "as desired")
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    second = {
        "groups.test": {"data": {"cluster": cluster_data(name="test", vip="192.168.81.13")}},
        "hosts.t1": {"hostname": "192.168.81.1", "groups": ["test"], "data": {"role": "master"}},
        "hosts.w1": {"hostname": "192.168.80.50", "groups": ["production"], "data": {"role": "worker"}},
    }
    config = write_inventory(tmp_path, second)

    def run(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(RUNBOOK), "--config", str(config), *arguments],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(RUNBOOK.parent.parent),
                "COLUMNS": str(columns),
                "TZ": "Asia/Kolkata",
                "PYTHONUTF8": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def record(folder: Path, hours: int, results: list[HostResult], **changes: object) -> RunRecord:
    """Write a record of a run so many hours after the first and return it."""
    cluster = str(changes.pop("cluster", "production"))
    made = new_record("deploy", cluster, [], ["--filter", "role=master", "[bold]"])
    made.started = MOMENT + timedelta(hours=hours)
    made.id = run_id(made.started)
    made.who = Operator("kubernetes-admin", "controller-1", 4711, "alice")
    made.results = dict(zip(HOSTS, results, strict=False))
    made.finish(Outcome.OK, 0, made.started + timedelta(seconds=192.4))
    for name, value in changes.items():
        setattr(made, name, value)
    RunJournal(runs_folder(folder / "artifacts", cluster)).begin(made)
    return made


def everything(folder: Path) -> list[RunRecord]:
    back = HostResult(HostState.ROLLED_BACK, "haproxy did not become active")
    lost = HostResult(HostState.NOT_REACHED, "no route to 192.168.80.9")
    not_begun = HostResult(HostState.NOT_BEGUN)
    plan = {
        host: [PlannedChange("update", "file", "/etc/haproxy/haproxy.cfg", "content differs")]
        for host in HOSTS
    }
    return [
        record(folder, 0, [CHANGED] * 3, plan=plan),
        record(folder, 1, [UNCHANGED] * 3, plan={host: [] for host in HOSTS}),
        record(folder, 2, [CHANGED, back, not_begun], plan=plan, outcome=Outcome.FAILED, exit_code=1),
        record(folder, 3, [not_begun, not_begun, lost], outcome=Outcome.FAILED, exit_code=3),
        record(folder, 4, [not_begun] * 3, outcome=Outcome.REFUSED, exit_code=2),
        record(folder, 5, [not_begun] * 3, plan=plan, dry_run=True),
        record(folder, 6, [CHANGED, not_begun, not_begun], outcome=Outcome.INTERRUPTED, exit_code=130),
        record(folder, 7, [not_begun] * 3, outcome=Outcome.RUNNING, finished=None, exit_code=None),
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table(columns: int, program: Program, tmp_path: Path) -> None:
    records = everything(tmp_path)
    local = runs_folder(tmp_path / "artifacts", "production")
    killed = replace(new_record("deploy", "production", HOSTS, []), id="2026-11-22T00-00-00.000Z")
    killed.who = replace(killed.who, process="another-boot/1")
    RunJournal(local).begin(killed)
    (local / "2026-11-23T00-00-00.000Z.json").write_text("{")
    record(tmp_path, 0, [UNCHANGED], cluster="test")
    done = program(columns=columns)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in done.stdout
    words = " ".join(done.stdout.split())
    for each in records:
        assert each.id in words
    for said in (
        "2026-11-21 07:45+05:30",
        "3 min 12 s",
        "interrupted",
        "refused",
        "running",
        "killed",
        "damaged",
    ):
        assert said in words
    assert words.index("Runs of production") < words.index("Runs of test")
    ids = [line.split()[0] for line in lines if line.startswith("2026-11-2") and "Z" in line.split()[0]]
    assert ids[:-1] == sorted(ids[:-1], reverse=True)


def test_what_is_said_of_each(program: Program, tmp_path: Path) -> None:
    everything(tmp_path)
    words = " ".join(program(columns=300).stdout.split())
    for said in (
        "3 changed",
        "No changes",
        "1 changed, rolled back production-master-02, 1 not begun",
        "not reached production-master-03, 2 not begun",
        "nothing begun",
        "dry run: 3 changes",
        "1 changed, 2 not begun",
        "nothing yet",
        "alice as kubernetes-admin",
    ):
        assert said in words, said


@pytest.mark.parametrize("columns", [80, 120])
def test_one_run_whole(columns: int, program: Program, tmp_path: Path) -> None:
    seen = everything(tmp_path)[2]
    seen.remarks = ["production-master-02: keepalived [/bold] waits"]
    seen.availability = Availability(200, 3, 450)
    RunJournal(runs_folder(tmp_path / "artifacts", "production")).update(seen)
    done = program("2026-11-21T04", columns=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= columns
    words = " ".join(done.stdout.split())
    for said in (
        "deploy on production 2026-11-21T04-15-07.123Z",
        "failed, exit code 1: 1 changed, rolled back production-master-02, 1 not begun",
        "2026-11-21 09:45+05:30, took 3 min 12 s",
        "alice as kubernetes-admin on controller-1, process 4711",
        "--filter role=master [bold]",
        "197 of 200 requests answered, longest gap 450 ms",
        "Plan of production-master-01, production-master-02, production-master-03",
        "update file /etc/haproxy/haproxy.cfg content differs",
        "rolled back haproxy did not become active",
        "keepalived [/bold] waits",
    ):
        assert said in words, said


def test_the_last_run_and_json(program: Program, tmp_path: Path) -> None:
    record(tmp_path, 0, [UNCHANGED])
    record(tmp_path, 1, [CHANGED], plan={HOSTS[0]: []})
    last = record(tmp_path, 2, [CHANGED], cluster="test")
    assert f"deploy on test  {last.id}" in program("last").stdout
    done = program("last", "--filter", "group=production", "--json", "run.json")
    assert "deploy on production  2026-11-21T03-15-07.123Z" in done.stdout
    (run,) = json.loads((tmp_path / "run.json").read_text())["runs"]
    assert (run["started"], run["outcome"]) == ("2026-11-21T03:15:07.123000+00:00", "ok")


def test_json_of_the_list(program: Program, tmp_path: Path) -> None:
    record(tmp_path, 0, [UNCHANGED])
    newest = record(tmp_path, 1, [UNCHANGED])
    (runs_folder(tmp_path / "artifacts", "production") / "1.json").write_text("x")
    assert program("--last", "1", "--json", "one.json").returncode == 0
    found = json.loads((tmp_path / "one.json").read_text())["clusters"]
    assert [each["id"] for each in found["production"]] == [newest.id]
    assert found["test"] == []
    program("--json", "all.json")
    found = json.loads((tmp_path / "all.json").read_text())["clusters"]
    assert found["production"][2]["damaged"].startswith("Invalid JSON")


def test_one_run_of_two_clusters_is_shown_for_both(program: Program, tmp_path: Path) -> None:
    record(tmp_path, 0, [UNCHANGED])
    record(tmp_path, 0, [CHANGED], cluster="test")
    done = program("last")
    assert "deploy on production" in done.stdout
    assert "deploy on test" in done.stdout


def test_no_runs(program: Program) -> None:
    done = program()
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "No runs of production are recorded.",
        "No runs of test are recorded.",
    ]


def test_a_run_that_is_not_there(program: Program, tmp_path: Path) -> None:
    done = program("last")
    assert (done.returncode, done.stderr) == (
        2,
        "no run is recorded of production, test; deploy first, or correct --filter.\n",
    )
    record(tmp_path, 0, [UNCHANGED])
    record(tmp_path, 1, [UNCHANGED])
    done = program("2025")
    assert (done.returncode, done.stderr) == (
        2,
        "there is no run 2025; the newest is 2026-11-21T03-15-07.123Z.\n",
    )
    done = program("2026")
    assert done.returncode == 2
    assert done.stderr.startswith("2026 is the beginning of 2 runs: 2026-11-21T02-15-07.123Z, ")


def test_a_damaged_record_is_told(program: Program, tmp_path: Path) -> None:
    folder = runs_folder(tmp_path / "artifacts", "production")
    folder.mkdir(parents=True)
    (folder / "2026-11-23T00-00-00.000Z.json").write_text("{")
    done = program("last")
    assert done.returncode == 2
    assert done.stderr.startswith("the record of 2026-11-23T00-00-00.000Z cannot be read: Invalid JSON")
