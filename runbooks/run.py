"""Runs one command on all selected hosts at once and shows equal outputs together."""

from typing import Annotated

import typer

from kubenorn.command_output import (
    LineStream,
    command_line,
    exit_code,
    output_report,
    print_groups,
    summary,
    without_text,
    write_output,
)
from kubenorn.console import console, errors
from kubenorn.duration import parse_duration
from kubenorn.errors import InputWrongError
from kubenorn.files import check_can_be_written
from kubenorn.options import (
    DEFAULT_CONFIG,
    AskPasswordOption,
    AskSudoPasswordOption,
    ConfigOption,
    FilterOption,
    JsonOption,
    VerboseOption,
    WorkersOption,
    ask_passwords,
    run_runbook,
)
from tasks.fleet_run import sentence
from tasks.run_adhoc import run_everywhere
from tasks.session import open_session

LONGEST_SECONDS = 24 * 3600


def run(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="Write it after --, so that its options stay its own."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    filters: FilterOption = None,
    sudo: Annotated[bool, typer.Option("--sudo", help="Run as root instead of as the login user.")] = False,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="After this each host ends the command (1s, 10min).")
    ] = "60s",
    stream: Annotated[
        bool, typer.Option("--stream", help="Show lines as they arrive, each behind its host's name.")
    ] = False,
    workers: WorkersOption = None,
    json_file: JsonOption = None,
    ask_password: AskPasswordOption = False,
    ask_sudo_password: AskSudoPasswordOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run one command on all selected hosts at once; hosts that say the same are shown together.

    It runs as the login user, or as root with --sudo, and has no standard input. Lines of stderr begin with "!".

    Several words are one command with its arguments, taken literally. One quoted string is a line for the host's
    sh and may use pipes, wildcards and variables.

    [bold]Examples[/bold]

    python runbooks/run.py --filter role=master -- systemctl is-active etcd

    python runbooks/run.py --filter name=m1,m2 --sudo -- 'journalctl -u etcd | grep -c slow'

    [bold]Exit codes[/bold]  0 every host exited with 0; 1 some did not; 2 the input is wrong and nothing was run;
    3 some hosts could not be reached (the others' outputs are shown); 130 interrupted.
    """
    command = command_line(words or [])
    seconds = parse_duration(timeout, "--timeout")
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise InputWrongError(f"--timeout {timeout}: choose 1s to {LONGEST_SECONDS // 60}min.")
    if ask_sudo_password and not sudo:
        raise InputWrongError("--ask-sudo-password: nothing runs as root; add --sudo.")
    check_can_be_written(json_file, "--json")
    passwords = ask_passwords(ssh=ask_password, sudo=ask_sudo_password)
    session = open_session(config, filters or [], workers=workers, passwords=passwords)
    show = LineStream(console, session.hosts).show if stream else None

    outcome = run_everywhere(session, command, as_root=sudo, timeout=seconds, show=show, verbose=verbose)
    outputs, failures = outcome.results, outcome.failures
    problems = {host: sentence(error) for host, error in failures.items()}

    console.print()
    print_groups(console, {host: without_text(each) for host, each in outputs.items()} if stream else outputs)
    for host, problem in problems.items():
        errors.print(f"{host}: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(summary(outputs, failures), style="bold", markup=False)
    write_output(json_file, output_report(command, outputs, problems))
    raise typer.Exit(exit_code(outputs, failures))


if __name__ == "__main__":
    run_runbook(run)
