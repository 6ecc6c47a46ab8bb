"""Keeps the records of a run up to date while a runbook works: one record in each cluster's journal."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

import typer

from kubenorn.console import errors
from kubenorn.errors import ExitCode, InputWrongError, KubenornError
from kubenorn.junit import check_junit_path, run_junit, write_junit
from kubenorn.objects import ApiObject
from kubenorn.plan import HostPlan
from kubenorn.run_journal import RunJournal, runs_folder
from kubenorn.run_record import (
    Availability,
    HostResult,
    HostState,
    Outcome,
    RunRecord,
    failure_results,
    new_record,
    planned_changes,
    planned_objects,
)
from kubenorn.run_text import one_sentence
from kubenorn.verification import Verification

MOST_REMARKS = 50
_SAVE_SECONDS = 1.0
"""Hosts that end at the same time are written together."""
_UNTOUCHED = {HostState.NOT_BEGUN, HostState.NOT_REACHED, HostState.UNCHANGED}


class RunLog:
    """The records of one run, by cluster. Every method may be called from any thread; none raises."""

    def __init__(self) -> None:
        self.records: dict[str, RunRecord] = {}
        self.verifications: Sequence[Verification] = ()
        self._journals: dict[str, RunJournal] = {}
        self._lock = RLock()
        self._saved = 0.0
        self._told = False

    def begin(self, journal: RunJournal, record: RunRecord) -> None:
        """Start a cluster's record. Raises InputWrongError when its journal cannot be written."""
        journal.begin(record)
        self._journals[record.cluster] = journal
        self.records[record.cluster] = record

    def planned(
        self,
        plans: Mapping[str, HostPlan],
        objects: Mapping[str, Iterable[tuple[ApiObject, str]]] | None = None,
    ) -> None:
        """Note the plan: by host, and the API objects by cluster. A host with nothing to do is unchanged."""
        with self._lock:
            for cluster, record in self.records.items():
                record.plan = {host: planned_changes(plans[host]) for host in record.results if host in plans}
                record.objects = planned_objects((objects or {}).get(cluster, ()))
                for host in record.plan:
                    if plans[host].empty:
                        record.results[host] = HostResult(HostState.UNCHANGED, "as desired")
                    elif record.dry_run:
                        record.results[host] = HostResult(HostState.NOT_BEGUN, "dry run")
            self._save()

    def result(self, host: str, result: HostResult) -> None:
        """Note what came of the run on one host; written at the latest with the next that ends."""
        with self._lock:
            for record in self.records.values():
                if host in record.results:
                    record.results[host] = result
            if time.monotonic() - self._saved > _SAVE_SECONDS:
                self._save()

    def changed(self, hosts: Iterable[str]) -> None:
        """Note that these hosts are as planned now."""
        with self._lock:
            for host in hosts:
                count = sum(len(record.plan.get(host, ())) for record in self.records.values())
                detail = f"{count} {'change' if count == 1 else 'changes'}"
                self.result(host, HostResult(HostState.CHANGED, detail))
            self._save()

    def failed(self, failures: Mapping[str, Exception]) -> None:
        """Note the hosts whose task raised: not reached, or failed."""
        with self._lock:
            for host, result in failure_results(failures).items():
                self.result(host, result)
            self._save()

    def availability(self, cluster: str, seen: Availability) -> None:
        """Note how a cluster's API answered during the run."""
        with self._lock:
            self.records[cluster].availability = seen

    def remark(self, text: str, cluster: str | None = None) -> None:
        """Add a line to the record of a cluster, or to all; of a flood only the first lines are kept."""
        with self._lock:
            for name, record in self.records.items():
                if cluster in {None, name} and len(record.remarks) < MOST_REMARKS:
                    record.remarks.append(one_sentence(text))

    def verified(self, verifications: Sequence[Verification]) -> None:
        """Note what verification saw: its failures as remarks, all of it for JUnit."""
        with self._lock:
            self.verifications = verifications
            for each in verifications:
                for where, check in each.failures():
                    self.remark(f"{where}: {check.group} {check.name}: {check.detail}", each.cluster)

    def finish(self, error: BaseException | None) -> None:
        """Note how the run ended; `error` is what it ended with."""
        with self._lock:
            for record in self.records.values():
                touched = any(each.state not in _UNTOUCHED for each in record.results.values())
                outcome, exit_code, said = _ending(error, touched=touched)
                for line in said:
                    self.remark(line, record.cluster)
                record.finish(outcome, exit_code)
            self._save()

    def _save(self) -> None:
        # The hosts come first: a full disk here is no reason to leave them half done.
        self._saved = time.monotonic()
        for cluster, record in self.records.items():
            try:
                self._journals[cluster].update(record)
            except KubenornError as error:
                if not self._told:
                    self._told = True
                    errors.print(f"Warning: the run is not recorded: {error}", style="yellow", markup=False)


@contextmanager
def recorded_run(
    artifacts: Path,
    clusters: Mapping[str, Sequence[str]],
    *,
    runbook: str,
    arguments: Sequence[str],
    dry_run: bool = False,
    junit: Path | None = None,
) -> Iterator[RunLog]:
    """Record a run on the selected hosts of each cluster, however it ends, and write its JUnit XML to `junit`.

    Raises InputWrongError, before anything is done, when journal or JUnit file cannot be written.
    """
    check_junit_path(junit)
    log = RunLog()
    ended: BaseException | None = None
    try:
        for cluster, hosts in clusters.items():
            record = new_record(runbook, cluster, hosts, arguments, dry_run=dry_run)
            log.begin(RunJournal(runs_folder(artifacts, cluster)), record)
        yield log
    except BaseException as error:
        ended = error
        raise
    finally:
        log.finish(ended)
        _write_junit(junit, log, raises=ended is None)


def _write_junit(path: Path | None, log: RunLog, *, raises: bool) -> None:
    try:
        write_junit(path, run_junit(list(log.records.values()), log.verifications))
    except KubenornError as error:
        if raises:
            raise
        errors.print(f"Warning: {error}", style="yellow", markup=False)


def _ending(error: BaseException | None, *, touched: bool) -> tuple[Outcome, int, list[str]]:
    """Return outcome, exit code and remarks of a run that ended with `error`, as `run_runbook` tells it."""
    if error is None:
        return Outcome.OK, ExitCode.OK, []
    if isinstance(error, typer.Exit):
        return (Outcome.FAILED if error.exit_code else Outcome.OK), error.exit_code, []
    if isinstance(error, typer.Abort):
        return Outcome.REFUSED, 1, ["the operator did not say yes"]
    if isinstance(error, KeyboardInterrupt):
        return Outcome.INTERRUPTED, ExitCode.INTERRUPTED, []
    if isinstance(error, KubenornError):
        refused = isinstance(error, InputWrongError) and not touched
        outcome = Outcome.REFUSED if refused else Outcome.FAILED
        if error.exit_code is ExitCode.INTERRUPTED:
            outcome = Outcome.INTERRUPTED
        return outcome, error.exit_code, str(error).splitlines()
    return Outcome.FAILED, ExitCode.HOSTS_WRONG, [f"unexpected {type(error).__name__}: {error}"]
