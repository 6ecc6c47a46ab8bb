"""Keeps the record of a deployment in each cluster's journal of runs, however the run ends."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kubenorn import api_prober
from kubenorn.api_prober import ApiProber
from kubenorn.console import errors
from kubenorn.errors import KubenornError
from kubenorn.files import check_can_be_written, make_private_folder
from kubenorn.junit import check_junit_path, run_junit, write_junit
from kubenorn.report import deployment_report, write_json
from kubenorn.run_ending import end_record
from kubenorn.run_journal import RunJournal, runs_folder
from kubenorn.run_record import (
    Availability,
    HostResult,
    HostState,
    RunRecord,
    new_record,
    planned_changes,
    planned_objects,
)
from kubenorn.verification import Verification
from tasks.deployment import Deployment


@dataclass
class Recording:
    """The records of one run, one a cluster, kept up to date in the clusters' journals."""

    run: Deployment
    records: dict[str, RunRecord]
    results: dict[str, HostResult] = field(default_factory=dict)
    """By host; whoever changes hosts keeps this up to date."""
    probers: dict[str, ApiProber] = field(default_factory=dict)
    """By cluster that was running before; they measure while the run changes it."""
    verifications: list[Verification] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        """What the run is called, in its records and in the change sets on the hosts."""
        return next(iter(self.records.values())).id

    @property
    def availability(self) -> dict[str, api_prober.Availability]:
        """By cluster that was running before: how its API answered meanwhile."""
        return {name: prober.availability for name, prober in self.probers.items()}

    def begin(self) -> None:
        """Write the records for the first time."""
        for name, record in self.records.items():
            self._journal(name).begin(record)

    def planned(self) -> None:
        """Note what the run is about to change."""
        for name, record in self.records.items():
            hosts = [host for host in record.results if host in self.run.plans]
            record.plan = {host: planned_changes(self.run.plans[host]) for host in hosts}
            record.objects = planned_objects(self.run.objects.get(name, []))
            for host in hosts:
                if self.run.plans[host].empty:
                    self.results[host] = HostResult(HostState.UNCHANGED)
        self.save()

    def save(self) -> None:
        """Write what is known by now, so that a run that is killed leaves it."""
        for name, record in self.records.items():
            record.results |= {
                host: result for host, result in self.results.items() if host in record.results
            }
            self._journal(name).update(record)

    def finish(self, error: BaseException | None) -> None:
        """Note on every record how the run ended: `error` is what it ended with."""
        seen = {verification.cluster: verification for verification in self.verifications}
        for name, record in self.records.items():
            record.results |= {
                host: result for host, result in self.results.items() if host in record.results
            }
            measured = self.availability.get(name)
            if measured and measured.probes:
                gap = round(measured.longest_gap_ms)
                record.availability = Availability(measured.probes, len(measured.failures), gap)
                record.remarks += [
                    f"probe failed after {f.at:.1f} s: {f.reason}" for f in measured.failures[:20]
                ]
            end_record(record, error, seen.get(name))
        self.save()

    def _journal(self, cluster: str) -> RunJournal:
        return RunJournal(runs_folder(self.run.session.artifacts, cluster))


@contextmanager
def recorded(
    run: Deployment,
    runbook: str,
    arguments: Sequence[str],
    *,
    json_file: Path | None,
    junit_file: Path | None,
) -> Iterator[Recording]:
    """Record the run under `artifacts/CLUSTER/runs/` of its clusters; an exception passes through.

    However it ends, the same facts are written to `json_file` and `junit_file` where these are given.
    """
    check_junit_path(junit_file)
    check_can_be_written(json_file, "--json")
    started = datetime.now(UTC)
    clusters = run.session.clusters
    recording = Recording(
        run,
        {
            cluster.name: new_record(
                runbook, cluster.name, run.selected(cluster), arguments, dry_run=run.dry_run, started=started
            )
            for cluster in clusters
        },
    )
    make_private_folder(run.session.artifacts)
    recording.begin()
    try:
        yield recording
    except BaseException as error:
        for write in _writers(recording, error, json_file, junit_file):
            try:
                write()
            except KubenornError as second:
                # The run's own error is the one to be told.
                errors.print(f"Also: {second}", style="yellow", markup=False)
        raise
    for write in _writers(recording, None, json_file, junit_file):
        write()


def _writers(
    recording: Recording, error: BaseException | None, json_file: Path | None, junit_file: Path | None
) -> Iterator[Callable[[], None]]:
    """Yield what writes the end of a run, one file each."""
    records = recording.records
    yield lambda: recording.finish(error)
    yield lambda: write_json(json_file, deployment_report(recording.run, recording.verifications, records))
    yield lambda: write_junit(junit_file, run_junit(list(records.values()), recording.verifications))
