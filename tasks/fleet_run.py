"""Runs a Nornir task on several hosts at once and sorts what came back."""

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Task

from kubenorn.errors import HostsUnreachableError, HostsWrongError, InputWrongError, KubenornError

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a task returned on each host, or why it did not."""

    results: dict[str, T]
    failures: dict[str, Exception]
    problems: tuple[str, ...] = ()

    def with_problems(self, problems: list[str]) -> "Outcome[T]":
        """Return the outcome with problems found on hosts that did answer, to be told with the failures."""
        return Outcome(self.results, self.failures, (*self.problems, *problems))

    def all_or_raise(self) -> dict[str, T]:
        """Return every host's result. Raises one error that names every host that failed, of the gravest kind.

        Hosts out of reach weigh more than wrong input, which weighs more than hosts that are wrong.
        """
        if not self.failures and not self.problems:
            return self.results
        lines = [f"{host}: {sentence(error)}" for host, error in self.failures.items()]
        lines += self.problems
        for kind in (HostsUnreachableError, InputWrongError):
            if any(isinstance(error, kind) for error in self.failures.values()):
                raise kind("\n".join(lines))
        raise (HostsWrongError if self.failures else InputWrongError)("\n".join(lines))


def sentence(error: Exception) -> str:
    """Return an error of a host as one sentence."""
    if isinstance(error, KubenornError):
        text = str(error)
        return text if text.endswith((".", "?", "!")) else f"{text}."
    return f"unexpected {type(error).__name__}: {error}; run again with --verbose."


def run_on_hosts(
    nornir: Nornir,
    task: Callable[..., Any],
    hosts: Collection[str],
    *,
    on_host_done: Callable[[str], None] | None = None,
    verbose: bool = False,
    **arguments: Any,
) -> Outcome[Any]:
    """Run `task` on `hosts` in parallel and return its outcome; `on_host_done` hears of each that is over.

    `arguments` must not show secrets in their repr: Nornir logs them. With `verbose`, Nornir's own results
    are printed through nornir-utils.
    """
    chosen = nornir.filter(filter_func=lambda host: host.name in hosts)
    if on_host_done:
        chosen = chosen.with_processors([_HostDone(on_host_done)])
    result = chosen.run(task=task, on_failed=True, **arguments)
    nornir.data.reset_failed_hosts()
    if verbose:
        _print(result)
    failures: dict[str, Exception] = {}
    results: dict[str, Any] = {}
    for name, multi in result.items():
        if multi.failed:
            failures[name] = _exception(multi)
        else:
            results[name] = multi[0].result
    return Outcome(results, failures)


def _print(result: AggregatedResult) -> None:
    """Print Nornir's own view of the results: each one's summary."""
    # Importing this makes colorama rewrite all that is printed from then on, so only while it is wanted;
    # and it would colour a log.
    import colorama  # noqa: PLC0415
    from nornir_utils.plugins.functions import print_result  # noqa: PLC0415

    colorama.deinit()
    colorama.init(strip=not sys.stdout.isatty())
    try:
        print_result(result, vars=["summary"])
    finally:
        colorama.deinit()


def _exception(multi: MultiResult) -> Exception:
    for result in multi:
        if isinstance(result.exception, Exception):
            return result.exception
    return HostsWrongError("the task failed without saying why; run again with --verbose")


class _HostDone:
    """A Nornir processor that tells when a host is over."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def task_started(self, task: Task) -> None:
        pass

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        pass

    def task_instance_started(self, task: Task, host: Host) -> None:
        pass

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        self._tell(host.name)

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        pass

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        pass
