"""The journal of runs: what is kept, what is never kept, and what becomes of killed runs and damaged files."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenorn.errors import HostsUnreachableError, HostsWrongError, InputWrongError
from kubenorn.plan import plan_host
from kubenorn.run_journal import DamagedRecord, RunJournal
from kubenorn.run_operator import Operator, current_operator, is_gone, process_identity
from kubenorn.run_record import (
    Availability,
    HostResult,
    HostState,
    Outcome,
    RunRecord,
    failure_results,
    new_record,
    planned_changes,
    record_from_json,
    run_id,
)
from kubenorn.run_text import one_sentence, shown_argument
from tests.unit.builders import MARKER, a_bare_host, a_desired_host

MOMENT = datetime(2026, 11, 21, 2, 15, 7, 123999, tzinfo=UTC)


def a_record(moment: datetime = MOMENT, outcome: Outcome = Outcome.OK) -> RunRecord:
    record = new_record("deploy", "lab", ["m1", "m2"], ["--filter", "role=master"], started=moment)
    assert (record.id, record.started) == (run_id(moment), moment)
    record.finish(outcome, 0, moment + timedelta(seconds=3))
    return record


def test_the_id_sorts_and_is_a_files_name() -> None:
    assert run_id(MOMENT) == "2026-11-21T02-15-07.123Z"
    assert run_id(MOMENT.astimezone()) == run_id(MOMENT)


@given(st.lists(st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)), min_size=2))
def test_ids_sort_as_their_moments(moments: list[datetime]) -> None:
    ids = [run_id(moment) for moment in sorted(moments)]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"[0-9T.Z-]+", each) for each in ids)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = a_record()
    record.plan = {"m1": planned_changes(plan_host(a_desired_host(), a_bare_host()))}
    record.results["m1"] = HostResult(HostState.ROLLED_BACK, "haproxy did not start", 2.5)
    record.availability = Availability(100, 2, 340)
    record.remarks = ["ünïcode ✓"]
    RunJournal(tmp_path / "runs").begin(record)
    assert RunJournal(tmp_path / "runs").load_all() == [record]
    assert record.seconds == 3
    file = tmp_path / "runs" / f"{record.id}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(file.read_bytes())["format"] == 1


def test_a_plan_is_kept_without_diffs_and_secrets() -> None:
    desired = a_desired_host()
    changes = planned_changes(plan_host(desired, a_bare_host()))
    record = a_record()
    record.plan = {"m1": changes}
    assert len(changes) > 10
    assert {"action", "kind", "target", "reason"} == set(json.loads(record.to_json())["plan"]["m1"][0])
    assert MARKER.encode() not in record.to_json()


@pytest.mark.parametrize(
    ("argument", "kept"),
    [
        ("role=master", "role=master"),
        ("https://me:p@ss/w0rd@mirror/k8s", "https://***@mirror/k8s"),
        ("--source=http://me:x@mirror/k8s?token=y", "--source=http://***@mirror/k8s?…"),
        ("\x1b[31mred\udcff", "�[31mred?"),
    ],
)
def test_arguments(argument: str, kept: str) -> None:
    assert shown_argument(argument) == kept


def test_a_sentence_is_one_short_line_without_credentials() -> None:
    text = "cannot read https://me:s3same@mirror/a\nand\thttps://h/?token=s3same \x1b[2J\u202e" + "x" * 999
    assert one_sentence(text).startswith("cannot read https://***@mirror/a and https://h/?… �[2J�xxx")
    assert len(one_sentence(text)) == 500


def test_failures_become_results() -> None:
    found = failure_results(
        {"m1": HostsUnreachableError("no\nroute"), "m2": HostsWrongError("x"), "m3": KeyError()}
    )
    assert found == {
        "m1": HostResult(HostState.NOT_REACHED, "no route"),
        "m2": HostResult(HostState.FAILED, "x"),
        "m3": HostResult(HostState.FAILED, "KeyError"),
    }


def test_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    who = current_operator()
    assert (who.pid, who.sudo_user) == (os.getpid(), "alice")
    assert who.user
    assert who.controller
    assert not is_gone(who)


def test_a_process_that_ended_is_gone() -> None:
    script = "import json; from kubenorn.run_operator import *; print(json.dumps(vars(current_operator())))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    who = Operator(**json.loads(done.stdout))
    assert is_gone(who)
    assert is_gone(replace(who, process=""))
    assert not is_gone(replace(who, controller="another-machine"))


def test_another_process_with_the_same_pid_is_not_the_run() -> None:
    who = current_operator()
    assert is_gone(replace(who, process="earlier-boot/17"))
    assert process_identity(who.pid) == who.process


def test_a_killed_run_stays_visible_as_killed(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path)
    running = a_record()
    running.outcome, running.finished = Outcome.RUNNING, None
    killed = replace(running, id=run_id(MOMENT - timedelta(days=1)), who=replace(running.who, process="0/0"))
    journal.begin(running)
    journal.begin(killed)
    assert [each.outcome for each in journal.load_all() if isinstance(each, RunRecord)] == [
        "running",
        "killed",
    ]
    assert "killed" not in (tmp_path / f"{killed.id}.json").read_text()


def test_two_runs_in_the_same_millisecond(tmp_path: Path) -> None:
    first, second = a_record(), a_record()
    journal = RunJournal(tmp_path)
    journal.begin(first)
    journal.begin(second)
    assert (first.id, second.id) == ("2026-11-21T02-15-07.123Z", "2026-11-21T02-15-07.124Z")
    assert journal.load_all() == [second, first]


def _begin_many(folder: Path) -> None:
    for _ in range(10):
        RunJournal(folder).begin(a_record())


def test_who_reads_while_runs_begin_sees_each_whole_or_not_at_all(tmp_path: Path) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=_begin_many, args=(tmp_path,))
    writer.start()
    seen: list[RunRecord | DamagedRecord] = []
    while writer.is_alive():
        seen += RunJournal(tmp_path).load_all()
    writer.join()
    assert len(seen) + len(RunJournal(tmp_path).load_all()) > 10, "it read meanwhile"
    assert [each for each in seen if isinstance(each, DamagedRecord)] == []


def test_processes_that_begin_at_the_same_time_lose_no_run(tmp_path: Path) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=_begin_many, args=(tmp_path,)) for _ in "ab"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = RunJournal(tmp_path).load_all()
    assert len(found) == 20
    assert all(isinstance(each, RunRecord) for each in found)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b'{"id": "x"', "Invalid JSON: EOF while parsing an object at line 1 column 10"),
        (b"\xff\x00", "Invalid JSON"),
        (b"[]", "Input should be"),
        (b"{}", "id: Field required"),
    ],
)
def test_a_damaged_file_is_shown_as_damaged(content: bytes, problem: str, tmp_path: Path) -> None:
    journal = RunJournal(tmp_path)
    journal.begin(a_record())
    (tmp_path / "2026-11-22T00-00-00.000Z.json").write_bytes(content)
    damaged, whole = journal.load_all()
    assert isinstance(damaged, DamagedRecord)
    assert damaged.problem.startswith(problem)
    assert isinstance(whole, RunRecord)


def test_other_reasons_of_damage(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path)
    record = a_record()
    journal.begin(record)
    file = tmp_path / f"{record.id}.json"
    (tmp_path / "1.json").write_bytes(file.read_bytes())
    (tmp_path / "2.json").write_bytes(file.read_bytes().replace(b'"format": 1', b'"format": 7'))
    (tmp_path / "3.json").mkdir()
    (tmp_path / "4.json").write_bytes(file.read_bytes().replace(b"+00:00", b""))
    problems = {each.id: each.problem for each in journal.load_all() if isinstance(each, DamagedRecord)}
    assert problems == {
        "1": f"holds the run {record.id}",
        "2": "format 7 is of a newer kubenorn; this one reads 1",
        "3": "Is a directory",
        "4": "a time has no zone",
    }


@given(st.binary())
def test_no_content_is_an_exception(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        record_from_json(content)


def test_unknown_keys_of_a_later_version_are_ignored() -> None:
    record = a_record()
    assert record_from_json(json.dumps({**record.to_dict(), "new": 1}).encode()) == record


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path, kept=3)
    records = [a_record(MOMENT + timedelta(hours=hour)) for hour in range(5)]
    old, young = tmp_path / ".2026.json.x.kubenorn-tmp", tmp_path / ".2027.json.x.kubenorn-tmp"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    (tmp_path / "notes.txt").touch()
    for record in records:
        journal.begin(record)
    assert journal.load_all() == records[:1:-1]
    assert not old.exists()
    assert young.exists()
    assert (tmp_path / "notes.txt").exists()


def test_a_journal_without_folder_is_empty(tmp_path: Path) -> None:
    assert RunJournal(tmp_path / "none").load_all() == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(InputWrongError, match="runs"):
        RunJournal(tmp_path / "runs").begin(a_record())
    with pytest.raises(InputWrongError, match="runs"):
        RunJournal(tmp_path / "runs").load_all()


def test_a_cut_update_leaves_the_record_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, record = RunJournal(tmp_path), a_record()
    journal.begin(record)

    def killed(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", killed)
    record.remarks.append("later")
    with pytest.raises(InputWrongError, match="No space left"):
        journal.update(record)
    assert [each.remarks for each in journal.load_all() if isinstance(each, RunRecord)] == [[]]
