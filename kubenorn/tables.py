"""Tables for people: readable at 80 columns, on dark and light terminals, and in a log without colour."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kubenorn.host_verification import HOST_GROUPS, Check
from kubenorn.objects import ApiObject
from kubenorn.plan import Action, Change, HostPlan
from kubenorn.verification import VIP, Verification

_SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.INSTALL: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.ENABLE: ("+", "green"),
    Action.START: ("▶", "green"),
    Action.RESTART: ("↻", "yellow"),
    Action.RELOAD: ("↻", "yellow"),
}

_SHORT_NAMES = {"kube-controller-manager": "controllers", "kube-scheduler": "scheduler"}
"""So that the table fits into 80 columns."""

MANY_CHANGES = 20


def print_material(console: Console, changes: Sequence[str], *, everything: bool) -> None:
    """Print what was made or reissued on this machine; of a first run's many only a few, or `everything`."""
    shown = changes if everything or len(changes) <= MANY_CHANGES else changes[:3]
    for change in shown:
        console.print(Text("  + ", "green").append(change, "default"))
    if len(shown) < len(changes):
        console.print(f"  … and {len(changes) - len(shown)} more (--verbose shows all)", style="dim")


def print_plan(console: Console, plans: Mapping[str, HostPlan], *, new_files: bool) -> None:
    """Print each host's changes with their diffs; the content of new files only with `new_files`."""
    for group in _alike(plans):
        names = ", ".join(group)
        console.print(f"[bold]{names}[/bold]")
        for change in plans[group[0]].changes:
            sign, colour = _SIGNS[change.action]
            line = Text("  ").append(f"{sign} {change.action:<7} ", colour)
            console.print(line.append(f"{change.kind} {change.target}").append(f"  {change.reason}", "dim"))
            if change.diff and (change.action is not Action.CREATE or new_files):
                console.print(_indented_diff(change))
        console.print()


def _alike(plans: Mapping[str, HostPlan]) -> list[list[str]]:
    """Return hosts with the very same changes together, so that three equal lists are read once."""
    groups: dict[tuple[Change, ...], list[str]] = {}
    for name, plan in plans.items():
        if not plan.empty:
            groups.setdefault(plan.changes, []).append(name)
    return list(groups.values())


def _indented_diff(change: Change) -> RenderableType:
    text = "\n".join(f"      {line}" for line in change.diff)
    colours = {"+": "green", "-": "red", "@": "cyan"}
    styled = Text()
    for line in text.splitlines():
        styled.append(line + "\n", colours.get(line.strip()[:1], ""))
    styled.rstrip()
    return styled


def print_objects(console: Console, objects: Mapping[str, Sequence[tuple[ApiObject, str]]]) -> None:
    """Print the API objects each cluster lacks."""
    for cluster, found in objects.items():
        if found:
            console.print(f"[bold]API of {cluster}[/bold]")
            for each, reason in found:
                line = Text("  ").append("+ create  ", "green").append(f"{each.kind} {each.name}")
                console.print(line.append(f"  {reason}", "dim"))
            console.print()


def plan_summary(
    plans: Mapping[str, HostPlan], objects: Mapping[str, Sequence[tuple[ApiObject, str]]]
) -> str:
    """Return one line that sums the plans up, or `No changes.`"""
    api = sum(map(len, objects.values()))
    changes = [change for plan in plans.values() for change in plan.changes]
    if not changes:
        return f"{api} API objects to bring in place." if api else "No changes."
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.action.value] = counts.get(change.action.value, 0) + 1
    hosts = sum(not plan.empty for plan in plans.values())
    parts = ", ".join(f"{count} to {action}" for action, count in counts.items())
    api_part = f"; {api} API objects" if api else ""
    return f"{hosts} {'host' if hosts == 1 else 'hosts'} to change: {parts}{api_part}."


def verification_tables(verification: Verification) -> RenderableType:
    """Return a table with a row a host and a column a check, and one for the cluster."""
    return Group(_host_table(verification), _cluster_table(verification), *_failures(verification))


def plain_table(title: str) -> Table:
    """Return an empty table in the one style all tables have."""
    # Without edges and with narrow gaps three hosts with names of 20 characters fit into 80 columns.
    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title=Text(f"\n{title}"),
        title_justify="left",
    )


def _host_table(verification: Verification) -> Table:
    table = plain_table(f"Hosts of {verification.cluster}")
    table.add_column("Host", overflow="fold")
    for group in HOST_GROUPS:
        table.add_column(group.capitalize(), no_wrap=True)
    table.add_column("VIP", no_wrap=True)
    table.add_column("Leader of", overflow="fold")
    for host, checks in verification.hosts.items():
        cells = [_cell([check for check in checks if check.group == group]) for group in HOST_GROUPS]
        holds = Text("●", "bold") if host in verification.vip_holders else Text("–", "dim")
        leads = [_SHORT_NAMES[leader.component] for leader in verification.leaders if leader.host == host]
        if any(check.name == "member status" and check.detail.startswith("leader") for check in checks):
            leads.insert(0, "etcd")
        table.add_row(Text(host), *cells, holds, "\n".join(leads) or Text("–", "dim"))
    return table


def _cell(checks: Sequence[Check]) -> Text:
    if not checks:
        return Text("–", "dim")
    good = sum(check.ok for check in checks)
    if good == len(checks):
        return Text(f"✓ {good}/{len(checks)}", "green")
    return Text(f"✗ {good}/{len(checks)}", "bold red")


def _cluster_table(verification: Verification) -> Table:
    table = plain_table(f"Cluster {verification.cluster}")
    table.add_column("Check", no_wrap=True)
    table.add_column("")
    table.add_column("Seen", overflow="fold")
    for check in _summed(verification.whole):
        mark = Text("✓", "green") if check.ok else Text("✗", "bold red")
        table.add_row(Text(check.name), mark, Text(check.detail))
    return table


def _summed(checks: Sequence[Check]) -> list[Check]:
    """Return the checks with those of the VIP from every host in one line when all are right."""
    asked = [check for check in checks if check.group == VIP and check.name.startswith("VIP from ")]
    if not asked or not all(check.ok for check in asked):
        return list(checks)
    hosts = ", ".join(check.name.removeprefix("VIP from ") for check in asked)
    one = Check(VIP, "VIP answers", True, f"{asked[0].detail} (from {hosts})")
    rest = [check for check in checks if check not in asked]
    return [*rest[:1], one, *rest[1:]]


def _failures(verification: Verification) -> list[RenderableType]:
    lines = [
        Text.assemble(("✗ ", "bold red"), (f"{where}: ", "bold"), f"{_label(check)}: {check.detail.strip()}")
        for where, check in verification.failures()
    ]
    return [Text(), *lines] if lines else []


def _label(check: Check) -> str:
    said_twice = check.group.lower() in check.name.lower()
    return check.name if said_twice else f"{check.group} {check.name}"


def check_table(verification: Verification) -> Table:
    """Return every single check of every host: what --verbose shows."""
    table = plain_table("Every check")
    for title in ("Host", "Check", "", "Seen"):
        table.add_column(title, overflow="fold")
    for host, checks in verification.hosts.items():
        for check in checks:
            mark = Text("✓", "green") if check.ok else Text("✗", "bold red")
            table.add_row(Text(host), Text(f"{check.group}: {check.name}"), mark, Text(check.detail))
        table.add_section()
    return table
