"""The recorder of other people's runbooks, with a real Nornir and plain Python tasks."""

import json
import re
import threading
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from netmiko.exceptions import NetmikoTimeoutException
from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.exceptions import NornirExecutionError
from nornir.core.task import Result, Task

from kubenorn.errors import HostsUnreachableError, HostsWrongError
from kubenorn.run_journal import RunJournal
from kubenorn.run_record import HostResult, HostState, RunRecord
from tasks import processors
from tasks.processors import RunRecorder

SECRET = "s3same"
HOSTS = ("m1", "m2", "m3")


@pytest.fixture
def nornir(tmp_path: Path) -> Nornir:
    return a_nornir(tmp_path, HOSTS)


def a_nornir(folder: Path, hosts: tuple[str, ...]) -> Nornir:
    (folder / "hosts.yaml").write_text(json.dumps({name: {"hostname": "192.0.2.1"} for name in hosts}))
    config = {
        "inventory": {"plugin": "SimpleInventory", "options": {"host_file": str(folder / "hosts.yaml")}},
        "logging": {"enabled": False},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    return InitNornir(config_file=str(folder / "config.yaml"))


def journal(folder: Path) -> Path:
    return folder / "artifacts" / "lab" / "runs"


def recorded(folder: Path) -> RunRecord:
    (record,) = RunJournal(journal(folder)).load_all()
    assert isinstance(record, RunRecord)
    return record


def states(record: RunRecord) -> dict[str, str]:
    return {host: result.state.value for host, result in record.results.items()}


def mixed(task: Task) -> Result:
    if task.host.name == "m2":
        raise ValueError(f"wrong\npassword {SECRET}")
    return Result(host=task.host, changed=task.host.name == "m1", result=SECRET)


def test_a_run_is_recorded_without_results(nornir: Nornir, tmp_path: Path) -> None:
    recorder = RunRecorder(journal(tmp_path), runbook="mine")
    result = nornir.with_processors([recorder]).run(task=mixed)
    assert result["m1"][0].result == SECRET
    record = recorded(tmp_path)
    assert (record.cluster, record.runbook, record.outcome, record.exit_code) == ("lab", "mine", "failed", 1)
    assert states(record) == {"m1": "changed", "m2": "failed", "m3": "unchanged"}
    assert record.results["m2"].detail == "mixed: ValueError: wrong"
    assert record.finished is not None
    assert record.seconds is not None
    assert SECRET not in next(journal(tmp_path).iterdir()).read_text()
    assert recorder.problem is None


def test_several_tasks_are_one_run_and_the_gravest_counts(nornir: Nornir, tmp_path: Path) -> None:
    def look(task: Task) -> None: ...

    wired = nornir.with_processors([RunRecorder(journal(tmp_path), runbook="mine")])
    wired.run(task=look)
    assert (recorded(tmp_path).outcome, recorded(tmp_path).exit_code) == ("ok", 0)
    wired.run(task=mixed)
    wired.run(task=look)
    record = recorded(tmp_path)
    assert states(record) == {"m1": "changed", "m2": "failed", "m3": "unchanged"}
    assert record.results["m1"].detail == "mixed"
    assert record.results["m3"].detail == "look, mixed, look"
    assert record.outcome == "failed"


def test_the_cause_is_told_and_not_what_nornir_says_of_it(nornir: Nornir, tmp_path: Path) -> None:
    def innermost(task: Task) -> None:
        raise HostsWrongError("haproxy is\ndown")

    def inner(task: Task) -> None:
        task.run(task=innermost)

    def outer(task: Task) -> None:
        task.run(task=inner)

    nornir.with_processors([RunRecorder(journal(tmp_path), runbook="mine")]).run(task=outer)
    assert recorded(tmp_path).results["m1"].detail == "outer: haproxy is down"


@pytest.mark.parametrize(
    "error",
    [HostsUnreachableError("x"), ConnectionRefusedError(), TimeoutError(), NetmikoTimeoutException("x")],
)
def test_hosts_out_of_reach(error: Exception, nornir: Nornir, tmp_path: Path) -> None:
    def reach(task: Task) -> None:
        raise error

    nornir.with_processors([RunRecorder(journal(tmp_path), runbook="mine")]).run(task=reach)
    assert set(states(recorded(tmp_path)).values()) == {"not reached"}
    assert recorded(tmp_path).exit_code == 3


def test_failed_without_an_exception(nornir: Nornir, tmp_path: Path) -> None:
    def fail(task: Task) -> Result:
        return Result(host=task.host, failed=True, result=SECRET)

    nornir.with_processors([RunRecorder(journal(tmp_path), runbook="mine")]).run(task=fail)
    assert recorded(tmp_path).results["m1"].detail == "fail: failed without saying why"


def test_a_run_that_raises_on_error_ends_too(nornir: Nornir, tmp_path: Path) -> None:
    wired = nornir.with_processors([RunRecorder(journal(tmp_path), runbook="mine")])
    with pytest.raises(NornirExecutionError):
        wired.run(task=mixed, raise_on_error=True)
    assert recorded(tmp_path).outcome == "failed"


def test_while_it_runs_it_is_listed_as_running(nornir: Nornir, tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(task: Task) -> None:
        if task.host.name == "m1":
            seen.append(recorded(tmp_path))

    nornir.with_processors([RunRecorder(journal(tmp_path), runbook="mine")]).run(task=look)
    assert seen[0].outcome == "running"
    assert seen[0].results["m1"] == HostResult(HostState.NOT_BEGUN)


def test_a_journal_that_cannot_be_written_stops_nothing(
    nornir: Nornir, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "artifacts").write_text("a file")
    recorder = RunRecorder(journal(tmp_path), runbook="mine", junit=tmp_path / "no" / "folder.xml")
    result = nornir.with_processors([recorder]).run(task=mixed)
    assert set(result) == set(HOSTS)
    assert recorder.problem is not None
    assert "artifacts" in recorder.problem
    assert "the run is not recorded" in caplog.text


@pytest.mark.parametrize("hook", ["update", "begin"])
def test_no_hook_raises(hook: str, nornir: Nornir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(RunJournal, hook, broken)
    recorder = RunRecorder(journal(tmp_path), runbook="mine")
    assert set(nornir.with_processors([recorder]).run(task=mixed)) == set(HOSTS)
    assert recorder.problem == "RuntimeError: broken"


def test_many_hosts_at_once_lose_no_result(tmp_path: Path) -> None:
    names = tuple(f"h{n}" for n in range(100))
    barrier = threading.Barrier(20)

    def together(task: Task) -> Result:
        barrier.wait(timeout=20)
        return Result(host=task.host, changed=True)

    wired = a_nornir(tmp_path, names).with_processors([RunRecorder(journal(tmp_path), runbook="mine")])
    wired.run(task=together)
    assert states(recorded(tmp_path)) == dict.fromkeys(names, "changed")


def test_one_thread_at_a_time_writes_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = threading.Semaphore(1), []

    def update(self: RunJournal, record: RunRecord) -> None:
        alone = inside.acquire(blocking=False)
        most.append(alone)
        time.sleep(0.002)
        if alone:
            inside.release()

    monkeypatch.setattr(RunJournal, "update", update)
    monkeypatch.setattr(processors, "_SAVE_SECONDS", 0)
    wired = a_nornir(tmp_path, tuple(f"h{n}" for n in range(40))).with_processors(
        [RunRecorder(journal(tmp_path), runbook="mine")]
    )
    wired.run(task=mixed)
    assert len(most) > 40
    assert all(most)


def test_junit(nornir: Nornir, tmp_path: Path) -> None:
    file = tmp_path / "mine.xml"
    nornir.with_processors([RunRecorder(journal(tmp_path), runbook="mine", junit=file)]).run(task=mixed)
    suites = {suite.get("name"): suite for suite in ET.parse(file).getroot()}
    assert {name: suite.get("failures") for name, suite in suites.items()} == {
        "lab.m1": "0",
        "lab.m2": "1",
        "lab.m3": "0",
        "lab": "1",
    }
    assert SECRET not in file.read_text()


def test_the_example_of_the_operations_guide(
    nornir: Nornir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = Path("docs/operations.md").read_text()
    section = guide.partition("## From your own runbooks")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    monkeypatch.chdir(tmp_path)
    exec(compile(found[1], "operations.md", "exec"), {})
    (record,) = RunJournal(tmp_path / "artifacts/production/runs").load_all()
    assert isinstance(record, RunRecord)
    assert (record.runbook, record.cluster, record.outcome) == ("patch", "production", "ok")
    assert (tmp_path / "patch.xml").exists()
