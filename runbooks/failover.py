"""Proves that a running control plane fails over: breaks it on purpose, measures what that costs, mends it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kubenorn.drill.expectations import Limits
from kubenorn.drill.scenarios import TRAITS, Scenario
from kubenorn.duration import parse_duration
from kubenorn.errors import ExitCode, InputWrongError
from kubenorn.files import check_can_be_written
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
from tasks.deployment import Deployment
from tasks.failover import Failover
from tasks.host_lock import locked
from tasks.interrupt import interruptible
from tasks.recording import recorded
from tasks.session import open_session

ALL = "all"
LONGEST_SECONDS = 24 * 3600
SCENARIO_HELP = (
    "What to break; repeatable; [default: haproxy-stop]\n\n"
    + "\n\n".join(f"{scenario}: {traits.summary}" for scenario, traits in TRAITS.items())
    + f"\n\n{ALL}: everything these hosts can do"
)
ScenarioOption = Annotated[
    list[str] | None, typer.Option("--scenario", metavar="SCENARIO", help=SCENARIO_HELP)
]


def failover(
    config: ConfigOption = DEFAULT_CONFIG,
    filters: FilterOption = None,
    scenario: ScenarioOption = None,
    cycles: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="How often each scenario is drilled; [default: once, or once for each of --hosts]",
            show_default=False,
        ),
    ] = None,
    hosts: Annotated[
        str, typer.Option(metavar="HOST,…", help="Walk the VIP around these: each is broken in turn.")
    ] = "",
    slo: Annotated[str, typer.Option(help="The longest outage of the API that is right.")] = "3s",
    overlap: Annotated[str, typer.Option(help="How long two hosts may have the VIP at once.")] = "50ms",
    interval: Annotated[str, typer.Option(help="Time between two probes, 20ms to 1s.")] = "25ms",
    steady_for: Annotated[str, typer.Option(help="How long the scenario steady watches.")] = "10min",
    force: Annotated[bool, typer.Option("--force", help="Drill a cluster that is not healthy.")] = False,
    yes: YesOption = False,
    json_file: JsonOption = None,
    junit_file: JunitOption = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page for screens and paper.")
    ] = None,
    break_lock: BreakLockOption = False,
    ask_password: AskPasswordOption = False,
    ask_sudo_password: AskSudoPasswordOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Break a running control plane on purpose, watch the VIP move, and put a number on it.

    Refuses a cluster that is not healthy. Every host that is broken first gets a dead-man switch that mends it
    should this program die. All times come from the hosts' own events, brought to this machine's clock.

    [bold]Examples[/bold]

    python runbooks/failover.py --filter role=master --cycles 10

    python runbooks/failover.py --filter role=master --scenario all --html drill.html --slo 1s

    [bold]Exit codes[/bold]  0 all as expected; 1 an expectation failed, a cycle that was asked for could not be
    drilled, or the cluster is not healthy; 2 the input is wrong and nothing was stopped; 3 some hosts could not be
    reached; 130 interrupted, and mended.
    """
    limits = Limits(parse_duration(slo, "--slo") * 1000, parse_duration(overlap, "--overlap") * 1000)
    probe_seconds = parse_duration(interval, "--interval")
    steady_seconds = parse_duration(steady_for, "--steady-for")
    if steady_seconds > LONGEST_SECONDS:
        raise InputWrongError(f"--steady-for {steady_for}: choose up to {LONGEST_SECONDS // 60}min.")
    if not 0.02 <= probe_seconds <= 1:
        raise InputWrongError(f"--interval {interval}: choose 20ms to 1s.")
    for path, option in ((json_file, "--json"), (junit_file, "--junit"), (html_file, "--html")):
        check_can_be_written(path, option)
    passwords = ask_passwords(ssh=ask_password, sudo=ask_sudo_password)
    session = open_session(config, filters or [], passwords=passwords)
    drilling = Failover.plan(
        session,
        _scenarios(scenario),
        cycles=cycles,
        hosts=hosts,
        limits=limits,
        probe_seconds=probe_seconds,
        steady_seconds=steady_seconds,
        force=force,
    )
    run = Deployment(drilling.whole, frozenset(), verbose=verbose)
    masters = [master.name for master in drilling.cluster.masters]

    with recorded(run, "failover", sys.argv[1:], json_file=None, junit_file=None) as recording:
        recording.verifications = run.verify()
        drilling.refuse_unhealthy(recording.verifications[0])
        lock = locked(session.everyone, masters, needed=masters, what="failover", break_lock=break_lock)
        with (
            interruptible() as interrupt,
            lock,
            drilling.told(json_file=json_file, junit_file=junit_file, html_file=html_file),
            drilling.prepared(interrupt, recording.run_id) as drill,
        ):
            drilling.preview(drill)
            with interrupt.asking():
                confirm("Break it?", yes=yes)
            drilling.run(drill)
        if not drilling.report.ok:
            raise typer.Exit(ExitCode.HOSTS_WRONG)


def _scenarios(given: list[str] | None) -> list[Scenario] | None:
    """Return the scenarios asked for; None: all that can be drilled."""
    if given and ALL in given:
        return None
    for name in given or ():
        if name not in list(Scenario):
            raise InputWrongError(f"--scenario {name}: is none; choose from {', '.join(Scenario)} and {ALL}.")
    return [Scenario(name) for name in dict.fromkeys(given or [Scenario.HAPROXY_STOP.value])]


if __name__ == "__main__":
    run_runbook(failover)
