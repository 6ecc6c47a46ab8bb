"""What is broken and how it is mended, what is expected, and how long it should take."""

import shlex
import subprocess

import pytest

from kubenorn.drill.events import HolderChange
from kubenorn.drill.expectations import Limits, expectations, successor_of
from kubenorn.drill.measure import measure
from kubenorn.drill.prediction import Vrrp, leader_seconds, vrrp_of, what_ifs
from kubenorn.drill.scenarios import TRAITS, Scenario, arming, dead_man_unit, faults, network_fault
from kubenorn.duration import parse_duration
from kubenorn.errors import InputWrongError
from tests.unit.builders import NAMES, a_cluster
from tests.unit.drill_builders import haproxy_stop, seen

LIMITS = Limits(outage=200, overlap=50)


def test_every_scenario_has_traits_and_a_fault() -> None:
    leaders = {"kube-controller-manager": "m2", "kube-scheduler": "m3"}
    for scenario in Scenario:
        found = faults(scenario, a_cluster(), holder="m1", leaders=leaders, etcd_leader="m2")
        assert found, scenario
        for fault in found:
            assert fault.traits is TRAITS[scenario]
            assert bool(fault.breaking) is bool(fault.mending) is (fault.traits.hooks is None)
            assert fault.dead_man_seconds > fault.traits.recovery_seconds


def test_nobody_leads_so_nothing_is_broken() -> None:
    for scenario in (Scenario.LEADER_STOP, Scenario.ETCD_MEMBER_STOP):
        assert faults(scenario, a_cluster(), holder="m1", leaders={}, etcd_leader=None) == []


def test_the_dead_man_switch_is_one_valid_line_of_shell() -> None:
    fault = network_fault(a_cluster(), "m1")
    name = dead_man_unit(fault, "2026-11-21T04-00-00.123Z", 3)
    words = shlex.split(arming(fault, name))
    assert words[0] == "systemd-run"
    assert f"--unit={name}" in words
    assert words[-1] == fault.mending
    assert "\n" not in arming(fault, name)
    assert name.replace("-", "").isalnum()


@pytest.mark.parametrize("line", ["breaking", "mending"])
def test_the_network_cut_is_valid_shell(line: str) -> None:
    command = getattr(network_fault(a_cluster(), "m1"), line)
    assert "\n" not in command
    subprocess.run(["sh", "-n", "-c", command], check=True)


def test_the_successor_is_the_highest_priority_left() -> None:
    cluster = a_cluster()
    assert [getattr(successor_of(cluster, name), "name", None) for name in NAMES] == [
        NAMES[1],
        NAMES[0],
        NAMES[0],
    ]
    assert successor_of(a_cluster(NAMES[:1]), NAMES[0]) is None


def outcome(scenario_host: str = "m1", wrong: list[str] | None = None, **changes: object) -> dict[str, bool]:
    cluster = a_cluster(("m1", "m2", "m3"))
    measured = measure(haproxy_stop(scenario_host), seen(**changes), {})
    return {each.name: each.ok for each in expectations(cluster, measured, LIMITS, wrong or [])}


def test_all_as_expected() -> None:
    assert all(outcome().values())


def test_an_outage_that_is_too_long_is_named() -> None:
    cluster = a_cluster(("m1", "m2", "m3"))
    measured = measure(haproxy_stop(), seen(), {})
    found = list(expectations(cluster, measured, Limits(outage=50, overlap=50), []))
    assert [each.name for each in found if not each.ok] == ["outage up to 50 ms"]
    assert found[0].seen == "100 ms, 3 of 120 probes failed"


def test_the_wrong_successor_is_named() -> None:
    changes = (HolderChange(100.04, "m1", False), HolderChange(100.06, "m3", True))
    found = outcome(changes=changes)
    assert [name for name, ok in found.items() if not ok] == ["successor has the highest priority left"]


def test_two_holders_for_too_long_are_named() -> None:
    changes = (HolderChange(100.06, "m2", True), HolderChange(100.2, "m1", False))
    assert [name for name, ok in outcome(changes=changes).items() if not ok] == [
        "two holders for at most 50 ms"
    ]


def test_a_vip_that_does_not_stay_is_named() -> None:
    changes = (
        HolderChange(100.04, "m1", False),
        HolderChange(100.06, "m2", True),
        HolderChange(102.0, "m2", False),
        HolderChange(102.01, "m1", True),
    )
    assert [name for name, ok in outcome(changes=changes).items() if not ok] == [
        "VIP stays with the successor (nopreempt)"
    ]


def test_what_is_still_wrong_is_named() -> None:
    assert outcome(wrong=["m1: haproxy is inactive"])["all well again"] is False


def test_predictions_follow_the_rfc() -> None:
    assert Vrrp(3, 0.2, 240).seconds(Scenario.HAPROXY_STOP) == pytest.approx(16 / 256 * 0.2)
    assert Vrrp(2, 3, 100).seconds(Scenario.POWER_OFF) == pytest.approx(9 + 156 / 256)
    assert Vrrp(3, 0.2, 240).seconds(Scenario.APISERVER_STOP) == 0
    cluster = a_cluster()
    vrrp = vrrp_of(cluster, cluster.masters[1])
    assert (vrrp.version, vrrp.advert_interval, vrrp.priority) == (3, 0.2, 110)
    settings = {each.setting for each in what_ifs(vrrp, Scenario.POWER_OFF)}
    (interval, _) = what_ifs(vrrp, Scenario.POWER_OFF)
    assert str(interval) == (
        "vrrp.advert_interval 0.2 s costs 714 ms (0.1 s: 357 ms, 1 s: 3570 ms, 3 s: 10711 ms)"
    )
    assert settings == {"vrrp.advert_interval", "the successor's vrrp_priority"}


def test_a_leader_is_followed_after_its_lease_has_run_out() -> None:
    assert leader_seconds(a_cluster(), "kube-scheduler") == pytest.approx(19.4)
    extra = {"kube-scheduler": {"leader-elect-lease-duration": "30s"}}
    assert leader_seconds(a_cluster(extra_arguments=extra), "kube-scheduler") == pytest.approx(34.4)


@pytest.mark.parametrize(("text", "seconds"), [("3s", 3), ("500ms", 0.5), ("2min", 120), ("0.5", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, "--slo") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "fast", "-1s", "0", "1 h", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputWrongError, match="--slo"):
        parse_duration(text, "--slo")
