"""How a rollout goes on when one of a batch fails, or this machine does."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from kubenorn.errors import HostsWrongError, InputWrongError, RolledBackError
from kubenorn.plan import Action, UnitAction
from kubenorn.rollout import Serial
from kubenorn.run_record import HostState
from tasks import rollout as module
from tasks.apply_plan import apply_plan
from tasks.change import Change
from tasks.fleet_run import Outcome
from tasks.interrupt import Interrupt
from tasks.roll_back import RolledBack, roll_back
from tasks.rollout import Rollout
from tests.unit.builders import NAMES, a_cluster
from tests.unit.test_verification import evidence

FIRST, SECOND, _ = NAMES
PLAN = SimpleNamespace(empty=False, unit_actions=(UnitAction("kube-scheduler", Action.RESTART, "changes"),))


@pytest.fixture
def unready(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Hosts that do not become ready; nobody waits for them."""
    hosts: set[str] = set()
    monkeypatch.setattr(module, "look", lambda *_: evidence())
    monkeypatch.setattr(module, "in_use", lambda *_: True)
    monkeypatch.setattr(module, "READY_SECONDS", -1)
    monkeypatch.setattr(
        module, "not_ready", lambda _, host, __: ["scheduler: asleep"] if host in hosts else []
    )
    return hosts


def rolling(failing: dict[str, Exception], save: Any = None, lock: Any = None) -> tuple[Rollout, list[str]]:
    """Return a rollout of two hosts at once, and what is put back in it."""
    cluster, put_back = a_cluster(), list[str]()

    def run_on(task: Any, hosts: list[str], *_: Any, **__: Any) -> Outcome[Any]:
        if task is roll_back:
            put_back.extend(hosts)
            return Outcome(dict.fromkeys(hosts, RolledBack("as before", ())), {})
        assert task is apply_plan
        return Outcome(
            dict.fromkeys(set(hosts) - failing.keys()), {h: e for h, e in failing.items() if h in hosts}
        )

    observed = {host: MagicMock(interface_of=lambda _: None, units={}) for host in NAMES}
    run: Any = SimpleNamespace(
        plans={FIRST: PLAN, SECOND: PLAN},
        observed=observed,
        session=SimpleNamespace(clusters=[cluster], hosts=[FIRST, SECOND]),
        selected=lambda _: [FIRST, SECOND],
        run_on=run_on,
        compressed=None,
        changed=False,
    )
    recording: Any = SimpleNamespace(results={}, run_id="run", save=save or (lambda: None))
    return Rollout(run, recording, Serial(count=2), Change(Interrupt(), lock)), put_back


def test_of_a_batch_in_which_one_fails_the_others_are_gated_all_the_same(unready: set[str]) -> None:
    unready.add(SECOND)
    rollout, put_back = rolling({FIRST: RolledBackError("no such flag; rolled back")})
    with pytest.raises(HostsWrongError) as told:
        rollout.apply()
    assert f"{FIRST}: no such flag" in str(told.value)
    assert f"{SECOND}: did not become ready (scheduler: asleep)" in str(told.value)
    assert put_back == [SECOND]
    assert {host: result.state for host, result in rollout.results.items()} == {
        FIRST: HostState.ROLLED_BACK,
        SECOND: HostState.ROLLED_BACK,
    }


def test_only_what_was_found_ready_stays_when_the_run_dies(unready: set[str]) -> None:
    judged: list[str] = []
    lock = SimpleNamespace(judged=judged.extend, check=lambda: None)
    rolling({}, lock=lock)[0].apply()
    assert sorted(judged) == [FIRST, SECOND]
    judged.clear()
    unready.add(SECOND)
    with pytest.raises(HostsWrongError):
        rolling({}, lock=lock)[0].apply()
    assert judged == []


def test_a_host_that_lost_its_lock_while_it_was_gated_is_not_said_to_be_changed(unready: set[str]) -> None:
    """It may have judged by itself, and put everything back before it was asked."""
    checks: list[None] = []

    def lost() -> None:
        checks.append(None)
        raise HostsWrongError("m1: its lock is lost")

    rollout, put_back = rolling({}, lock=SimpleNamespace(check=lost))
    with pytest.raises(HostsWrongError, match="its lock is lost"):
        rollout.apply()
    assert {result.state for result in rollout.results.values()} == {HostState.BEGUN}
    assert (len(checks), put_back, unready) == (1, [], set())


def test_a_full_disk_of_this_machine_leaves_no_host_ungated(unready: set[str]) -> None:
    def full() -> None:
        raise InputWrongError("runs: No space left on device")

    unready.add(FIRST)
    rollout, put_back = rolling({}, save=full)
    with pytest.raises(HostsWrongError, match=f"{FIRST}: did not become ready"):
        rollout.apply()
    assert put_back == [FIRST]


def test_a_run_that_lost_its_lock_touches_no_host(unready: set[str]) -> None:
    rollout, _ = rolling({})

    def lost() -> None:
        raise HostsWrongError("m2: its lock is lost")

    rollout.change.interrupt.watch(lost)
    with pytest.raises(HostsWrongError, match="its lock is lost"):
        rollout.apply()
    assert {result.state for result in rollout.results.values()} == {HostState.NOT_BEGUN}
    assert not unready
