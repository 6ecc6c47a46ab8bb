"""Asks running control planes whether they are what we think they are, and what will break next. Changes nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from kubenorn.audit.finding import Group, Severity
from kubenorn.console import console
from kubenorn.errors import ExitCode, InputWrongError
from kubenorn.files import check_can_be_written
from kubenorn.options import (
    DEFAULT_CONFIG,
    AskPasswordOption,
    AskSudoPasswordOption,
    ConfigOption,
    FilterOption,
    JsonOption,
    JunitOption,
    VerboseOption,
    WorkersOption,
    ask_passwords,
    run_runbook,
)
from tasks.auditing import Auditing
from tasks.session import open_session

CheckOption = Annotated[
    list[Group] | None, typer.Option(metavar="CHECK", help="One of " + ", ".join(Group) + "; repeatable.")
]


def audit(
    config: ConfigOption = DEFAULT_CONFIG,
    filters: FilterOption = None,
    check: CheckOption = None,
    skip: CheckOption = None,
    fail_on: Annotated[
        str,
        typer.Option(metavar="SEVERITY", help="Exit with 1 from this on: info, warning, error, critical."),
    ] = "warning",
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show only what an earlier audit's --json does not have."),
    ] = None,
    json_file: JsonOption = None,
    junit_file: JunitOption = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page for screens and paper.")
    ] = None,
    prom_file: Annotated[
        Path | None,
        typer.Option("--prom", metavar="FILE", help="Write metrics for node-exporter's textfiles."),
    ] = None,
    workers: WorkersOption = None,
    ask_password: AskPasswordOption = False,
    ask_sudo_password: AskSudoPasswordOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Audit running control planes: is each what we think it is, and what will break next?

    Reads only. Each host is asked once; one that does not answer is a finding and hides no other.

    [bold]Examples[/bold]

    python runbooks/audit.py --filter role=master

    python runbooks/audit.py --filter role=master --check certificates --fail-on error --json audit.json

    [bold]Exit codes[/bold]  0 nothing found from --fail-on upwards; 1 something was; 2 the input is wrong;
    130 interrupted.
    """
    groups = frozenset(check or Group) - frozenset(skip or ())
    if not groups:
        raise InputWrongError("--check and --skip leave nothing to look at; leave one of them out.")
    if fail_on.upper() not in Severity.__members__:
        raise InputWrongError(f"--fail-on {fail_on}: is none of info, warning, error, critical.")
    files = {"--json": json_file, "--junit": junit_file, "--html": html_file, "--prom": prom_file}
    for option, path in files.items():
        check_can_be_written(path, option)
    passwords = ask_passwords(ssh=ask_password, sudo=ask_sudo_password)
    session = open_session(config, filters or [], workers=workers, passwords=passwords)

    auditing = Auditing(session, groups, datetime.now(UTC), verbose=verbose)
    auditing.collect()
    auditing.judge(baseline)
    auditing.show(console, verbose=verbose)
    auditing.write(json_file, junit_file, html_file, prom_file)
    if any(each.worst is not None and each.worst >= Severity[fail_on.upper()] for each in auditing.audits):
        raise typer.Exit(ExitCode.HOSTS_WRONG)


if __name__ == "__main__":
    run_runbook(audit)
