"""The facts of a run as JSON: the same that the tables show."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from kubenorn.errors import InputWrongError
from kubenorn.files import write_atomically
from kubenorn.objects import ApiObject
from kubenorn.plan import HostPlan
from kubenorn.run_record import TOUCHED, Outcome, RunRecord
from kubenorn.verification import Verification


class Run(Protocol):
    """What a report needs of a deployment."""

    dry_run: bool
    changed: bool

    @property
    def plans(self) -> Mapping[str, HostPlan]:
        """What was planned, by host."""

    @property
    def objects(self) -> Mapping[str, Sequence[tuple[ApiObject, str]]]:
        """What the API lacked and why, by cluster."""


def deployment_report(
    run: Run, verifications: Sequence[Verification], records: Mapping[str, RunRecord] | None = None
) -> dict[str, Any]:
    """Return what was planned, what came of it and what was seen, without secrets, ready for JSON.

    `ok` is what exit code 0 says; `changed` whether anything on a host was touched.
    """
    done = list((records or {}).values())
    return {
        "dry_run": run.dry_run,
        "changed": run.changed or any(r.state in TOUCHED for each in done for r in each.results.values()),
        "hosts": {
            name: {"changes": [asdict(change) for change in plan.changes]} for name, plan in run.plans.items()
        },
        "objects": {
            cluster: [{"kind": each.kind, "name": each.name, "reason": reason} for each, reason in found]
            for cluster, found in run.objects.items()
        },
        "clusters": {each.cluster: _verification(each) for each in verifications},
        "runs": {cluster: record.to_dict() for cluster, record in (records or {}).items()},
        "ok": all(each.ok for each in verifications) and all(each.outcome is Outcome.OK for each in done),
    }


def _verification(verification: Verification) -> dict[str, Any]:
    return {
        "ok": verification.ok,
        "vip_holders": list(verification.vip_holders),
        "leaders": [asdict(leader) for leader in verification.leaders],
        "cluster": [asdict(check) for check in verification.whole],
        "hosts": {host: [asdict(check) for check in checks] for host, checks in verification.hosts.items()},
    }


def write_json(path: Path | None, report: dict[str, Any]) -> None:
    """Write the report to `path`, durations in seconds; nothing when there is no path."""
    if path is None:
        return
    text = json.dumps(report, indent=2, ensure_ascii=False, default=_plain)
    try:
        write_atomically(path, f"{text}\n".encode(), mode=0o644)
    except OSError as error:
        raise InputWrongError(
            f"{path}: cannot be written ({error.strerror}); choose another file."
        ) from error


def _plain(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else str(value)
