"""Keeps the record of a deployment in each cluster's journal of runs, however the run ends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kubenorn import api_prober
from kubenorn.api_prober import ApiProber
from kubenorn.junit import run_junit, write_junit
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
    """The records of one run, one a cluster."""

    run_id: str
    records: dict[str, RunRecord]
    results: dict[str, HostResult] = field(default_factory=dict)
    """By host; whoever changes hosts keeps this up to date."""
    probers: dict[str, ApiProber] = field(default_factory=dict)
    """By cluster that was running before; they measure while the run changes it."""
    verifications: list[Verification] = field(default_factory=list)

    @property
    def availability(self) -> dict[str, api_prober.Availability]:
        """By cluster that was running before: how its API answered meanwhile."""
        return {name: prober.availability for name, prober in self.probers.items()}

    def finish(self, error: BaseException | None) -> None:
        """Note on every record how the run ended: `error` is what it ended with."""
        seen = {verification.cluster: verification for verification in self.verifications}
        for name, record in self.records.items():
            record.results |= {
                host: result for host, result in self.results.items() if host in record.results
            }
            measured = self.availability.get(name)
            if measured and measured.probes:
                record.availability = Availability(
                    measured.probes, len(measured.failures), round(measured.longest_gap_ms)
                )
                record.remarks += [
                    f"probe failed after {f.at:.1f} s: {f.reason}" for f in measured.failures[:20]
                ]
            end_record(record, error, seen.get(name))


@contextmanager
def recorded(
    run: Deployment,
    runbook: str,
    arguments: Sequence[str],
    *,
    json_file: Path | None,
    junit_file: Path | None,
) -> Iterator[Recording]:
    """Record the run from its plan on, under `artifacts/CLUSTER/runs/`; an exception passes through.

    However it ends, the same facts are written to `json_file` and `junit_file` where these are given.
    """
    records = {}
    journals = {}
    for cluster in run.session.clusters:
        hosts = run.selected(cluster)
        record = new_record(runbook, cluster.name, hosts, arguments, dry_run=run.dry_run)
        record.plan = {host: planned_changes(run.plans[host]) for host in hosts if host in run.plans}
        record.objects = planned_objects(run.objects.get(cluster.name, []))
        record.results |= {
            h: HostResult(HostState.UNCHANGED) for h in hosts if h in run.plans and run.plans[h].empty
        }
        journals[cluster.name] = RunJournal(runs_folder(run.session.artifacts, cluster.name))
        journals[cluster.name].begin(record)
        records[cluster.name] = record
    recording = Recording(next(iter(records.values())).id, records)
    error: BaseException | None = None
    try:
        yield recording
    except BaseException as ended:
        error = ended
        raise
    finally:
        recording.finish(error)
        for name, record in records.items():
            journals[name].update(record)
        write_json(json_file, deployment_report(run, recording.verifications, records))
        write_junit(junit_file, run_junit(list(records.values()), recording.verifications))
