"""What a record says of how and why a run ended."""

import pytest
import typer

from kubenorn.errors import (
    DeclinedError,
    ExitCode,
    HostsUnreachableError,
    HostsWrongError,
    InputWrongError,
    KubenornError,
)
from kubenorn.run_ending import MOST_REMARKS, end_record
from kubenorn.run_record import HostResult, HostState, RunRecord, new_record
from kubenorn.verification import verify
from tests.unit.builders import NAMES, a_cluster


class _StoppedError(KubenornError):
    exit_code = ExitCode.INTERRUPTED


def ended(error: BaseException | None, state: HostState = HostState.UNCHANGED) -> RunRecord:
    record = new_record("deploy", "lab", ["m1"], [])
    record.results["m1"] = HostResult(state)
    end_record(record, error)
    return record


@pytest.mark.parametrize(
    ("error", "outcome", "exit_code", "remarks"),
    [
        (None, "ok", 0, []),
        (typer.Exit(0), "ok", 0, []),
        (typer.Exit(1), "failed", 1, []),
        (DeclinedError("You did not say yes."), "refused", 130, ["You did not say yes."]),
        (KeyboardInterrupt(), "interrupted", 130, []),
        (_StoppedError("Stopped as asked."), "interrupted", 130, ["Stopped as asked."]),
        (InputWrongError("a is wrong\nb too"), "refused", 2, ["a is wrong", "b too"]),
        (HostsWrongError("see https://me:s3same@x/"), "failed", 1, ["see https://***@x/"]),
        (HostsUnreachableError("m1: no route"), "failed", 3, ["m1: no route"]),
        (KeyError("s3same"), "failed", 1, ["unexpected KeyError, a defect of kubenorn"]),
    ],
)
def test_endings(error: BaseException | None, outcome: str, exit_code: int, remarks: list[str]) -> None:
    record = ended(error)
    assert (record.outcome, record.exit_code, record.remarks) == (outcome, exit_code, remarks)
    assert record.finished is not None


@pytest.mark.parametrize("state", [HostState.CHANGED, HostState.FAILED, HostState.ROLLED_BACK])
@pytest.mark.parametrize("error", [InputWrongError("x"), HostsWrongError("x")])
def test_a_run_that_touched_a_host_was_not_refused(state: HostState, error: Exception) -> None:
    assert ended(error, state).outcome == "failed"


def test_checks_that_failed_become_remarks() -> None:
    record = new_record("deploy", "production", NAMES, [])
    found = verify(a_cluster(), {}, {NAMES[0]: "no\nanswer"})
    end_record(record, typer.Exit(1), found)
    assert f"{NAMES[0]}: services evidence: no answer" in record.remarks
    assert len(record.remarks) == len(list(found.failures()))


def test_of_a_flood_only_the_first_lines_are_kept() -> None:
    record = ended(HostsWrongError("\n".join(f"h{n} is wrong" for n in range(500))))
    assert len(record.remarks) == MOST_REMARKS
