"""What a drill takes into account of what it sees."""

import threading
import time
from typing import Any

import pytest

from kubenorn.drill.board import Board
from kubenorn.drill.events import Answer, Probe
from kubenorn.drill.expectations import Limits
from tasks.drill import Drill


def a_drill(board: Board, **changes: Any) -> Drill:
    """A drill that only looks at its board, and at whatever else is given."""
    parts = dict.fromkeys(("session", "cluster", "observers", "breaker", "interrupt", "view"))
    values: dict[str, Any] = {
        **parts,
        "board": board,
        "limits": Limits(3000, 50),
        "steady_seconds": 1.0,
        "force": False,
    }
    return Drill(**(values | changes))


def test_a_probe_that_hangs_when_all_is_over_counts_once_it_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.drill.ANSWER_SECONDS", 0.3)
    board, now = Board("192.0.2.1", 0.025), time.monotonic()
    failing = threading.Timer(0.1, lambda: board.add(Probe(now, time.monotonic(), Answer.FAILED)))
    later = threading.Timer(0.2, lambda: board.add(Probe(time.monotonic(), time.monotonic(), Answer.OK)))
    for timer in (failing, later):
        timer.start()
    seen = a_drill(board)._seen(now - 1, now - 1, now - 0.5, ())
    assert [probe.answer for probe in seen.probes] == [Answer.FAILED], "the other one began after the end"
    assert seen.ended < now + 0.1
