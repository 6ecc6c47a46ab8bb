"""What a drill refuses before it looks at any host."""

from pathlib import Path
from typing import Any

import pytest

from kubenorn.drill.expectations import Limits
from kubenorn.drill.scenarios import Scenario
from kubenorn.errors import HostsUnreachableError, HostsWrongError, InputWrongError
from kubenorn.host_verification import Check
from kubenorn.verification import EVIDENCE, Verification
from tasks.failover import Failover
from tasks.session import open_session
from tests.unit.inventories import REMOVED, write_inventory

HOOKS = {"config.user_defined": {"hooks": dict.fromkeys(("freeze", "thaw"), "hook {host}")}}


def planned(
    folder: Path,
    changes: dict[str, Any] | None = None,
    scenarios: list[Scenario] | None = None,
    *,
    filters: str = "role=master",
    hosts: str = "",
    force: bool = False,
) -> Failover:
    session = open_session(write_inventory(folder, changes or {}), [filters])
    limits = Limits(3000, 50)
    return Failover.plan(
        session,
        scenarios,
        cycles=1,
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
        ({}, {"scenarios": [Scenario.POWER_OFF]}, "there is no hook power_off or power_on"),
        ({"hosts.m3": REMOVED}, {"scenarios": [Scenario.ETCD_MEMBER_STOP]}, "none can be spared"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, changes: dict[str, Any], arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputWrongError, match=sentence):
        planned(tmp_path, changes, **arguments)


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
