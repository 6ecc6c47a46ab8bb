"""Ctrl-C and SIGTERM: the first asks to stop after the hosts being changed, the second gives up at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kubenorn.console import errors
from kubenorn.errors import InterruptedByOperatorError


class Interrupt:
    """Whether the operator asked the run to stop."""

    requested = False
    _asking = False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While the operator is asked a question nothing is under way: raise KeyboardInterrupt at once."""
        self._asking = True
        try:
            yield
        finally:
            self._asking = False

    def ask(self) -> bool:
        """Note that a stop is asked for; return whether that is to end the run at once."""
        at_once = self.requested or self._asking
        self.requested = True
        return at_once

    def check(self, done: str) -> None:
        """Raise InterruptedByOperatorError, saying what was `done`, when a stop was asked for."""
        if self.requested:
            raise InterruptedByOperatorError(f"Stopped as asked: {done}")


@contextmanager
def interruptible(stopping: str = "Stopping after the hosts that are being changed") -> Iterator[Interrupt]:
    """Take SIGINT and SIGTERM while the block runs; a second one raises KeyboardInterrupt.

    `stopping` is what the operator is told at the first.
    """
    interrupt = Interrupt()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if interrupt.ask():
            raise KeyboardInterrupt
        errors.print(f"{stopping}; once more gives up at once.", style="yellow")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
