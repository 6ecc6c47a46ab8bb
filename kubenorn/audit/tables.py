"""The audit for people: a table of hosts and checks with counts, then the findings, the worst first."""

from collections.abc import Sequence

from rich.console import Group as Renderables
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kubenorn.audit.audit import Audit
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.tables import plain_table

COLOURS = {
    Severity.CRITICAL: "bold red",
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.INFO: "dim",
}
SHORT = {
    Group.CERTIFICATES: "Certs",
    Group.EQUALITY: "Equal",
    Group.EXPOSURE: "Exposed",
    Group.SERVICES: "Units",
}


def audit_tables(found: Audit, *, infos: bool) -> RenderableType:
    """Return the table of counts and the findings; those that are only good to know with `infos`."""
    every = found.merged
    shown = [each for each in every if infos or each[1].severity > Severity.INFO]
    hidden = len(every) - len(shown)
    lines: list[RenderableType] = [_findings(shown, diffs=infos)] if shown else []
    if hidden:
        lines.append(Text(f"– {hidden} more that are only good to know (--verbose shows them)", "dim"))
    return Renderables(_counts(found), Text(), *lines)


def _counts(found: Audit) -> Table:
    table = plain_table(f"Audit of {found.cluster}")
    table.add_column("Host", overflow="fold")
    for group in found.groups:
        table.add_column(SHORT.get(group, group.capitalize() if len(group) > 3 else group.upper()))
    for host in (*found.hosts, ""):
        cells = [
            Text("?", "bold red")
            if host in found.silent
            else _cell([f for f in found.findings if f.group is group and f.host == host])
            for group in found.groups
        ]
        if host or any(cell.plain != "✓" for cell in cells):
            table.add_row(Text(host or "cluster"), *cells)
    return table


def _cell(findings: Sequence[Finding]) -> Text:
    bad = [each for each in findings if each.severity > Severity.INFO]
    if not bad:
        return Text("✓", "green")
    worst = max(each.severity for each in bad)
    return Text(f"✗ {len(bad)}", COLOURS[worst])


def _findings(findings: Sequence[tuple[tuple[str, ...], Finding]], *, diffs: bool) -> Table:
    """Return the findings, what each is about beside its severity."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for hosts, each in findings:
        where = f"{', '.join(hosts)}: " if hosts else ""
        text = Text.assemble(
            (f"{where}{each.subject} ", "bold"), each.evidence, (f"\n→ {each.remedy}", "dim")
        )
        if diffs and each.diff:
            text.append(f"\n{each.diff}", "dim")
        table.add_row(Text(str(each.severity), COLOURS[each.severity]), text)
    return table
