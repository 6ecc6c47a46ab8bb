"""Task: make a host as planned, with one tar stream."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from nornir.core.task import Result, Task

from kubenorn.binaries.compressed import Method
from kubenorn.errors import HostsWrongError
from kubenorn.observed import ObservedHost
from kubenorn.payload import ANOTHER_RUN_STATUS, READY_SECONDS, RECEIVE, build_payload
from kubenorn.plan import HostPlan
from tasks.exec_channel import expect_success, run_command
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
    plans: Mapping[str, HostPlan],
    observed: Mapping[str, ObservedHost],
    compressed: Callable[[str, str, Method], Path],
    told: Told,
    sent: Sent,
) -> Result:
    """Apply the host's plan. `compressed(host, binary, method)` gives a binary's compressed form.

    Raises HostsWrongError with the step that failed and why.
    """
    name = task.host.name
    plan, host = plans[name], observed[name]
    if plan.empty:
        return Result(host=task.host, changed=False)
    zstd = "zstd" in host.programs
    payload = build_payload(
        plan,
        package_manager=host.package_manager,
        zstd=zstd,
        compressed={b.name: compressed(name, b.name, "zstd" if zstd else "gzip") for b in plan.binaries},
        render=renderer(task),
    )
    failures: list[str] = []

    def hear(line: str) -> None:
        kind, _, text = line.partition("\t")
        if kind == "step":
            told(name, text)
        elif kind == "failed":
            failures.append(text)

    completed = run_command(
        task,
        RECEIVE,
        feed=lambda pipe: payload.write(_counted(pipe, lambda done: sent(name, done, payload.size))),
        timeout=TRANSFER_SECONDS + READY_SECONDS,
        on_line=hear,
    )
    if completed.exit_status == ANOTHER_RUN_STATUS:
        raise HostsWrongError("another run is changing this host right now; wait for it and run again")
    if failures:
        raise HostsWrongError(failures[0])
    expect_success(completed, "applying the plan")
    return Result(
        host=task.host, changed=True, summary=f"{len(plan.changes)} changes, {payload.size} bytes sent"
    )


def _counted(pipe: IO[bytes], report: Callable[[int], None]) -> IO[bytes]:
    class Counted:
        done = 0

        def write(self, data: bytes) -> int:
            count = pipe.write(data)
            self.done += len(data)
            report(self.done)
            return count

    return Counted()  # type: ignore[return-value]  # only written to
