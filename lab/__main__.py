"""The command line: python -m lab VERB."""

import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from kubenorn.errors import ExitCode, InputWrongError, KubenornError
from lab.binaries import binaries as make_binaries
from lab.facts import DEFAULT_NAME, DEFAULT_SUBNET, checked_name, lab_folder
from lab.host import State
from lab.lab import Lab
from lab.progress import Steps
from lab.ssh import as_typed, ssh_command
from lab.tools import cache_folder, stop_running

app = typer.Typer(
    help="Real systemd hosts on this Linux machine, for the demo, tests and benchmarks.",
    epilog="Start with `python -m lab up`, log in with `python -m lab ssh m1`, "
    "end with `python -m lab down`. "
    "Run with --verbose for a traceback. KUBENORN_CACHE moves the cache (~/.cache/kubenorn); "
    "KUBENORN_RELEASE_FOLDER names a folder with released binaries to use instead of building them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[
    str, typer.Option("--name", help="Which lab: its folder is .lab-NAME, or .lab for the default.")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show a traceback when something fails.")]
HostName = Annotated[str, typer.Argument(metavar="HOST", help="A host of the lab, such as m1.")]


@app.command()
def up(
    hosts: Annotated[int | None, typer.Option(help="How many hosts; 3 for a new lab.")] = None,
    name: Name = DEFAULT_NAME,
    subnet: Annotated[
        str | None,
        typer.Option(
            help=f"The hosts' network; default {DEFAULT_SUBNET}, for a named lab the next free one."
        ),
    ] = None,
    binaries: Annotated[bool, typer.Option(help="Also build the Kubernetes binaries if needed.")] = True,
    verbose: Verbose = False,
) -> None:
    """Raise the lab, or heal it: boot what is off, half dead or frozen, and leave alone what runs."""
    with _told(verbose), Steps() as steps:
        _become_root()
        lab = Lab.plan(_folder(name), name=name, hosts=hosts, subnet=subnet, steps=steps)
        lab.up(with_binaries=binaries)
        names = ", ".join(f"{host.name} {host.address}" for host in lab.hosts)
        steps.say(f"Up: {names}; VIP {lab.vip}; inventory {lab.config}")


@app.command()
def down(name: Name = DEFAULT_NAME, verbose: Verbose = False) -> None:
    """Remove the lab and everything it made, its folder included. The cache stays."""
    with _told(verbose), Steps() as steps:
        _become_root()
        Lab.remains(_folder(name), name=name, steps=steps).down()


@app.command()
def reset(
    hosts: Annotated[list[str] | None, typer.Argument(metavar="[HOST…]", help="Default: all.")] = None,
    name: Name = DEFAULT_NAME,
    verbose: Verbose = False,
) -> None:
    """Make hosts bare again and boot them. Their ssh host keys stay, so known_hosts stays right."""
    with _told(verbose), Steps() as steps:
        _become_root()
        Lab.load(_folder(name), steps).reset(hosts or ())


@app.command()
def status(name: Name = DEFAULT_NAME, verbose: Verbose = False) -> None:
    """Show each host's state. Exit code 0 if all run, 1 if not."""
    with _told(verbose):
        _become_root()
        lab = Lab.load(_folder(name))
        conditions = lab.conditions()
        table = Table("host", "address", "state", "pid", "memory", "uptime")
        colours = {State.RUNNING: "green", State.OFF: "red", State.FROZEN: "blue", State.DEGRADED: "yellow"}
        for host in lab.hosts:
            seen = conditions[host.name]
            state = f"[{colours[seen.state]}]{seen.state}[/]"
            memory = f"{seen.memory} MiB" if seen.pid else "–"
            uptime = duration(seen.uptime) if seen.pid else "–"
            table.add_row(host.name, host.address, state, str(seen.pid or "–"), memory, uptime)
        console = Console(highlight=False, soft_wrap=True)
        console.print(table)
        facts = lab.facts
        console.print(f"folder {lab.folder}  bridge {facts.bridge}  subnet {facts.subnet}  VIP {lab.vip}")
        if any(seen.state is not State.RUNNING for seen in conditions.values()):
            raise typer.Exit(ExitCode.HOSTS_WRONG)


@app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def ssh(
    host: HostName,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[CMD…]", help="Run this, return its code.")
    ] = None,
    name: Name = DEFAULT_NAME,
    user: Annotated[
        str, typer.Option(help="root, ops (sudo), asks (sudo with password lab-only) or nosudo.")
    ] = "root",
    verbose: Verbose = False,
) -> None:
    """Log in to a host, or run a command there and return its exit code. Options go before HOST."""
    with _told(verbose):
        lab = Lab.load(_folder(name))
        line = ssh_command(lab.folder, lab.host(host).me, user=user)
        raise typer.Exit(
            subprocess.run([*line, *([as_typed(command)] if command else [])], check=False).returncode
        )


@app.command()
def off(host: HostName, name: Name = DEFAULT_NAME, verbose: Verbose = False) -> None:
    """Cut a host's power: all its processes are killed at once. Its state stays."""
    _on_one_host(Lab.off, host, name, verbose=verbose)


@app.command()
def on(host: HostName, name: Name = DEFAULT_NAME, verbose: Verbose = False) -> None:
    """Boot a host that is off, with its state."""
    _on_one_host(Lab.on, host, name, verbose=verbose)


@app.command()
def freeze(host: HostName, name: Name = DEFAULT_NAME, verbose: Verbose = False) -> None:
    """Freeze a host, as if it hung: connections to it stay open and nothing answers."""
    _on_one_host(Lab.freeze, host, name, verbose=verbose)


@app.command()
def thaw(host: HostName, name: Name = DEFAULT_NAME, verbose: Verbose = False) -> None:
    """Let a frozen host run on."""
    _on_one_host(Lab.thaw, host, name, verbose=verbose)


@app.command()
def binaries(verbose: Verbose = False) -> None:
    """Print the folder with the Kubernetes and etcd binaries; build them first if needed (5 minutes)."""
    with _told(verbose):
        with Steps() as steps:
            folder = make_binaries(steps)
        print(folder)


def duration(seconds: float) -> str:
    """Return seconds as people write them: 42 s, 7 min, 3 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _on_one_host(verb: Callable[[Lab, str], None], host: str, name: str, *, verbose: bool) -> None:
    with _told(verbose), Steps() as steps:
        _become_root()
        verb(Lab.load(_folder(name), steps), host)


def _folder(name: str) -> Path:
    return lab_folder(Path.cwd(), checked_name(name))


def _become_root() -> None:
    """Start over under sudo when not root; raises InputWrongError where that asks for a password."""
    if sys.platform != "linux":
        raise InputWrongError("The lab needs Linux: its hosts are containers with a systemd of their own.")
    if os.geteuid() == 0:
        return
    sudo = shutil.which("sudo")
    if not sudo or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode != 0:
        raise InputWrongError("The lab mounts file systems and makes a bridge: run it as root, or with sudo.")
    cache_folder().mkdir(parents=True, exist_ok=True)  # the user's own, not root's
    variables = {"KUBENORN_CACHE": str(cache_folder())}
    if release := os.environ.get("KUBENORN_RELEASE_FOLDER"):
        variables["KUBENORN_RELEASE_FOLDER"] = release
    settings = [f"{key}={value}" for key, value in variables.items()]
    os.execv(sudo, [sudo, "-n", "env", *settings, sys.executable, "-m", "lab", *sys.argv[1:]])  # noqa: S606


@contextmanager
def _told(verbose: bool) -> Iterator[None]:
    """Turn every error into one sentence on stderr and an exit code; a traceback only on request."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print("lab: interrupted; `up` and `down` both go on from here.", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (KubenornError, OSError, subprocess.SubprocessError) as error:
        if verbose:
            traceback.print_exc()
        print(f"lab: {error}", file=sys.stderr)
        code = error.exit_code if isinstance(error, KubenornError) else ExitCode.HOSTS_WRONG
        raise typer.Exit(code) from error


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    stop_running()
    raise KeyboardInterrupt


if __name__ == "__main__":
    app(prog_name="python -m lab")
