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

    def check(self, done: str) -> None:
        """Raise InterruptedByOperatorError, saying what was `done`, when a stop was asked for."""
        if self.requested:
            raise InterruptedByOperatorError(f"Stopped as asked: {done}")


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Take SIGINT and SIGTERM while the block runs; a second one raises KeyboardInterrupt."""
    interrupt = Interrupt()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True
        errors.print(
            "Stopping after the hosts that are being changed; once more gives up at once.", style="yellow"
        )

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
