"""Ctrl-C, SIGTERM, SIGHUP: the first asks to stop after the hosts being changed, the second gives up at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from kubenorn.console import errors
from kubenorn.errors import InterruptedByOperatorError


class Interrupt:
    """Whether the operator asked the run to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._asking = False
        self._watched: list[Callable[[], None]] = []

    def watch(self, check: Callable[[], None]) -> None:
        """Have `check` raise as well, where going on would be wrong for another reason."""
        self._watched.append(check)

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
        """Raise InterruptedByOperatorError, saying what was `done`, when a stop was asked for; or what is watched."""
        if self.requested:
            raise InterruptedByOperatorError(f"Stopped as asked: {done}")
        for check in self._watched:
            check()


@contextmanager
def interruptible(stopping: str = "Stopping after the hosts that are being changed") -> Iterator[Interrupt]:
    """Take SIGINT, SIGTERM and SIGHUP while the block runs; a second one raises KeyboardInterrupt.

    A SIGHUP that is ignored, as under nohup(1), stays ignored.

    `stopping` is what the operator is told at the first.
    """
    interrupt = Interrupt()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if interrupt.ask():
            raise KeyboardInterrupt
        with suppress(OSError):  # a terminal that was closed hears nothing
            errors.print(f"{stopping}; once more gives up at once.", style="yellow")

    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
