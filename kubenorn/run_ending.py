"""How a run ended, and why, from what it ended with and what was seen."""

from collections.abc import Iterable, Iterator

import typer

from kubenorn.errors import DeclinedError, ExitCode, InputWrongError, KubenornError
from kubenorn.run_record import TOUCHED, HostResult, Outcome, RunRecord
from kubenorn.run_text import one_sentence
from kubenorn.verification import Verification

MOST_REMARKS = 50
"""Of a flood only the first lines are kept."""


def end_record(
    record: RunRecord, error: BaseException | None, verification: Verification | None = None
) -> None:
    """Note on the record how and why the run ended: `error` is what it ended with, None when all went well.

    The record's results must stand: wrong input refuses a run only while no host was touched. The error's
    lines and each check of `verification` that is not right become remarks.
    """
    outcome, exit_code = _outcome(error, touched=_touched(record.results.values()))
    for line in (*_failures(verification), *_said(error)):
        if len(record.remarks) < MOST_REMARKS:
            record.remarks.append(one_sentence(line))
    record.finish(outcome, exit_code)


def _touched(results: Iterable[HostResult]) -> bool:
    return any(result.state in TOUCHED for result in results)


def _outcome(error: BaseException | None, *, touched: bool) -> tuple[Outcome, int]:
    """Return outcome and exit code as `run_runbook` has them."""
    code = _exit_code(error)
    if code == ExitCode.OK:
        return Outcome.OK, code
    if isinstance(error, DeclinedError):
        return Outcome.REFUSED, code
    if code == ExitCode.INTERRUPTED:
        return Outcome.INTERRUPTED, code
    refused = isinstance(error, InputWrongError) and not touched
    return (Outcome.REFUSED if refused else Outcome.FAILED), code


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return ExitCode.OK
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return error.exit_code if isinstance(error, KubenornError | typer.Exit) else ExitCode.HOSTS_WRONG


def _said(error: BaseException | None) -> list[str]:
    if error is None or isinstance(error, typer.Exit | KeyboardInterrupt):
        return []
    if isinstance(error, KubenornError):
        return str(error).splitlines()
    # Its own words may hold anything, a secret too.
    return [f"unexpected {type(error).__name__}, a defect of kubenorn"]


def _failures(verification: Verification | None) -> Iterator[str]:
    for where, check in verification.failures() if verification else ():
        yield f"{where}: {check.group} {check.name}: {check.detail}"
