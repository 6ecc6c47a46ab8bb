"""Puts back what the last deployment changed on the selected hosts, one host at a time."""

import sys
from typing import Annotated

import typer

from kubenorn.change_sets import to_put_back
from kubenorn.console import console
from kubenorn.errors import ExitCode
from kubenorn.options import (
    DEFAULT_CONFIG,
    AskPasswordOption,
    AskSudoPasswordOption,
    BreakLockOption,
    ConfigOption,
    FilterOption,
    JsonOption,
    JunitOption,
    VerboseOption,
    YesOption,
    ask_passwords,
    confirm,
    run_runbook,
)
from kubenorn.rollout import Serial
from tasks.change import changing
from tasks.deployment import Deployment
from tasks.recording import recorded
from tasks.roll_back import kept_change_sets
from tasks.rollout import Rollout
from tasks.session import open_session
from tasks.showing import show_outcome


def rollback(
    config: ConfigOption = DEFAULT_CONFIG,
    filters: FilterOption = None,
    change_set: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN_ID", help="The run to put back (runbooks/history.py lists them)."),
    ] = None,
    yes: YesOption = False,
    json_file: JsonOption = None,
    junit_file: JunitOption = None,
    break_lock: BreakLockOption = False,
    ask_password: AskPasswordOption = False,
    ask_sudo_password: AskSudoPasswordOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Put back files, units and binaries that one run replaced: the last one, or the one of --run.

    It is the same run on every selected host, and hosts that it did not change are left alone. Goes host by host,
    the one that holds the VIP last, and leaves a host only when its components are ready again. The hosts keep the
    last five runs. The inventory is not changed: the next deploy would apply it again, so correct it first.

    [bold]Examples[/bold]

    python runbooks/rollback.py --filter role=master

    python runbooks/rollback.py --filter name=m2 --run 2026-11-21T02-15-07.123Z

    [bold]Exit codes[/bold]  0 as asked, also where there is nothing to put back; 1 something is wrong on the hosts;
    2 the input is wrong, or this run cannot be put back; 3 some hosts could not be reached; 130 interrupted.
    """
    passwords = ask_passwords(ssh=ask_password, sudo=ask_sudo_password)
    session = open_session(config, filters or [], passwords=passwords)
    run = Deployment(session, frozenset(), verbose=verbose)
    with recorded(run, "rollback", sys.argv[1:], json_file=json_file, junit_file=junit_file) as recording:
        run.probe()
        run.prepare_material()
        kept = run.run_on(kept_change_sets, session.hosts, None).all_or_raise()
        chosen = to_put_back(kept, change_set)
        for host in session.hosts:
            if host not in chosen:
                console.print(f"{host}: nothing to roll back")
        if chosen:
            run_id = next(iter(chosen.values())).run_id
            confirm(f"Put back run {run_id} on {', '.join(chosen)}?", yes=yes)
        with changing(run, recording, what="rollback", break_lock=break_lock, always=bool(chosen)) as change:
            rollout = Rollout(run, recording, Serial(count=1), change)
            for host, what in rollout.put_back(chosen).items():
                console.print(f"{host}: {what}")
            change.interrupt.check(f"{rollout.summary()} Nothing was verified.")
            recording.verifications = run.verify()
        show_outcome(recording, verbose=verbose)
        if not all(verification.ok for verification in recording.verifications):
            raise typer.Exit(ExitCode.HOSTS_WRONG)


if __name__ == "__main__":
    run_runbook(rollback)
