"""Deploys a highly available control plane on the selected hosts, or brings it back to what the inventory says."""

import sys
from typing import Annotated

import typer

from kubenorn.console import errors
from kubenorn.desired import Part
from kubenorn.errors import ExitCode, InputWrongError
from kubenorn.options import (
    DEFAULT_CONFIG,
    AskPasswordOption,
    AskSudoPasswordOption,
    BreakLockOption,
    ConfigOption,
    FilterOption,
    JsonOption,
    JunitOption,
    SerialOption,
    VerboseOption,
    WorkersOption,
    YesOption,
    ask_passwords,
    confirm,
    run_runbook,
)
from kubenorn.rollout import Serial
from tasks.change import changing
from tasks.deployment import Deployment
from tasks.recording import recorded
from tasks.rollout import Rollout
from tasks.session import open_session
from tasks.showing import show_outcome, show_plan

PartOption = Annotated[
    list[Part] | None, typer.Option(metavar="PART", help="One of " + ", ".join(Part) + "; repeatable.")
]


def deploy(
    config: ConfigOption = DEFAULT_CONFIG,
    filters: FilterOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan with diffs; touch nothing.")
    ] = False,
    only: PartOption = None,
    skip: PartOption = None,
    yes: YesOption = False,
    json_file: JsonOption = None,
    junit_file: JunitOption = None,
    serial: SerialOption = "1",
    break_lock: BreakLockOption = False,
    workers: WorkersOption = None,
    ask_password: AskPasswordOption = False,
    ask_sudo_password: AskSudoPasswordOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Deploy a highly available Kubernetes control plane, then verify it on the hosts.

    Looks at every selected host first and refuses, with every reason at once, before anything is touched;
    shows the plan and asks; sends each host one stream with only what changed; verifies on the hosts and
    through the VIP. A second run says "No changes." and restarts nothing.

    [bold]Examples[/bold]

    python runbooks/deploy.py --filter role=master --dry-run

    python runbooks/deploy.py --filter group=production --yes --json report.json

    python runbooks/deploy.py --filter name=m1,m2 --only verify --verbose

    [bold]Exit codes[/bold]  0 as asked; 1 something is wrong on the hosts; 2 the input is wrong and nothing was
    touched; 3 some hosts could not be reached; 130 interrupted.
    """
    wanted_serial = Serial.parse(serial)
    passwords = ask_passwords(ssh=ask_password, sudo=ask_sudo_password)
    session = open_session(config, filters or [], workers=workers, passwords=passwords)
    for warning in session.fleet.warnings:
        errors.print(f"Warning: {warning}", style="yellow", markup=False)
    run = Deployment(session, _parts(only, skip), dry_run=dry_run, verbose=verbose)

    with recorded(run, "deploy", sys.argv[1:], json_file=json_file, junit_file=junit_file) as recording:
        run.probe()
        run.find_binaries()
        run.prepare_material()
        run.plan()
        recording.planned()
        show_plan(run, verbose=verbose)
        if dry_run:
            return
        if not run.empty:
            confirm("Go ahead?", yes=yes)
        with changing(run, recording, what="deploy", break_lock=break_lock) as change:
            if run.replanned:
                errors.print("The hosts have been changed since they were looked at:", style="yellow")
                show_plan(run, verbose=verbose)
                with change.interrupt.asking():
                    confirm("Go ahead?", yes=yes)
                recording.planned()
            rollout = Rollout(run, recording, wanted_serial, change)
            rollout.apply()
            change.interrupt.check(rollout.summary())
            run.apply_objects()
            change.interrupt.check(f"{rollout.summary()} Nothing was verified.")
            if Part.VERIFY in run.parts:
                recording.verifications = run.verify()
        show_outcome(recording, verbose=verbose)
        if not all(verification.ok for verification in recording.verifications):
            raise typer.Exit(ExitCode.HOSTS_WRONG)


def _parts(only: list[Part] | None, skip: list[Part] | None) -> frozenset[Part]:
    parts = frozenset(only or Part) - frozenset(skip or ())
    if not parts:
        raise InputWrongError("--only and --skip leave nothing to do; leave one of them out.")
    return parts


if __name__ == "__main__":
    run_runbook(deploy)
