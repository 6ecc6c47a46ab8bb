"""A Nornir processor that records other people's runbooks in a journal of runs."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import Concatenate, ParamSpec

from netmiko.exceptions import NetmikoAuthenticationException, NetmikoTimeoutException
from nornir.core.exceptions import NornirSubTaskError
from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from kubenorn.errors import ExitCode, HostsUnreachableError, KubenornError
from kubenorn.junit import run_junit, write_junit
from kubenorn.run_journal import RunJournal
from kubenorn.run_record import HostResult, HostState, Outcome, RunRecord, new_record
from kubenorn.run_text import one_sentence

_UNREACHABLE = (
    HostsUnreachableError,
    ConnectionError,
    TimeoutError,
    NetmikoTimeoutException,
    NetmikoAuthenticationException,
)
_GRAVITY = [
    HostState.NOT_BEGUN,
    HostState.UNCHANGED,
    HostState.CHANGED,
    HostState.NOT_REACHED,
    HostState.FAILED,
]
_SAVE_SECONDS = 1.0

P = ParamSpec("P")


def _harmless(
    hook: "Callable[Concatenate[RunRecorder, P], None]",
) -> "Callable[Concatenate[RunRecorder, P], None]":
    """Return the hook so that it never raises: Nornir would abort the run, or lose a host's result."""

    @wraps(hook)
    def harmless(self: "RunRecorder", /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with self._lock:
                hook(self, *args, **kwargs)
        except Exception as error:  # whatever it is, the run matters more than its record
            self.problem = one_sentence(f"{type(error).__name__}: {error}")
            logging.getLogger(__name__).warning("the run is not recorded: %s", self.problem)

    return harmless


class RunRecorder:
    """Records every task a Nornir runs as one run: who, when, and what came of it on each host.

    `folder` is the journal's, such as artifacts/CLUSTER/runs; its parent's name is what the run is listed
    under. Results are never kept, only whether a host was changed or failed, and the exception's first line.
    With `junit` the same is written as JUnit XML whenever a task is over. Hooks raise nothing; `problem` says
    why a run is not recorded.
    """

    def __init__(self, folder: Path | str, *, runbook: str, junit: Path | str | None = None) -> None:
        self.problem: str | None = None
        self.record: RunRecord | None = None
        self._folder = Path(folder)
        self._runbook = runbook
        self._junit = Path(junit) if junit else None
        self._lock = RLock()
        self._journal = RunJournal(self._folder)
        self._awaited: set[str] = set()
        self._began: dict[str, float] = {}
        self._saved = 0.0

    @_harmless
    def task_started(self, task: Task) -> None:
        """Begin the record with the first task; the run goes on with every further one."""
        hosts = list(task.nornir.inventory.hosts)
        if self.record is None:
            cluster = self._folder.absolute().parent.name
            record = new_record(
                self._runbook, cluster, hosts, sys.argv[1:], dry_run=bool(task.global_dry_run)
            )
            self._journal.begin(record)
            self.record = record
        for host in hosts:
            self.record.results.setdefault(host, HostResult(HostState.NOT_BEGUN))
        self._awaited = set(hosts) - task.nornir.data.failed_hosts
        self.record.outcome, self.record.exit_code, self.record.finished = Outcome.RUNNING, None, None
        self._save()

    @_harmless
    def task_completed(self, task: Task, result: AggregatedResult) -> None:  # noqa: ARG002
        """Note that the run is over, until another task starts."""
        self._finish()

    @_harmless
    def task_instance_started(self, task: Task, host: Host) -> None:  # noqa: ARG002
        """Note when a host was begun."""
        self._awaited.add(host.name)
        self._began[host.name] = time.monotonic()

    @_harmless
    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Note what came of a task on a host: the gravest of all tasks counts."""
        if self.record is None:
            return
        before = self.record.results.get(host.name, HostResult(HostState.NOT_BEGUN))
        took = time.monotonic() - self._began.get(host.name, time.monotonic())
        self.record.results[host.name] = _together(before, task.name, _state(result), _sentence(result), took)
        self._awaited.discard(host.name)
        if not self._awaited:
            # With raise_on_error Nornir does not say that the task is completed.
            self._finish()
        elif time.monotonic() - self._saved > _SAVE_SECONDS:
            self._save()

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Do nothing: the task tells."""

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Do nothing: the task tells."""

    def _finish(self) -> None:
        if self.record is None:
            return
        states = {result.state for result in self.record.results.values()}
        code = ExitCode.OK
        if HostState.FAILED in states:
            code = ExitCode.HOSTS_WRONG
        elif HostState.NOT_REACHED in states:
            code = ExitCode.HOSTS_UNREACHABLE
        self.record.finish(Outcome.FAILED if code else Outcome.OK, code)
        self._save()
        write_junit(self._junit, run_junit([self.record], step="tasks"))

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self.record is not None:
            self._journal.update(self.record)


def _state(result: MultiResult) -> HostState:
    if result.failed:
        error = _cause(result)
        return HostState.NOT_REACHED if isinstance(error, _UNREACHABLE) else HostState.FAILED
    return HostState.CHANGED if result.changed else HostState.UNCHANGED


def _cause(result: MultiResult) -> BaseException | None:
    """Return what the task failed of: the exception of a subtask rather than Nornir's about it."""
    found = list(_exceptions(result))
    own = [error for error in found if not isinstance(error, NornirSubTaskError)]
    return next(iter(own or found), None)


def _exceptions(results: Iterable[Result | MultiResult]) -> Iterator[BaseException]:
    for each in results:
        if isinstance(each, MultiResult):  # of a subtask that has subtasks
            yield from _exceptions(each)
        elif each.exception is not None:
            yield each.exception


def _sentence(result: MultiResult) -> str:
    if not result.failed:
        return ""
    error = _cause(result)
    if error is None:
        return "failed without saying why"
    # Further lines may quote what a device said, which may be a secret.
    lines = str(error).strip().splitlines()
    if isinstance(error, KubenornError):
        return " ".join(lines)
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _together(before: HostResult, task: str, state: HostState, sentence: str, seconds: float) -> HostResult:
    """Return a host's result after one more task."""
    said = f"{task}: {sentence}" if sentence else task
    seconds += before.seconds
    graver = _GRAVITY.index(state) - _GRAVITY.index(before.state)
    if graver < 0:
        return HostResult(before.state, before.detail, seconds)
    if graver == 0 and before.detail:
        said = f"{before.detail}, {said}"
    return HostResult(state, one_sentence(said), seconds)
