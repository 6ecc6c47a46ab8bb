"""What one command said on many hosts: equal outputs together, safe to show on a terminal."""

import json
import re
import shlex
import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from kubenorn.errors import (
    ExitCode,
    HostsUnreachableError,
    InputWrongError,
    InterruptedByOperatorError,
)
from kubenorn.files import write_atomically

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What moves the cursor, rings, ends a line or turns the direction of writing."""


@dataclass(frozen=True)
class CommandOutput:
    """What a command left behind on one host."""

    exit_status: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    seconds: float = field(compare=False)
    """How long it took, the login not counted."""
    ended_after: float | None = None
    """The seconds after which the host ended it; None: it ended by itself."""


def command_line(words: Sequence[str]) -> str:
    """Return the words of a command line as a shell is to read them: a single one as it is, several quoted.

    Raises InputWrongError when there is no command in them.
    """
    line = words[0] if len(words) == 1 else shlex.join(words)
    if not any(word.strip() for word in words):
        raise InputWrongError(
            "there is no command; write it after --, such as: "
            "python runbooks/run.py --filter role=master -- systemctl is-active etcd"
        )
    return line


def group_outputs(outputs: Mapping[str, CommandOutput]) -> list[tuple[list[str], CommandOutput]]:
    """Return hosts whose stdout, stderr and exit status are equal together, the largest group first."""
    groups: dict[CommandOutput, list[str]] = {}
    for host, output in outputs.items():
        groups.setdefault(output, []).append(host)
    return sorted(((hosts, output) for output, hosts in groups.items()), key=lambda group: -len(group[0]))


def without_text(output: CommandOutput) -> CommandOutput:
    """Return how the command ended, without what it said: that was shown already."""
    return CommandOutput(output.exit_status, "", "", output.seconds, output.ended_after)


def print_groups(console: Console, outputs: Mapping[str, CommandOutput]) -> None:
    """Print each group's hosts and exit status, then what they said: stderr behind an exclamation mark."""
    for hosts, output in group_outputs(outputs):
        colour = "bold red" if output.exit_status else "bold green"
        console.print(Text(f"{', '.join(hosts)}: ", "bold").append(_ending(output), colour))
        for text, mark, style in ((output.stdout, "  ", ""), (output.stderr, "! ", "dim")):
            lines = readable_lines(text)
            if lines:
                block = "\n".join(f"{mark}{line}" for line in lines)
                console.print(Text(block, style), soft_wrap=True)
        console.print()


def _ending(output: CommandOutput) -> str:
    if output.ended_after is None:
        return f"exit {output.exit_status}"
    return f"not done within {output.ended_after:g} s, so it was ended (exit {output.exit_status})"


def readable_lines(text: str) -> list[str]:
    """Return the lines of what a host said, harmless: without colours, other control characters spelt out.

    A carriage return ends a line, so that nothing is written over; tabs stay.
    """
    if not text:
        return []
    plain = _COLOUR.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    safe = _STEERING.sub(lambda sign: ascii(sign[0])[1:-1], plain)
    return safe.removesuffix("\n").split("\n")


class LineStream:
    """Prints lines of many hosts as they arrive, each whole and behind its host's name."""

    def __init__(self, console: Console, hosts: Collection[str]) -> None:
        self._console = console
        self._width = max(map(len, hosts))
        self._lock = threading.Lock()

    def show(self, host: str, text: str, *, is_error: bool) -> None:
        """Print one line of a host, from any thread; stderr behind an exclamation mark instead of a bar."""
        mark, style = ("!", "dim default") if is_error else ("|", "default")
        for line in readable_lines(f"{text}\n"):
            whole = Text(f"{host:<{self._width}} {mark} ", "cyan").append(line, style)
            with self._lock:
                self._console.print(whole, soft_wrap=True)


def summary(outputs: Mapping[str, CommandOutput], failures: Mapping[str, Exception]) -> str:
    """Return one line that counts how the command ended: `3 hosts: 2 exited with 0, 1 with 1.`"""
    statuses = Counter(output.exit_status for output in outputs.values() if output.ended_after is None)
    parts = [f"{statuses[status]} with {status}" for status in sorted(statuses)]
    if parts:
        parts[0] = parts[0].replace(" with", " exited with")
    slow = sum(output.ended_after is not None for output in outputs.values())
    others = Counter(_failure(error) for error in failures.values())
    parts += [f"{slow} not done in time"] if slow else []
    parts += [f"{count} {what}" for what, count in others.items()]
    total = len(outputs) + len(failures)
    return f"{total} {'host' if total == 1 else 'hosts'}: {', '.join(parts)}."


def _failure(error: Exception) -> str:
    if isinstance(error, HostsUnreachableError):
        return "out of reach"
    return "interrupted" if isinstance(error, InterruptedByOperatorError) else "could not run it"


def exit_code(outputs: Mapping[str, CommandOutput], failures: Mapping[str, Exception]) -> ExitCode:
    """Return how the run as a whole ended; wrong input only when the command ran nowhere."""
    for kind in (InterruptedByOperatorError, HostsUnreachableError):
        if any(isinstance(error, kind) for error in failures.values()):
            return kind.exit_code
    if not outputs and any(isinstance(error, InputWrongError) for error in failures.values()):
        return ExitCode.INPUT_WRONG
    if failures or any(output.exit_status for output in outputs.values()):
        return ExitCode.HOSTS_WRONG
    return ExitCode.OK


def output_report(
    command: str, outputs: Mapping[str, CommandOutput], problems: Mapping[str, str]
) -> dict[str, Any]:
    """Return the command and, by host, what it left behind or the problem, ready for JSON; times in seconds."""
    hosts = {host: asdict(output) for host, output in outputs.items()}
    return {"command": command, "hosts": {**hosts, **{host: {"problem": p} for host, p in problems.items()}}}


def write_output(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write the report, readable for its owner alone; nothing without a path.

    Other reports are for everyone, but what a command says as root may be a secret. Raises InputWrongError with the
    system's reason when it cannot be written.
    """
    if path is not None:
        write_atomically(path, f"{json.dumps(report, indent=2, ensure_ascii=False)}\n".encode(), mode=0o600)
