"""What a drill refuses before it looks at any host."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kubenorn.drill.expectations import Limits
from kubenorn.drill.results import Drilled, DrillReport
from kubenorn.drill.scenarios import Fault, Scenario, unit_fault
from kubenorn.errors import HostsUnreachableError, HostsWrongError, InputWrongError
from kubenorn.host_verification import Check
from kubenorn.verification import EVIDENCE, Verification
from tasks.drill import Drill
from tasks.failover import Failover
from tasks.session import open_session
from tasks.vantage import is_own
from tests.unit.drill_builders import drilled, haproxy_stop
from tests.unit.inventories import REMOVED, write_inventory

HOOKS = {"config.user_defined": {"hooks": dict.fromkeys(("freeze", "thaw"), "hook {host}")}}


def planned(
    folder: Path,
    changes: dict[str, Any] | None = None,
    scenarios: list[Scenario] | None = None,
    *,
    filters: str = "role=master",
    hosts: str = "",
    cycles: int | None = None,
    force: bool = False,
) -> Failover:
    session = open_session(write_inventory(folder, changes or {}), [filters])
    limits = Limits(3000, 50)
    return Failover.plan(
        session,
        scenarios,
        cycles=cycles,
        hosts=hosts,
        limits=limits,
        probe_seconds=0.025,
        steady_seconds=1,
        force=force,
    )


def verification(*failures: Check, holders: tuple[str, ...] = ("m1",)) -> Verification:
    return Verification("production", {"m1": failures}, (), holders, ())


def test_all_leaves_out_what_cannot_be_done_here_and_says_why(tmp_path: Path) -> None:
    found = planned(tmp_path)
    assert Scenario.HAPROXY_STOP in found.scenarios
    assert Scenario.STEADY not in found.scenarios
    assert [line.split()[0] for line in found.skipped] == ["host-freeze", "power-off"]
    assert "no hook freeze or thaw" in found.skipped[0]


def test_hooks_make_it_possible(tmp_path: Path) -> None:
    assert Scenario.HOST_FREEZE in planned(tmp_path, HOOKS).scenarios


@pytest.mark.parametrize(
    ("changes", "arguments", "sentence"),
    [
        ({}, {"filters": "name=m2"}, "leaves m2 alone"),
        ({}, {"filters": "name=m1,m2", "hosts": "m1"}, "keepalived rests on every other master"),
        ({}, {"hosts": "m1,m9"}, "--hosts m9: is none of the selected hosts"),
        ({"cluster.vrrp": {"router_id": 68, "preempt": True}}, {"hosts": "m1"}, "leave --hosts out"),
        ({}, {"hosts": "m1,m2,m3", "cycles": 2}, "--cycles 2: is less than the 3 hosts of --hosts"),
        ({}, {"scenarios": [Scenario.POWER_OFF]}, "there is no hook power_off or power_on"),
        ({"hosts.m3": REMOVED}, {"scenarios": [Scenario.ETCD_MEMBER_STOP]}, "none can be spared"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, changes: dict[str, Any], arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputWrongError, match=sentence):
        planned(tmp_path, changes, **arguments)


@pytest.mark.parametrize(
    ("hosts", "cycles", "found"), [("", None, 1), ("", 4, 4), ("m1,m2,m3", None, 3), ("m1,m2,m3", 6, 6)]
)
def test_every_host_to_walk_around_gets_a_cycle(
    tmp_path: Path, hosts: str, cycles: int | None, found: int
) -> None:
    assert planned(tmp_path, hosts=hosts, cycles=cycles).cycles == found


JUMP = {"groups.production.data.ssh": {"jump_host": "root@192.168.80.8"}}


def test_a_host_that_the_drill_needs_to_see_is_not_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputWrongError, match="--scenario network-cut: m2 is the jump host on the way"):
        planned(tmp_path, JUMP, [Scenario.NETWORK_CUT])
    elsewhere = planned(tmp_path, JUMP, [Scenario.NETWORK_CUT], filters="name=m1,m3")
    assert elsewhere.scenarios == [Scenario.NETWORK_CUT], "m2 is not broken"
    assert planned(tmp_path, JUMP, [Scenario.HAPROXY_STOP]).scenarios == [Scenario.HAPROXY_STOP]
    everything = planned(tmp_path, JUMP | HOOKS)
    assert not {Scenario.NETWORK_CUT, Scenario.HOST_FREEZE} & set(everything.scenarios)
    assert "host-freeze was left out: m2 is the jump host" in "\n".join(everything.skipped)
    monkeypatch.setattr("tasks.vantage.is_own", lambda address: str(address) == "192.168.80.9")
    with pytest.raises(InputWrongError, match="this machine is m3, which it would take away"):
        planned(tmp_path, HOOKS, [Scenario.HOST_FREEZE])
    assert planned(tmp_path, scenarios=[Scenario.HAPROXY_STOP]).scenarios


def test_a_machine_knows_its_own_addresses() -> None:
    assert is_own(IPv4Address("127.0.0.1"))
    assert not is_own(IPv4Address("192.0.2.1"))


def test_health_is_judged_over_masters_that_the_filter_leaves_out(tmp_path: Path) -> None:
    found = planned(tmp_path, filters="name=m1,m2")
    assert found.session.hosts == ["m1", "m2"]
    assert found.whole.hosts == ["m1", "m2", "m3"]


class DrillOf:
    """A drill in which so many cycles find the host that they would break."""

    view = SimpleNamespace()

    def __init__(self, targets: int, spared: Sequence[Fault] = ()) -> None:
        self.drilled: list[Drilled] = []
        self._targets = targets
        self._spared = list(spared)

    def holder(self) -> str:
        return "m3"

    def due(self, *_: object) -> list[Fault]:
        return [haproxy_stop()] if len(self.drilled) < self._targets else []

    def spared(self, *_: object) -> list[Fault]:
        return self._spared

    def strike(self, _: Fault) -> Drilled:
        self.drilled.append(drilled(len(self.drilled) + 1))
        return self.drilled[-1]


def reported(failover: Failover, targets: int, spared: Sequence[Fault] = ()) -> DrillReport:
    drill = cast(Drill, DrillOf(targets, spared))
    failover.drill = drill
    failover.run(drill)
    return failover.report


def test_cycles_that_were_asked_for_and_not_drilled_are_not_right(tmp_path: Path) -> None:
    asked = planned(tmp_path, scenarios=[Scenario.HAPROXY_STOP], cycles=10)
    found = reported(asked, 3)
    assert not found.ok
    assert found.dropped == (
        "3 of 10 cycles of haproxy-stop were drilled: no selected host is the one it breaks (the VIP is on m3); "
        "select every master.",
    )
    (none,) = reported(planned(tmp_path, scenarios=[Scenario.HAPROXY_STOP]), 0).dropped
    assert none.startswith("0 of 1 cycles of haproxy-stop were drilled")
    everything = planned(tmp_path, cycles=3)
    everything.scenarios = [Scenario.HAPROXY_STOP]
    assert not reported(everything, 2).ok, "all could do it, but not as often as asked"
    assert reported(planned(tmp_path, scenarios=[Scenario.HAPROXY_STOP], cycles=3), 3).ok


def test_a_leader_on_a_host_that_is_not_selected_is_told_of(tmp_path: Path) -> None:
    asked = planned(tmp_path, scenarios=[Scenario.LEADER_STOP], cycles=2)
    scheduler = unit_fault(Scenario.LEADER_STOP, "m3", "kube-scheduler")
    assert reported(asked, 2, [scheduler]).skipped == (
        "leader-stop left out kube-scheduler, which leads on m3: that host is not selected.",
    )


def test_what_all_cannot_do_is_a_mere_note(tmp_path: Path) -> None:
    everything = planned(tmp_path, cycles=3)
    everything.scenarios = [Scenario.HAPROXY_STOP, Scenario.ETCD_MEMBER_STOP]
    found = reported(everything, 3)
    assert found.ok
    assert any(line.startswith("etcd-member-stop was left out") for line in found.skipped)


def test_a_cluster_that_is_not_healthy_is_refused_unless_forced(tmp_path: Path) -> None:
    sick = verification(Check("services", "kube-scheduler", False, "is inactive"))
    with pytest.raises(HostsWrongError, match=r"m1: services kube-scheduler: is inactive\n.*--force"):
        planned(tmp_path).refuse_unhealthy(sick)
    planned(tmp_path, force=True).refuse_unhealthy(sick)
    planned(tmp_path).refuse_unhealthy(verification())


@pytest.mark.parametrize(
    ("holders", "sentence"), [((), "no host has"), (("m1", "m2"), "m1 and m2 both have")]
)
def test_a_vip_that_is_nobodys_or_twosomes_is_refused_even_if_forced(
    tmp_path: Path, holders: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(HostsWrongError, match=sentence):
        planned(tmp_path, force=True).refuse_unhealthy(verification(holders=holders))


def test_a_host_that_does_not_answer_is_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(HostsUnreachableError, match="m1: no route"):
        planned(tmp_path, force=True).refuse_unhealthy(
            verification(Check("services", EVIDENCE, False, "no route"))
        )


def test_two_members_have_none_to_spare(tmp_path: Path) -> None:
    with pytest.raises(HostsWrongError, match="of 2 etcd members none can be spared"):
        planned(tmp_path, {"hosts.m3": REMOVED}).refuse_unhealthy(verification())


@pytest.mark.parametrize(
    ("hooks", "sentence"),
    [
        ("freeze", "hooks is text, not a mapping"),
        ({"frezee": "x {host}"}, "did you mean freeze"),
        ({"freeze": "no placeholder"}, "is no command line with {host} in it"),
        ({"freeze": "echo '{host}"}, "is no command line: No closing quotation"),
    ],
)
def test_hooks_are_checked_at_the_door(tmp_path: Path, hooks: object, sentence: str) -> None:
    with pytest.raises(InputWrongError, match=sentence.replace("{", r"\{")):
        planned(tmp_path, {"config.user_defined": {"hooks": hooks}})


@pytest.mark.parametrize("line", ["ipmitool -P hunter2", "ipmitool -P 'hunter2 {host}"])
def test_a_hook_with_a_password_is_never_quoted(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputWrongError, match="is no command line") as caught:
        planned(tmp_path, {"config.user_defined": {"hooks": {"freeze": line}}})
    assert "hunter2" not in str(caught.value)
