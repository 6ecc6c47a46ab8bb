"""Telling the operator what happens: live lines on a terminal, one line per finished step elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

# Steps shorter than this (seconds) are nobody's business on a terminal that keeps a log.
WORTH_TELLING = 1.0


class Steps(AbstractContextManager["Steps"]):
    """Shows steps that run at the same time, each with its elapsed time. Threads may share it.

    quiet shows nothing at all (tests).
    """

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.quiet = quiet
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = not quiet and self.console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )

    def __enter__(self) -> "Steps":
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()

    def say(self, text: str) -> None:
        """Print one line now."""
        if not self.quiet:
            self.console.print(text, markup=False)

    @contextmanager
    def step(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show what until the block ends; the yielded function replaces the shown text."""
        started = time.monotonic()
        task: TaskID | None = None
        if self._live:
            task = self._progress.add_task(what)

        def show(text: str) -> None:
            if task is not None:
                self._progress.update(task, description=text)
            elif not self.quiet:
                self.say(f"{text} …")

        try:
            yield show
            elapsed = time.monotonic() - started
            if elapsed >= WORTH_TELLING:
                self.say(f"{what}: {elapsed:.1f} s")
        finally:
            if task is not None:
                self._progress.remove_task(task)
