"""Signals in a process of this test's own."""

import os
import signal

import pytest

from kubenorn.errors import InterruptedByOperatorError
from tasks.interrupt import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_noted_and_the_second_ends_at_once(number: signal.Signals) -> None:
    with interruptible() as interrupt:
        os.kill(os.getpid(), number)
        with pytest.raises(InterruptedByOperatorError, match="Stopped as asked: nothing"):
            interrupt.check("nothing")
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_a_question_is_ended_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as interrupt:
        with pytest.raises(KeyboardInterrupt), interrupt.asking():
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested
    assert signal.getsignal(signal.SIGINT) is before
