"""Command-line options that runbooks share, so that each means the same everywhere."""

import atexit
import gc
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from kubenorn.console import errors
from kubenorn.errors import DeclinedError, ExitCode, InputWrongError, KubenornError

ConfigOption = Annotated[
    Path, typer.Option("--config", help="Nornir's configuration; its folder is where relative paths begin.")
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="KEY=VALUE",
        help="Which hosts: role=master, name=m1,m2 (or), group=production, site__startswith=bj "
        "(Nornir's operators). Repeat it to ask for all of several.",
    ),
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the same facts as JSON.")
]
JunitOption = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write hosts and checks as JUnit XML, for CI."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing anything.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Every check and result, and tracebacks of errors.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=500, help="Hosts at the same time. [default: config.yaml's]"),
]
AskPasswordOption = Annotated[
    bool, typer.Option("--ask-password", help="Ask for the SSH password (or set KUBENORN_SSH_PASSWORD).")
]
AskSudoPasswordOption = Annotated[
    bool,
    typer.Option("--ask-sudo-password", help="Ask for the sudo password (or set KUBENORN_SUDO_PASSWORD)."),
]
SerialOption = Annotated[
    str,
    typer.Option(
        "--serial",
        metavar="N|N%",
        help="How many masters of a running cluster are changed at once; etcd members always go one by one.",
    ),
]
BreakLockOption = Annotated[
    bool, typer.Option("--break-lock", help="Take the hosts' lock from a run that is cut off or dead.")
]
DEFAULT_CONFIG = Path("config.yaml")


@dataclass(frozen=True)
class Passwords:
    """Asked at a prompt or taken from the environment; empty: none."""

    ssh: str = field(default="", repr=False)
    sudo: str = field(default="", repr=False)
    key_passphrase: str = field(default="", repr=False)
    """Opens an encrypted key file; from the environment only."""


def ask_passwords(*, ssh: bool, sudo: bool) -> Passwords:
    """Return the passwords: from a prompt where asked for, else from the environment."""
    return Passwords(
        _password(ssh, "KUBENORN_SSH_PASSWORD", "SSH password"),
        _password(sudo, "KUBENORN_SUDO_PASSWORD", "sudo password"),
        os.environ.get("KUBENORN_KEY_PASSPHRASE", ""),
    )


def _password(ask: bool, variable: str, prompt: str) -> str:
    if ask:
        return str(typer.prompt(prompt, hide_input=True, err=True))
    return os.environ.get(variable, "")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is changed; leave when the answer is no.

    Raises DeclinedError then, and InputWrongError where there is no terminal to ask on and `yes` was not given.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputWrongError("nothing was changed: there is no terminal to ask on; add --yes to go ahead.")
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        agreed = False
    if not agreed:
        raise DeclinedError("Nothing was changed: you did not say yes.")


def _paragraphs(runbook: Callable[..., None]) -> str:
    """Return a runbook's docstring, a line each paragraph: the terminal's width breaks it, not the source's."""
    paragraphs = (inspect.getdoc(runbook) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def run_runbook(runbook: Callable[..., None]) -> None:
    """Run a runbook's command line; tell its errors in a sentence and exit with their code."""
    # What is loaded by now stays: the collector need not look at it again, nor at anything in the end, which takes it
    # longer than a login.
    gc.freeze()
    atexit.register(gc.freeze)
    # What stands behind -- is for somebody else: run.py's command may have a -v of its own.
    own = list(takewhile(lambda word: word != "--", sys.argv))
    verbose = "--verbose" in own or "-v" in own
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.command(context_settings={"help_option_names": ["-h", "--help"]}, help=_paragraphs(runbook))(runbook)
    try:
        app(standalone_mode=True)
    except KubenornError as error:
        if verbose:
            traceback.print_exc()
        for line in str(error).splitlines():
            errors.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("Interrupted; run again to finish what was begun.", style="red")
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        if verbose:
            raise
        errors.print(
            f"Unexpected {type(error).__name__}: {error}. This is a defect of kubenorn: "
            "run again with --verbose and report the traceback.",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(ExitCode.HOSTS_WRONG)
