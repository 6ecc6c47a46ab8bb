"""Phases, outage and holders from events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenorn.drill.events import Answer, HolderChange, LeaderChange, Probe
from kubenorn.drill.measure import Gap, gaps_between, measure, tenures
from kubenorn.drill.scenarios import Scenario, unit_fault
from tests.unit.drill_builders import haproxy_stop, probes, seen


def test_a_failover_in_its_phases() -> None:
    found = measure(haproxy_stop(), seen(), {})
    assert found.noticed == pytest.approx(35)
    assert found.vip_gone == pytest.approx(40)
    assert found.vip_there == pytest.approx(60)
    assert found.api_back == pytest.approx(105)  # the probe of 100 ms answers after 5
    assert found.outage == pytest.approx(100)  # since the last good answer, 5 ms after the fault
    assert (found.failed, found.draining) == (3, 0)
    assert found.connections_lost == 1
    assert found.watch_back == pytest.approx(150)
    assert (found.successor, found.last_holder) == ("m2", "m2")
    assert found.overlap == 0
    assert found.unheld == pytest.approx(20)
    assert found.uncertainty == pytest.approx(2)


def test_nothing_seen_is_none_and_not_zero() -> None:
    found = measure(haproxy_stop(), seen(changes=(), said=(), watch=(), probes=probes(99, 103, 0.025)), {})
    assert (found.noticed, found.vip_gone, found.vip_there, found.api_back) == (None,) * 4
    assert found.outage == 0
    assert (found.successor, found.last_holder) == (None, "m1")


def test_an_api_that_does_not_come_back_has_no_outage_but_an_endless_one() -> None:
    found = measure(haproxy_stop(), seen(probes=probes(99, 103, 0.025, bad=(100.01, 200))), {})
    assert found.outage is None
    assert found.api_back is None


def test_two_holders_at_once_are_added_up() -> None:
    changes = (
        HolderChange(100.5, "m2", True),
        HolderChange(101.6, "m1", False),
        HolderChange(101.7, "m1", True),
        HolderChange(101.8, "m1", False),
    )
    found = measure(haproxy_stop(), seen(changes=changes), {})
    assert found.overlap == pytest.approx(1100 + 100)
    assert found.overlap_mended == pytest.approx(100 + 100)
    assert found.unheld == 0
    assert found.last_holder == "m2"


def test_who_had_the_vip_when() -> None:
    assert tenures(seen()) == {"m1": ((99.0, 100.04),), "m2": ((100.06, 103.0),)}


def test_a_leader_that_is_back_on_the_same_host_is_none() -> None:
    fault = unit_fault(Scenario.LEADER_STOP, "m1", "kube-scheduler")
    leaders = (
        LeaderChange(100.2, "kube-controller-manager", "m3_a"),
        LeaderChange(101.0, "kube-scheduler", "m1_b"),
        LeaderChange(102.0, "kube-scheduler", "m2_c"),
    )
    identities = {"m1_b": "m1", "m2_c": "m2", "m3_a": "m3"}
    assert measure(fault, seen(leaders=leaders), identities).leader_back == pytest.approx(2000)
    assert measure(fault, seen(leaders=leaders[:2]), identities).leader_back is None


def test_a_draining_answer_is_an_answer() -> None:
    found = (
        Probe(100.0, 100.1, Answer.OK),
        Probe(100.2, 100.3, Answer.DRAINING),
        Probe(100.4, 100.5, Answer.FAILED),
        Probe(100.6, 100.7, Answer.OK),
    )
    assert list(gaps_between(found, 100.0, 101.0, 0.2)) == [Gap(100.3, 100.7)]


def test_without_any_answer_the_api_is_gone_though_no_probe_failed() -> None:
    assert measure(haproxy_stop(), seen(probes=()), {}).outage is None


def test_the_phases_are_those_of_the_fault_though_a_later_gap_is_longer() -> None:
    first = probes(99, 101.6, 0.025, bad=(100.01, 100.09))
    later = probes(101.6, 103, 0.025, bad=(101.7, 102.0))
    found = measure(haproxy_stop(), seen(probes=(*first, *later)), {})
    assert found.api_back == pytest.approx(105)
    assert found.outage == pytest.approx(325, abs=26)


def stalled(begun: tuple[float, ...], answered: float) -> tuple[Probe, ...]:
    """Good answers every 25 ms until 100.0 and from `answered` on; the probes `begun` wait until then."""
    waiting = tuple(Probe(start, answered, Answer.OK) for start in begun)
    return (*probes(99, 100, 0.025), *waiting, *probes(answered, 103, 0.025))


def test_an_api_that_keeps_everybody_waiting_is_out_though_no_probe_fails() -> None:
    found = measure(haproxy_stop(), seen(probes=stalled((100.01, 100.035, 100.06), 100.7)), {})
    assert found.failed == 0
    assert found.outage == pytest.approx(700)
    assert found.api_back == pytest.approx(700)
    assert found.disturbed == 0


def test_jitter_is_no_outage() -> None:
    assert measure(haproxy_stop(), seen(probes=stalled((100.01, 100.035), 100.09)), {}).outage == 0


def test_a_prober_that_is_held_up_is_no_outage_but_told() -> None:
    found = measure(haproxy_stop(), seen(probes=stalled((), 100.7)), {})
    assert found.outage == 0
    assert found.probe_pause == pytest.approx(725)
    assert measure(haproxy_stop(), seen(), {}).probe_pause == pytest.approx(25)


def test_probes_are_waited_for_as_long_as_slow_ones_are_expected() -> None:
    """With a probe a second, answers a second apart are what they should be."""
    slow = seen(probes=probes(99, 103, 1.0), interval=1.0)
    assert measure(haproxy_stop(), slow, {}).outage == 0


def test_a_probe_that_hangs_at_the_end_is_an_outage() -> None:
    """It began before the end and failed after it."""
    hanging = Probe(102.9, 103.9, Answer.FAILED)
    found = measure(haproxy_stop(), seen(probes=(*probes(99, 102.9, 0.025), hanging)), {})
    assert (found.failed, found.outage) == (1, None)


def test_failures_here_and_there_have_a_length_though_no_outage_is_long() -> None:
    failures = tuple(Probe(at, at + 0.001, Answer.FAILED) for at in (100.2, 101.0, 101.9))
    found = measure(haproxy_stop(), seen(probes=(*probes(99, 103, 0.025), *failures)), {})
    assert found.disturbed == pytest.approx(1700)
    assert found.outage == pytest.approx(25)


def test_leaders_change_in_milliseconds_since_the_fault() -> None:
    leaders = (LeaderChange(102.0, "kube-scheduler", "m2_c"),)
    (change,) = measure(haproxy_stop(), seen(leaders=leaders), {}).leader_changes
    assert change.at == pytest.approx(2000)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.001, 1), st.booleans()), min_size=1, max_size=40))
def test_no_answer_falls_into_a_gap_and_every_failed_probe_does(
    samples: list[tuple[float, float, bool]],
) -> None:
    found = [
        Probe(start, start + took, Answer.OK if good else Answer.FAILED) for start, took, good in samples
    ]
    good = sorted(p.end for p in found if p.answer is Answer.OK)
    gaps = list(gaps_between(found, 0.0, 20.0, 0.025))
    for gap in gaps:
        end = 20.0 if gap.end is None else gap.end
        assert not any(gap.start < moment < end for moment in good)
    for probe in found:
        if probe.answer is Answer.FAILED:
            assert any(gap.start <= probe.start < (20.0 if gap.end is None else gap.end) for gap in gaps)
