"""What a drill takes into account of what it sees."""

import threading
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from kubenorn.drill.board import Board
from kubenorn.drill.events import Answer, Probe
from kubenorn.drill.expectations import Limits
from kubenorn.drill.scenarios import Fault, Scenario, unit_fault
from tasks.drill import Drill
from tasks.interrupt import Interrupt
from tests.unit.builders import a_cluster
from tests.unit.drill_builders import haproxy_stop


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fault, "recovery_seconds", 0.2)
    monkeypatch.setattr("tasks.drill.GOOD_ANSWERS", 0)


def watching(state: str) -> Drill:
    """A drill of a cluster with the VIP on m1, where every unit is in one state."""
    board = Board("192.0.2.1", 0.025)
    board.found("m1", holds=True, asked=0)
    answer = SimpleNamespace(run=lambda _: SimpleNamespace(said=state))
    observers = MagicMock(__getitem__=lambda *_: answer)
    breaker = SimpleNamespace(away=set())
    return a_drill(board, observers=observers, breaker=breaker, interrupt=Interrupt(), view=SimpleNamespace())


@pytest.mark.usefixtures("impatient")
def test_a_cluster_that_does_not_recover_in_time_is_told_from_one_that_does() -> None:
    drill, fault = watching("active"), haproxy_stop()
    assert drill._recovery(fault, time.monotonic()) is False
    drill.board.found("m2", holds=True, asked=time.monotonic())
    assert drill._recovery(fault, time.monotonic()) is True


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("state", "recovered"), [("inactive", True), ("deactivating", False)])
def test_a_kube_apiserver_is_waited_for_until_it_has_stopped(state: str, recovered: bool) -> None:
    fault = unit_fault(Scenario.APISERVER_STOP, "m1", "kube-apiserver")
    assert watching(state)._recovery(fault, time.monotonic()) is recovered


def test_what_is_due_knows_how_long_the_cluster_may_take() -> None:
    drill = watching("active")
    drill.cluster = a_cluster(("m1", "m2"), vrrp={"router_id": 68, "advert_interval": 10})
    (cut,) = drill.due(Scenario.NETWORK_CUT, ["m1", "m2"])
    assert cut.dead_man_seconds == 3 * 10 + 6 + 10 + 30  # adverts, skew (146/256 of 10), margins
    assert drill.due(Scenario.NETWORK_CUT, ["m2"]) == []
