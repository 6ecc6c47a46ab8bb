"""python -m benchmarks: times whole runbooks against the lab, in turn, and tells medians and ratios.

One bare login on every host is the yardstick: machines differ and are noisy, the ratio to it less so.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

from kubenorn.tables import plain_table

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "one login (yardstick)": ("run.py", "--", "true"),
    "audit": ("audit.py", "--fail-on", "critical"),
    "deploy, nothing to do": ("deploy.py", "--yes"),
}


def seconds(command: tuple[str, ...], config: Path) -> float:
    """Return how long a runbook took as a process, in seconds. Raises CalledProcessError when it failed."""
    name, *arguments = command
    line = [
        sys.executable,
        f"runbooks/{name}",
        "--config",
        str(config),
        "--filter",
        "role=master",
        *arguments,
    ]
    began = time.monotonic()
    subprocess.run(line, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main(
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each is run, after one that does not count.")
    ] = 5,
    config: Annotated[Path, typer.Option(help="Nornir's configuration of the lab.")] = ROOT
    / ".lab/config.yaml",
) -> None:
    """Time the runbooks in turn: A B C, A B C, …, so that all meet the same noise."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(rounds + 1):
        for name, command in COMMANDS.items():
            lasted = seconds(command, config)
            if turn:
                taken[name].append(lasted)
    table = plain_table(f"Whole processes, seconds, {rounds} rounds")
    for column in ("Runbook", "Least", "Median", "Most", "To a login"):
        table.add_column(column, justify="left" if column == "Runbook" else "right")
    (yardstick, *_) = taken.values()
    for name, times in taken.items():
        ratio = median(one / login for one, login in zip(times, yardstick, strict=True))
        figures = (min(times), median(times), max(times))
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), f"{ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
