"""Task: make a host as planned, with one tar stream."""

from collections.abc import Callable, Mapping
from pathlib import Path

from nornir.core.task import Result, Task

from kubenorn.binaries.compressed import Method
from kubenorn.errors import HostsWrongError, RolledBackError
from kubenorn.observed import ObservedHost
from kubenorn.payload import ANOTHER_RUN_STATUS, READY_SECONDS, RECEIVE, Writable, build_payload
from kubenorn.plan import HostPlan
from tasks.exec_channel import StandardInput, last_words, run_command
from tasks.rendering import renderer

TRANSFER_SECONDS = 1800
"""For a slow line: 90 MB at 50 KB/s."""

Told = Callable[[str, str], None]
"""Hears `(host, what it is doing)`."""
Sent = Callable[[str, int, int], None]
"""Hears `(host, bytes sent, bytes in all)`."""


def apply_plan(
    task: Task,
    *,
    run_id: str,
    roll_back: bool,
    plans: Mapping[str, HostPlan],
    observed: Mapping[str, ObservedHost],
    compressed: Callable[[str, str, Method], Path],
    told: Told,
    sent: Sent,
) -> Result:
    """Apply the host's plan; with `roll_back` a host that does not become ready is put back as it was.

    `compressed(host, binary, method)` gives a binary's compressed form.

    Raises HostsWrongError with the step that failed and why.
    """
    name = task.host.name
    plan, host = plans[name], observed[name]
    if plan.empty:
        return Result(host=task.host, changed=False)
    zstd = "zstd" in host.programs
    payload = build_payload(
        plan,
        run_id=run_id,
        roll_back=roll_back,
        package_manager=host.package_manager,
        zstd=zstd,
        compressed={b.name: compressed(name, b.name, "zstd" if zstd else "gzip") for b in plan.binaries},
        render=renderer(task),
    )
    heard = Heard(name, told)
    completed = run_command(
        task,
        RECEIVE,
        feed=lambda pipe: payload.write(_counted(pipe, lambda done: sent(name, done, payload.size))),
        timeout=TRANSFER_SECONDS + READY_SECONDS,
        on_line=heard.line,
    )
    if completed.exit_status == ANOTHER_RUN_STATUS:
        raise HostsWrongError("another run is changing this host right now; wait for it and run again")
    if completed.exit_status != 0 and not heard.failure:
        heard.failure = last_words(completed)
    heard.raise_failure()
    return Result(
        host=task.host, changed=True, summary=f"{len(plan.changes)} changes, {payload.size} bytes sent"
    )


class Heard:
    """What a script on a host tells line by line: steps, how it failed, and how roll-back went."""

    def __init__(self, host: str, told: Told) -> None:
        self._host = host
        self._told = told
        self.failure = ""
        self.said: list[str] = []
        """The last lines of the journals of units that are not active."""
        self.rolled_back = ""
        self.rollback_failure = ""

    def line(self, line: str) -> None:
        """Take one line of the script's output."""
        kind, _, text = line.partition("\t")
        match kind:
            case "step":
                self._told(self._host, text)
            case "said":
                self.said.append(text)
            case "failed":
                self.failure = text
            case "rolled-back":
                self.rolled_back = text
            case "rollback-failed":
                self.rollback_failure = text

    def raise_failure(self) -> None:
        """Raise HostsWrongError, or RolledBackError when the host is as it was before; nothing without a failure."""
        if not self.failure:
            return
        if self.rollback_failure:
            raise HostsWrongError(
                f"{self.failure}; rolling back failed as well: {self.rollback_failure}; look at this host at once"
            )
        if self.rolled_back:
            raise RolledBackError(f"{self.failure}; rolled back: {self.rolled_back}")
        raise HostsWrongError(self.failure)


def _counted(pipe: StandardInput, report: Callable[[int], None]) -> Writable:
    class Counted:
        done = 0

        def write(self, data: bytes) -> int:
            count = pipe.write(data)
            self.done += len(data)
            report(self.done)
            return count

    return Counted()
