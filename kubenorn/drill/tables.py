"""A drill's tables for people: what it will do, what each fault cost, and the summary."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kubenorn.drill.events import Answer
from kubenorn.drill.results import PHASES, Drilled, DrillReport, Summary
from kubenorn.drill.scenarios import Fault, Scenario
from kubenorn.tables import plain_table

TIMELINE_COLUMNS = 60
LONGEST_SCENARIO = max(map(len, Scenario))


def preview(planned: Sequence[tuple[Fault, int]]) -> Table:
    """Return what a drill is about to do: each fault as it would be now, and how often."""
    table = plain_table("The drill")
    for title in ("Scenario", "Breaks", "Now on", "Cycles", "Mends itself after"):
        table.add_column(title, overflow="fold")
    for fault, cycles in planned:
        name = Text(fault.scenario.value)
        # The dead-man switch of hooks begins to count once the one that breaks has ended.
        after = f"{fault.dead_man_seconds} s" + (" from its hook's end on" if fault.traits.hooks else "")
        table.add_row(name, Text(fault.what), Text(fault.host), str(cycles), after)
    return table


def one_line(drilled: Drilled) -> Text:
    """Return what came of one fault in a line."""
    measured = drilled.measured
    mark = Text("✓ ", "green") if drilled.ok else Text("✗ ", "bold red")
    moved = f"VIP to {measured.successor}, " if measured.successor else ""
    leader = (
        f"led anew after {measured.leader_back / 1000:.1f} s, " if measured.leader_back is not None else ""
    )
    outage = "the API did not come back" if measured.outage is None else f"outage {measured.outage:.0f} ms"
    failed = f"{measured.failed}/{measured.probes} probes failed"
    return mark.append(f"{drilled.number} {measured.fault}: {moved}{leader}{outage}, {failed}", "default")


def drill_tables(report: DrillReport, found: Sequence[Summary]) -> RenderableType:
    """Return everything a drill found."""
    parts: list[RenderableType] = [_phases(report), _summary(found)]
    slowest = max(
        (d for d in report.drilled if d.measured.outage), key=lambda d: d.measured.outage or 0, default=None
    )
    if slowest:
        parts += list(_timeline(slowest))
    parts += list(_advice(found))
    parts += list(_failures(report))
    return Group(*parts)


def _milliseconds(value: float | None) -> Text:
    return Text("–", "dim") if value is None else Text(f"{value:.0f}")


def _outage(value: float | None) -> Text:
    """Return an outage as it is shown: without a value it did not end."""
    return Text("∞", "bold red") if value is None else _milliseconds(value)


def _phases(report: DrillReport) -> Table:
    table = plain_table(f"Failover of {report.cluster}: milliseconds since the fault")
    table.add_column("")
    table.add_column("Scenario\nand host", overflow="fold", min_width=LONGEST_SCENARIO)
    for title in ("Noticed", "VIP\ngone", "VIP\nthere", "API\nback", "Outage", "Failed", "Lost", "Two"):
        table.add_column(title, justify="right", no_wrap=True)
    scenario = None
    for drilled in report.drilled:
        m = drilled.measured
        if m.fault.scenario is not scenario:
            scenario = m.fault.scenario
            table.add_section()
            table.add_row("", Text(scenario.value, "bold"))
        mark = Text(f"✓ {drilled.number}", "green") if drilled.ok else Text(f"✗ {drilled.number}", "bold red")
        host = f"{m.fault.host} → {m.successor}" if m.successor else m.fault.host
        times = map(_milliseconds, (m.noticed, m.vip_gone, m.vip_there, m.api_back))
        table.add_row(
            mark,
            host,
            *times,
            _outage(m.outage),
            str(m.failed),
            str(m.connections_lost),
            _milliseconds(m.overlap),
        )
    table.caption = Text(
        "Failed: probes without an answer. Lost: watch connections. Two: the VIP on two hosts at once, in ms."
        + (f" Between hosts ±{report.drilled[0].measured.uncertainty:.0f} ms." if report.drilled else ""),
        "dim",
    )
    table.caption_justify = "left"
    return table


def _summary(found: Sequence[Summary]) -> Table:
    table = plain_table("Summary, milliseconds")
    table.add_column("Scenario", no_wrap=True)
    for title in ("Cycles", "Median", "Longest", "Predicted", "Failed probes", "Two"):
        table.add_column(title, justify="right")
    for each in found:
        table.add_row(
            each.scenario.value,
            str(each.cycles),
            _outage(each.outage_median),
            _outage(each.outage_longest),
            _milliseconds(each.predicted),
            f"{each.failed}/{each.probes}",
            _milliseconds(each.overlap_longest),
        )
    return table


def _timeline(drilled: Drilled) -> Iterator[RenderableType]:
    """Yield the slowest fault as lines of characters: who had the VIP, and how the API answered."""
    m = drilled.measured
    end = max(m.api_back or 0, m.vip_there or 0, 1.0) * 1.4
    start = -end * 0.15
    width = (end - start) / TIMELINE_COLUMNS

    def column(at: float) -> int:
        return min(TIMELINE_COLUMNS - 1, max(0, int((at - start) / width)))

    yield Text.assemble(
        (f"\nThe longest outage: {drilled.number} {m.fault}", "bold"),
        (f"  ({width:.0f} ms a column, ↑ the fault)", "dim"),
    )
    for host, spans in m.tenures.items():
        line = [" "] * TIMELINE_COLUMNS
        for left, right in spans:
            if right >= start and left <= end:
                for index in range(column(left), column(right) + 1):
                    line[index] = "█"
        yield Text(f"  {host[:14]:<14} ").append("".join(line), "cyan")
    probes = Text(f"  {'API':<14} ")
    marks = [" "] * TIMELINE_COLUMNS
    for begun, _, answer in drilled.samples:
        if start <= begun <= end:
            index = column(begun)
            marks[index] = "✗" if answer == Answer.FAILED.value or marks[index] == "✗" else "·"
    for sign in marks:
        probes.append(sign, "red" if sign == "✗" else "green")
    yield probes
    ruler = [" "] * TIMELINE_COLUMNS
    ruler[column(0)] = "↑"
    yield Text(f"  {'':<14} {''.join(ruler)}", "dim")


def _advice(found: Sequence[Summary]) -> Iterator[Text]:
    """Yield for each scenario what dominates its outage, and what other values would do."""
    for each in found:
        if not each.dominant or not each.dominant_median:
            continue
        yield Text.assemble(
            (f"\n{each.scenario}: ", "bold"),
            f"most of it, {each.dominant_median:.0f} ms, passes {PHASES[each.dominant]}. "
            f"That is {each.governed_by}.",
        )
        for other in each.what_ifs:
            yield Text(f"  {other}", "dim")


def _failures(report: DrillReport) -> Iterator[Text]:
    for drilled in report.drilled:
        for each in drilled.expectations:
            if not each.ok:
                yield Text.assemble(
                    ("✗ ", "bold red"),
                    (f"{drilled.number} {drilled.measured.fault}: ", "bold"),
                    f"expected {each.name}; {each.seen}",
                )
    for dropped in report.dropped:
        yield Text.assemble(("✗ ", "bold red"), dropped)
    for skipped in report.skipped:
        yield Text(f"– {skipped}", "dim")
