"""One ad-hoc command on every selected host."""

import shlex
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from nornir.core.task import Result, Task

from kubenorn.command_output import CommandOutput
from kubenorn.console import phase
from tasks.exec_channel import run_command
from tasks.fleet_run import Outcome, run_on_hosts
from tasks.interrupt import Interrupt, interruptible
from tasks.login import open_connection
from tasks.session import Session
from tasks.sudo import SUDO_SECONDS

KILL_SECONDS = 5
"""How long a command that was asked to end may take to do so."""
ANSWER_SECONDS = 15
"""How much longer than its command a host may take to tell the end."""
ENDED_STATUSES = (124, 137)
"""Exit statuses of timeout(1) when it asked the command to end, and when it killed it."""
FEW = 3


class ShowLine(Protocol):
    """Shows a line that a host said, from any thread."""

    def __call__(self, host: str, text: str, *, is_error: bool) -> None:
        """Show the line; it has no end."""


def run_everywhere(
    session: Session,
    command: str,
    *,
    as_root: bool,
    timeout: float,
    show: ShowLine | None = None,
    verbose: bool = False,
) -> Outcome[CommandOutput]:
    """Run a shell's command line on the session's hosts at once, and return each one's `CommandOutput`.

    After `timeout` seconds a host ends the command. `show` gets the lines as they arrive. Ctrl-C and SIGTERM
    end the waiting; the hosts not done by then fail with InterruptedByOperatorError.
    """
    waiting = dict.fromkeys(session.hosts)
    count = len(waiting)
    title = f"Run on {count} {'host' if count == 1 else 'hosts'}"
    with interruptible("Stopping") as interrupt, phase(title, total=count) as shown:

        def over(host: str) -> None:
            waiting.pop(host)
            last = f"waiting for {', '.join(list(waiting))}" if 0 < len(waiting) <= FEW else ""
            shown.update(count - len(waiting), count, last)

        outcome: Outcome[CommandOutput] = run_on_hosts(
            session.nornir,
            run_adhoc,
            session.hosts,
            on_host_done=over,
            verbose=verbose,
            command=command,
            as_root=as_root,
            timeout=timeout,
            interrupt=interrupt,
            show=show,
        )
        shown.remark = f"{len(outcome.results)} answered"
    return outcome


def run_adhoc(
    task: Task, command: str, as_root: bool, timeout: float, interrupt: Interrupt, show: ShowLine | None
) -> Result:
    """Return the `CommandOutput` of a shell's command line on the task's host; `timeout` is in seconds.

    Raises like `run_command`, and InterruptedByOperatorError when the operator does not want to wait.
    """
    interrupt.check("the command was not begun.")
    open_connection(task.host, task.nornir.config)
    interrupt.check("the command was not begun.")
    tell, tell_error = _tellers(task.host.name, show)
    began = time.monotonic()
    completed = run_command(
        task,
        bounded(command, timeout),
        timeout=timeout + KILL_SECONDS + SUDO_SECONDS + ANSWER_SECONDS,
        on_line=tell,
        on_error_line=tell_error,
        while_waiting=lambda: interrupt.check(f"the command may go on there until {timeout:g} s are over."),
        as_root=as_root,
    )
    seconds = time.monotonic() - began
    for text, say in ((completed.stdout, tell), (completed.stderr, tell_error)):
        unfinished = text.rpartition("\n")[2]
        if say and unfinished:
            say(unfinished)
    ended = completed.exit_status in ENDED_STATUSES and seconds >= timeout
    output = CommandOutput(
        completed.exit_status, completed.stdout, completed.stderr, seconds, timeout if ended else None
    )
    return Result(host=task.host, result=output, summary=f"exit {completed.exit_status}")


def bounded(command: str, timeout: float) -> str:
    """Return a command line that runs `command` with sh and ends it and its children after `timeout` seconds.

    The host does that itself, so nothing is left behind when the connection breaks.
    """
    limited = f"timeout -k {KILL_SECONDS} {timeout:g} sh -c {shlex.quote(command)}"
    # A shell around it turns the end by a signal, timeout's own too, into an exit status.
    return f"sh -c {shlex.quote(f'{limited}; exit $?')}"


def _tellers(
    host: str, show: ShowLine | None
) -> tuple[Callable[[str], None], Callable[[str], None]] | tuple[None, None]:
    if show is None:
        return None, None
    return partial(show, host, is_error=False), partial(show, host, is_error=True)
