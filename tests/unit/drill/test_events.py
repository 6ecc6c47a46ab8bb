"""What hosts say, parsed, and brought to one clock."""

import json
import time
from datetime import UTC, datetime

import pytest

from kubenorn.drill.board import Board
from kubenorn.drill.events import (
    Answer,
    Clock,
    HolderChange,
    LeaderChange,
    Probe,
    VrrpState,
    WatchChange,
    best_clock,
    parse_address,
    parse_journal,
    state_in,
)
from kubenorn.drill.prober import judge, parse_line

VIP = "198.18.80.100"
# Captured from iproute2 6.1: `ip -ts -o -4 monitor address`
ADDED = (
    "[2026-11-21T04:44:08.123456] 2: host0    inet 198.18.80.100/32 scope global host0\\"
    "       valid_lft forever preferred_lft forever"
)
DELETED = ADDED.replace("] 2:", "] Deleted 2:")
MOMENT = datetime(2026, 11, 21, 4, 44, 8, 123456, tzinfo=UTC).timestamp()
JOURNAL = json.dumps(
    {
        "__REALTIME_TIMESTAMP": "1795236248500000",
        "_SOURCE_REALTIME_TIMESTAMP": "1795236248400000",
        "MESSAGE": "(lab) Entering MASTER STATE",
    }
)


def test_address_changes_are_read() -> None:
    assert parse_address(ADDED, VIP) == (MOMENT, True)
    assert parse_address(DELETED, VIP) == (MOMENT, False)
    assert parse_address(ADDED, "198.18.80.10") is None
    assert parse_address("Timestamp: nothing", VIP) is None


def test_the_journal_is_read_with_the_time_it_was_said() -> None:
    assert parse_journal(JOURNAL) == (1795236248.4, "(lab) Entering MASTER STATE")
    assert parse_journal('{"__REALTIME_TIMESTAMP": "1000000", "MESSAGE": [1, 2]}') == (1.0, "")
    for line in ("-- No entries --", "[1]", "{}", '{"__REALTIME_TIMESTAMP": "x"}'):
        assert parse_journal(line) is None


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("(lab) Entering MASTER STATE", VrrpState.MASTER),
        ("(lab) Entering BACKUP STATE (init)", VrrpState.BACKUP),
        ("(lab) Entering FAULT STATE", VrrpState.FAULT),
        ("VRRP_Instance(VI_1) Now in FAULT state", VrrpState.FAULT),
        ("(lab) Backup received priority 0 advertisement", None),
    ],
)
def test_keepalived_tells_its_state(text: str, state: VrrpState | None) -> None:
    assert state_in(text) is state


def test_the_quickest_answer_tells_the_clock() -> None:
    clock = best_clock([(10.0, 1000.0, 10.4), (20.0, 1010.001, 20.002), (30.0, 1020.1, 30.3)])
    assert clock is not None
    assert clock.monotonic(1010.001) == pytest.approx(20.001)
    assert clock.uncertainty == pytest.approx(0.001)
    assert best_clock([]) is None


def test_the_board_brings_events_to_this_machines_clock() -> None:
    board = Board(VIP, 0.025)
    board.host_line("m1", ADDED)  # before its clock is known
    board.set_clock("m1", Clock(offset=-MOMENT + 50, uncertainty=0.001))
    board.host_line("m1", ADDED)
    assert board.glance().holders == ("m1",)
    board.host_line("m1", DELETED)
    assert board.glance().holders == ()
    seen = board.seen(0, 0, 100, 100, ())
    assert seen.changes == (HolderChange(50, "m1", True), HolderChange(50, "m1", False))
    assert seen.uncertainty == 0.001
    board.host_line("m1", JOURNAL)
    assert board.glance().states == {"m1": VrrpState.MASTER}
    board.gone("m1", 60)
    assert board.glance().states == {}


def test_a_look_at_a_host_corrects_what_no_event_told() -> None:
    board = Board(VIP, 0.025)
    board.found("m1", holds=True, asked=0)
    board.found("m1", holds=True, asked=0)
    board.found("m2", holds=False, asked=0)
    assert board.glance().holders == ("m1",)
    board.found("m1", holds=False, asked=0)
    assert board.glance().holders == ("m1",), "the look began before the last change"
    board.found("m1", holds=False, asked=time.monotonic())
    assert board.glance().holders == ()


def test_good_answers_count_since_the_last_failed_one() -> None:
    board = Board(VIP, 0.025)
    for number, answer in enumerate((Answer.OK, Answer.FAILED, Answer.OK, Answer.DRAINING)):
        board.add(Probe(number, number + 0.5, answer))
    assert board.good_since(0) == 2
    assert board.good_since(3) == 1
    assert board.last_good_before_failure(0) == 0.5
    assert board.last_good_before_failure(2) is None


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ('["probe", [1.0, 1.5, "failed", "refused"]]', Probe(1.0, 1.5, Answer.FAILED, "refused")),
        ('["watch", [2.0, false, "reset"]]', WatchChange(2.0, False, "reset")),
        ('["leader", [3.0, "kube-scheduler", "m1_1"]]', LeaderChange(3.0, "kube-scheduler", "m1_1")),
    ],
)
def test_what_the_prober_prints_is_read(line: str, event: object) -> None:
    assert parse_line(line) == event


@pytest.mark.parametrize("line", ["", "{}", '["probe", [1]]', '["probe", [1, 2, "odd", ""]]', '["x", []]'])
def test_what_the_prober_does_not_print_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no line of the prober"):
        parse_line(line)


@pytest.mark.parametrize(
    ("checks", "answer", "reason"),
    [
        (
            "[+]ping ok\n[+]etcd ok\n[-]shutdown failed: reason withheld\n",
            Answer.DRAINING,
            "HTTP 500 shutdown",
        ),
        ("[+]ping ok\n[-]etcd failed: reason withheld\n", Answer.FAILED, "HTTP 500 etcd"),
        ("[-]etcd failed\n[-]shutdown failed\n", Answer.FAILED, "HTTP 500 etcd, shutdown"),
        ("", Answer.FAILED, "HTTP 500"),
    ],
)
def test_an_apiserver_that_drains_is_told_from_one_without_etcd(
    checks: str, answer: Answer, reason: str
) -> None:
    assert judge("500", checks) == (answer, reason)
