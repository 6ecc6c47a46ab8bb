"""The journal for people: the table of runs, and one run whole."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kubenorn.run_journal import DamagedRecord
from kubenorn.run_operator import Operator
from kubenorn.run_record import HostState, Outcome, PlannedChange, RunRecord

_STYLES = {
    Outcome.RUNNING: "cyan",
    Outcome.OK: "green",
    Outcome.FAILED: "bold red",
    Outcome.INTERRUPTED: "yellow",
    Outcome.REFUSED: "yellow",
    Outcome.KILLED: "bold red",
}
_STATES = {
    HostState.UNCHANGED: "",
    HostState.CHANGED: "green",
    HostState.ROLLED_BACK: "bold red",
    HostState.FAILED: "bold red",
    HostState.NOT_REACHED: "bold red",
    HostState.NOT_BEGUN: "dim",
    HostState.BEGUN: "bold red",
}
_GRAVE = (HostState.FAILED, HostState.ROLLED_BACK, HostState.NOT_REACHED, HostState.BEGUN)
_NAMED_HOSTS = 3
_HOSTS_WIDTH = 14


def runs_table(cluster: str, runs: Sequence[RunRecord | DamagedRecord]) -> Table:
    """Return the table of a cluster's runs in the given order; two lines each, so that 80 columns suffice."""
    table = _table(f"Runs of {cluster}")
    for title in ("When, run", "Who, runbook", "Hosts", "What", "Outcome"):
        table.add_column(title, overflow="fold", no_wrap=title == "When, run")
    for run in runs:
        if isinstance(run, DamagedRecord):
            damaged = Text("damaged", "bold red")
            table.add_row(Text(run.id), "", "", Text(f"cannot be read: {run.problem}"), damaged)
            continue
        table.add_row(
            _two(local_time(run.started), run.id),
            _two(_person(run.who), run.runbook),
            Text(_hosts(list(run.results))),
            Text(happened(run)),
            _two(Text(run.outcome, _STYLES[run.outcome]), duration(run.seconds)),
        )
    return table


def happened(run: RunRecord) -> str:
    """Return what a run did, in a few words: `3 changed`, `No changes`, `rolled back m2`."""
    if run.dry_run and run.outcome is Outcome.OK:
        count = sum(map(len, run.plan.values())) + len(run.objects)
        return f"dry run: {count} {'change' if count == 1 else 'changes'}" if count else "dry run: no changes"
    by_state: dict[HostState, list[str]] = {}
    for host, result in run.results.items():
        by_state.setdefault(result.state, []).append(host)
    said = [f"{state} {_some(by_state[state])}" for state in _GRAVE if state in by_state]
    if changed := by_state.get(HostState.CHANGED):
        said.insert(0, f"{len(changed)} changed")
    elif run.objects and run.outcome is Outcome.OK:
        said.insert(0, f"{len(run.objects)} API objects")
    begun = set(by_state) - {HostState.NOT_BEGUN}
    if not said and begun:
        said = ["No changes"]
    if begun and (rest := by_state.get(HostState.NOT_BEGUN)):
        said.append(f"{len(rest)} not begun")
    dry = "dry run: " if run.dry_run else ""
    return dry + (", ".join(said) or ("nothing yet" if run.outcome is Outcome.RUNNING else "nothing begun"))


def run_view(run: RunRecord) -> RenderableType:
    """Return one run whole: who and when, the plan, the result of each host, remarks."""
    return Group(*_head(run), *_plan(run), _results(run), *_remarks(run))


def local_time(moment: datetime) -> str:
    """Return the time as the reader's clock shows it, with the zone's offset."""
    return moment.astimezone().isoformat(sep=" ", timespec="minutes")


def duration(seconds: float | None) -> str:
    """Return a duration as people say it; a dash for none."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _table(title: str) -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title=Text(f"\n{title}"),
        title_justify="left",
    )


def _two(first: str | Text, second: str) -> Text:
    return Text.assemble(first, "\n", (second, "dim"))


def _hosts(names: Sequence[str]) -> str:
    """Return the names where they fit on a line, else how many there are: one run shown whole names them."""
    joined = ", ".join(names)
    return joined if len(names) == 1 or len(joined) <= _HOSTS_WIDTH else f"{len(names)} hosts"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_HOSTS} more" if len(names) > _NAMED_HOSTS else ""
    return ", ".join(names[:_NAMED_HOSTS]) + more


def _person(who: Operator) -> str:
    return f"{who.sudo_user} as {who.user}" if who.sudo_user else who.user


def _head(run: RunRecord) -> Iterator[RenderableType]:
    mark = " (dry run)" if run.dry_run else ""
    yield Text.assemble("\n", (f"{run.runbook} on {run.cluster}", "bold"), mark, f"  {run.id}")
    code = "" if run.exit_code is None else f", exit code {run.exit_code}"
    outcome = Text.assemble((run.outcome.value, _STYLES[run.outcome]), f"{code}: {happened(run)}")
    lines: dict[str, str | Text] = {
        "outcome": outcome,
        "started": f"{local_time(run.started)}, took {duration(run.seconds)}",
        "by": f"{_person(run.who)} on {run.who.controller}, process {run.who.pid}",
        "arguments": " ".join(run.arguments) or "none",
    }
    if seen := run.availability:
        gap = f", longest gap {seen.longest_gap_ms} ms" if seen.failed else ""
        lines["API"] = f"{seen.probes - seen.failed} of {seen.probes} requests answered{gap}"
    grid = Table.grid(padding=(0, 2))
    for key, value in lines.items():
        grid.add_row(
            Text(f"  {key}", "dim"), Text(value, overflow="fold") if isinstance(value, str) else value
        )
    yield grid


def _plan(run: RunRecord) -> Iterator[RenderableType]:
    for hosts, changes in _alike(run.plan).items():
        yield Text(f"\nPlan of {hosts}", "bold")
        yield from map(_change, changes)
    if run.objects:
        yield Text(f"\nPlan of the API of {run.cluster}", "bold")
        yield from map(_change, run.objects)
    if not run.objects and not any(run.plan.values()):
        yield Text("\nNo changes planned." if run.plan else "\nNo plan was made.", "dim")


def _alike(plan: Mapping[str, Sequence[PlannedChange]]) -> dict[str, Sequence[PlannedChange]]:
    """Return the plans by the names of the hosts that have the very same."""
    groups: dict[tuple[PlannedChange, ...], list[str]] = {}
    for host, changes in plan.items():
        if changes:
            groups.setdefault(tuple(changes), []).append(host)
    return {", ".join(hosts): changes for changes, hosts in groups.items()}


def _change(change: PlannedChange) -> Text:
    line = Text(f"  {change.action:<8} {change.kind} {change.target}", overflow="fold")
    return line.append(f"  {change.reason}", "dim")


def _results(run: RunRecord) -> Table:
    table = _table("Hosts")
    for title in ("Host", "Result", "Detail", "Took"):
        table.add_column(title, overflow="fold", no_wrap=title in {"Result", "Took"})
    for host, result in run.results.items():
        took = duration(result.seconds) if result.seconds else "–"
        table.add_row(Text(host), Text(result.state, _STATES[result.state]), Text(result.detail), took)
    return table


def _remarks(run: RunRecord) -> Iterator[RenderableType]:
    if run.remarks:
        yield Text("\nRemarks", "bold")
        yield from (Text(f"  {remark}", overflow="fold") for remark in run.remarks)
