"""What is broken and how it is mended, what is expected, and how long it should take."""

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kubenorn.drill.events import HolderChange
from kubenorn.drill.expectations import Course, Limits, expectations, successor_of
from kubenorn.drill.measure import measure
from kubenorn.drill.prediction import Vrrp, leader_seconds, recovery_seconds, vrrp_of, what_ifs
from kubenorn.drill.scenarios import (
    TRAITS,
    Scenario,
    arming,
    dead_man_unit,
    faults,
    network_fault,
    unit_fault,
)
from kubenorn.duration import parse_duration
from kubenorn.errors import InputWrongError
from tests.unit.builders import NAMES, a_cluster
from tests.unit.drill_builders import haproxy_stop, seen

LIMITS = Limits(outage=200, overlap=50)
WELL = Course(stopped=True, recovered=True, wrong=[])


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
    # systemd.service(5), "Command lines": $$ is a dollar sign, and a single one would be a variable of systemd's.
    assert words[-1].replace("$$", "$") == fault.mending
    assert words[-1].count("$") == 2 * fault.mending.count("$")
    assert "\n" not in arming(fault, name)
    assert name.replace("-", "").isalnum()


@pytest.mark.parametrize("line", ["breaking", "mending"])
def test_the_network_cut_is_valid_shell(line: str) -> None:
    command = getattr(network_fault(a_cluster(), "m1"), line)
    assert "\n" not in command
    subprocess.run(["sh", "-n", "-c", command], check=True)


@pytest.fixture
def filtering(tmp_path: Path) -> Callable[..., int]:
    """Mend a cut on a host of its own, with programs that answer as told; return the exit status."""

    def mended(**programs: str) -> int:
        for name, text in programs.items():
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        mending = network_fault(a_cluster(), "m1").mending
        return subprocess.run(["/bin/sh", "-c", mending], env={"PATH": str(tmp_path)}, check=False).returncode

    return mended


@pytest.mark.parametrize(
    ("nft", "lifted"),
    [
        ("[ $1 = list ] && echo 'table inet filter'; exit 0", True),
        # Nothing was cut, or it was lifted before.
        ("[ $1 = list ] || exit 1", True),
        ("[ $1 = list ] || exit 1; echo 'table inet kubenorn_drill'", False),
        # Neither deletes nor lists: whether the host is cut off is not known.
        ("echo 'Operation not permitted' >&2; exit 1", False),
    ],
)
def test_a_cut_of_nftables_is_lifted_only_when_it_is_seen_to_be(
    filtering: Callable[..., int], nft: str, lifted: bool
) -> None:
    assert (filtering(nft=nft) == 0) is lifted


@pytest.mark.parametrize(
    ("iptables", "lifted"),
    [
        ("[ $2 = -S ] && echo '-P INPUT ACCEPT'", True),
        ("[ $2 = -S ] && echo '-A INPUT -p 112 -m comment --comment kubenorn_drill -j DROP'", False),
        ("echo 'Another app is currently holding the xtables lock' >&2; exit 4", False),
        ("[ $2 = -C ] && exit 0; [ $2 = -S ] && exit 0; exit 1", False),
    ],
)
def test_a_cut_of_iptables_is_lifted_only_when_it_is_seen_to_be(
    filtering: Callable[..., int], iptables: str, lifted: bool
) -> None:
    assert (filtering(iptables=iptables) == 0) is lifted


def test_a_cut_is_not_lifted_where_nothing_can_be_asked(filtering: Callable[..., int]) -> None:
    assert filtering() != 0


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
    return {
        each.name: each.ok
        for each in expectations(cluster, measured, LIMITS, Course(True, True, wrong or []))
    }


def test_all_as_expected() -> None:
    assert all(outcome().values())


def test_an_outage_that_is_too_long_is_named() -> None:
    cluster = a_cluster(("m1", "m2", "m3"))
    measured = measure(haproxy_stop(), seen(), {})
    found = list(expectations(cluster, measured, Limits(outage=50, overlap=50), WELL))
    assert [each.name for each in found if not each.ok] == ["outage up to 50 ms"]
    assert next(each.seen for each in found if not each.ok) == "100 ms, 3 of 120 probes failed"


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


def test_a_unit_that_ran_on_and_a_cluster_that_did_not_recover_are_named() -> None:
    cluster = a_cluster(("m1", "m2", "m3"))
    measured = measure(haproxy_stop(), seen(), {})
    found = expectations(cluster, measured, LIMITS, Course(stopped=False, recovered=False, wrong=[]))
    assert {each.name: each.seen for each in found if not each.ok} == {
        "haproxy stopped": "it ran on after `systemctl stop haproxy.service`",
        "recovered within 30 s": "it did not before it was mended",
    }
    killed = replace(measured, fault=unit_fault(Scenario.HAPROXY_KILL, "m1", "haproxy"))
    names = [each.name for each in expectations(cluster, killed, LIMITS, WELL)]
    assert "haproxy stopped" not in names, "systemd may start it again"


def test_a_cluster_may_take_as_long_as_its_settings_say() -> None:
    slow = a_cluster(
        vrrp={"router_id": 68, "advert_interval": 20},
        etcd={"election_timeout": 30},
        extra_arguments={"kube-scheduler": {"leader-elect-lease-duration": "90s"}},
    )
    heir = slow.masters[1]
    cut = network_fault(slow, "m1")
    assert recovery_seconds(slow, cut, heir) == pytest.approx(3 * 20 + 146 / 256 * 20)
    lost = unit_fault(Scenario.ETCD_MEMBER_STOP, "m1", "etcd")
    assert recovery_seconds(slow, lost, heir) == pytest.approx(60)
    leader = unit_fault(Scenario.LEADER_STOP, "m1", "kube-scheduler")
    assert recovery_seconds(slow, leader, heir) == pytest.approx(94.4)
    patient = replace(leader, predicted_seconds=94.4)
    assert patient.recovery_seconds == pytest.approx(104.4)
    assert patient.dead_man_seconds == 135
    assert "--on-active=135 " in arming(patient, "timer")
    assert leader.recovery_seconds == 60, "never less than the scenario's own"


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


def test_only_settings_that_can_be_made_are_offered() -> None:
    offered = {each.setting: list(each.others) for each in what_ifs(Vrrp(2, 3, 100), Scenario.POWER_OFF)}
    assert offered == {
        "vrrp.advert_interval": ["1 s"],
        "vrrp.version": ["3 with vrrp.advert_interval 0.2 s"],
        "the successor's vrrp_priority": ["254"],
    }
    guarded = what_ifs(Vrrp(2, 3, 100, password=True), Scenario.POWER_OFF)
    assert "vrrp.version" not in {each.setting for each in guarded}
    releasing = {each.setting for each in what_ifs(Vrrp(2, 3, 100), Scenario.HAPROXY_STOP)}
    assert "vrrp.advert_interval" not in releasing, "version 2's skew does not depend on it"
    password = a_cluster(vrrp={"router_id": 68, "version": 2, "advert_interval": 1, "password": "abc"})
    assert vrrp_of(password, password.masters[1]).password


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
