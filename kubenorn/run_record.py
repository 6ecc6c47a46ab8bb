"""The record of one run: who, what, the plan, and what came of it on each host. Never a diff, never a secret."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kubenorn.errors import HostsUnreachableError
from kubenorn.objects import ApiObject
from kubenorn.plan import HostPlan
from kubenorn.run_operator import Operator, current_operator
from kubenorn.run_text import one_sentence, shown_argument

FORMAT = 1
"""Of the JSON; raised when an older kubenorn could not read it any more."""


class Outcome(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    """Nothing was touched: something stood in the way, or the operator said no."""
    KILLED = "killed"
    """Never written: what a record that says `running` is shown as when its process is gone."""


class HostState(StrEnum):
    """What came of a run on one host."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    NOT_REACHED = "not reached"
    NOT_BEGUN = "not begun"
    BEGUN = "begun"
    """It was being changed when the run ended, or still is."""


TOUCHED = frozenset({HostState.CHANGED, HostState.ROLLED_BACK, HostState.FAILED, HostState.BEGUN})
"""States of a host that the run changed, or may have."""


@dataclass(frozen=True)
class HostResult:
    """What came of a run on one host, with a sentence of detail and the seconds it took (0: not measured)."""

    state: HostState
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class PlannedChange:
    """One line of the plan, without its diff."""

    action: str
    kind: str
    target: str
    reason: str


@dataclass(frozen=True)
class Availability:
    """How the API answered through the VIP during the run."""

    probes: int
    failed: int
    longest_gap_ms: int


@dataclass
class RunRecord:
    """One run on one cluster. `id` is its start in UTC and names its file; durations are in seconds."""

    id: str
    cluster: str
    runbook: str
    arguments: list[str]
    who: Operator
    started: datetime
    dry_run: bool = False
    finished: datetime | None = None
    """None: still running, or killed."""
    outcome: Outcome = Outcome.RUNNING
    exit_code: int | None = None
    plan: dict[str, list[PlannedChange]] = field(default_factory=dict)
    """By host."""
    objects: list[PlannedChange] = field(default_factory=list)
    """What the cluster's API lacked."""
    results: dict[str, HostResult] = field(default_factory=dict)
    """By host: every selected one."""
    availability: Availability | None = None
    remarks: list[str] = field(default_factory=list)
    format: int = FORMAT

    @property
    def seconds(self) -> float | None:
        """How long the run took; None while it is not over."""
        return max(0.0, (self.finished - self.started).total_seconds()) if self.finished else None

    def finish(self, outcome: Outcome, exit_code: int, now: datetime | None = None) -> None:
        """Note how and when the run ended; `now` is the clock's time unless given."""
        self.outcome, self.exit_code = outcome, exit_code
        self.finished = now or datetime.now(UTC)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON has it: times in ISO 8601, UTC."""
        return asdict(self) | {
            "started": self.started.isoformat(),
            "finished": self.finished.isoformat() if self.finished else None,
        }

    def to_json(self) -> bytes:
        """Return the record as a JSON file's content."""
        text = json.dumps({"format": self.format} | self.to_dict(), indent=2, ensure_ascii=False)
        return f"{text}\n".encode(errors="replace")


_RECORD = TypeAdapter(RunRecord)


def record_from_json(content: bytes) -> RunRecord:
    """Return the record in a file's content. Raises ValueError with a sentence when it is damaged."""
    try:
        record = _RECORD.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(one_sentence(f"{where}: {first['msg']}" if where else first["msg"])) from None
    if record.format > FORMAT:
        raise ValueError(f"format {record.format} is of a newer kubenorn; this one reads {FORMAT}")
    if record.started.tzinfo is None or (record.finished and record.finished.tzinfo is None):
        raise ValueError("a time has no zone")
    return record


def new_record(
    runbook: str,
    cluster: str,
    hosts: Iterable[str],
    arguments: Sequence[str],
    *,
    dry_run: bool = False,
    started: datetime | None = None,
) -> RunRecord:
    """Return the record of a run on `hosts`; `arguments` as the operator wrote them.

    It starts now unless `started` is given: a run on several clusters has the same id in each.
    """
    now = started or datetime.now(UTC)
    return RunRecord(
        id=run_id(now),
        cluster=cluster,
        runbook=runbook,
        arguments=[shown_argument(argument) for argument in arguments],
        who=current_operator(),
        started=now,
        dry_run=dry_run,
        results={host: HostResult(HostState.NOT_BEGUN) for host in hosts},
    )


def run_id(moment: datetime) -> str:
    """Return the name of a run that starts at `moment`: it sorts by time and is safe as a file's name."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H-%M-%S}.{utc.microsecond // 1000:03}Z"


def planned_changes(plan: HostPlan) -> list[PlannedChange]:
    """Return the lines of a host's plan as a record keeps them."""
    return [
        PlannedChange(change.action.value, change.kind, change.target, one_sentence(change.reason))
        for change in plan.changes
    ]


def planned_objects(found: Iterable[tuple[ApiObject, str]]) -> list[PlannedChange]:
    """Return the API objects to create as a record keeps them."""
    return [PlannedChange("create", each.kind, each.name, one_sentence(reason)) for each, reason in found]


def failure_results(failures: Mapping[str, Exception]) -> dict[str, HostResult]:
    """Return the result of each host whose task raised: not reached, or failed, with the error's sentence."""
    return {
        host: HostResult(
            HostState.NOT_REACHED if isinstance(error, HostsUnreachableError) else HostState.FAILED,
            one_sentence(str(error)) or type(error).__name__,
        )
        for host, error in failures.items()
    }
