"""What people read while a runbook works: a line a phase, with progress on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

console = Console(highlight=False, emoji=False)
errors = Console(stderr=True, highlight=False, emoji=False)


class Phase:
    """One phase on the screen: how far it is, what each host is doing, and a closing remark."""

    def __init__(self, title: str, progress: Progress, total: float | None) -> None:
        self._title = title
        self._progress = progress
        self._task = progress.add_task(title, total=total)
        self._hosts: dict[str, TaskID] = {}
        self.remark = ""
        """What the finished phase's line says."""

    def advance(self) -> None:
        """Count one host (or thing) as done."""
        self._progress.advance(self._task)

    def update(self, done: float, total: float | None, what: str = "") -> None:
        """Say how far the whole phase is."""
        text = f"{self._title}  {what}" if what else self._title
        self._progress.update(self._task, completed=done, total=total, description=text)

    def host(
        self, name: str, what: str | None = None, done: int | None = None, total: int | None = None
    ) -> None:
        """Say what one host is doing, and how many bytes of how many it has."""
        if name not in self._hosts:
            self._hosts[name] = self._progress.add_task(f"  {name}", total=total)
        description = f"  {name}  {what}" if what else None
        self._progress.update(self._hosts[name], completed=done, total=total, description=description)

    def log(self, text: str) -> None:
        """Leave a line above the progress."""
        self._progress.console.print(text, markup=False)


@contextmanager
def phase(title: str, total: float | None = None, *, bytes_shown: bool = False) -> Iterator[Phase]:
    """Show a phase while it runs, then leave one line: a mark, its title, a remark, the seconds it took."""
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24)]
    if bytes_shown:
        columns.append(DownloadColumn())
    began = time.monotonic()
    # In a log there is only the closing line: a progress that cannot be redrawn is noise.
    disable = not console.is_terminal
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=disable
    ) as progress:
        current = Phase(title, progress, total)
        try:
            yield current
        except BaseException:
            progress.stop()
            _print_result("✗", "red", title, "", began)
            raise
    _print_result("✓", "green", title, current.remark, began)


def _print_result(mark: str, colour: str, title: str, remark: str, began: float) -> None:
    # Not markup: a remark may hold what a host said.
    seconds = f"  {time.monotonic() - began:.1f} s"
    text = f" {title}  {remark}" if remark else f" {title}"
    console.print(Text.assemble((mark, colour), text, (seconds, "dim")))
