"""Which run is put back on which host."""

import pytest

from kubenorn.change_sets import ChangeSet, parse_change_sets, to_put_back
from kubenorn.errors import InputWrongError

OLDER, NEWER = "2026-11-20T10-00-00.000Z", "2026-11-21T10-00-00.000Z"
RESTARTS, STARTS = {"kube-apiserver": "restart"}, {"etcd": "stop", "kube-apiserver": "stop"}


def kept(**sets: list[ChangeSet]) -> dict[str, list[ChangeSet]]:
    return sets


def test_what_a_host_tells() -> None:
    told = f"set\t{OLDER}\nunit\tstop\tetcd\nset\t{NEWER}\nunit\trestart\thaproxy\tawaited\nnoise\n"
    assert parse_change_sets(told) == [
        ChangeSet(OLDER, {"etcd": "stop"}),
        ChangeSet(NEWER, {"haproxy": "restart"}),
    ]
    assert parse_change_sets("") == []


def test_after_half_a_rollout_only_the_run_that_broke_off_is_put_back() -> None:
    """On m2 it was put back by itself, m3 was not begun: their own newest is the run before."""
    older, newer = ChangeSet(OLDER, RESTARTS), ChangeSet(NEWER, RESTARTS)
    assert to_put_back(kept(m1=[older, newer], m2=[older], m3=[older]), None) == {"m1": newer}


def test_a_run_by_its_name() -> None:
    older, newer = ChangeSet(OLDER, RESTARTS), ChangeSet(NEWER, RESTARTS)
    assert to_put_back(kept(m1=[older, newer], m2=[older]), OLDER) == {"m1": older, "m2": older}
    with pytest.raises(InputWrongError, match=f"--run 2026: none .* they have {OLDER}, {NEWER}"):
        to_put_back(kept(m1=[older, newer]), "2026")
    with pytest.raises(InputWrongError, match="they have no run"):
        to_put_back(kept(m1=[]), OLDER)


def test_nothing_to_put_back() -> None:
    assert to_put_back(kept(m1=[], m2=[]), None) == {}


def test_a_first_deployment_is_not_put_back() -> None:
    first = ChangeSet(OLDER, STARTS)
    with pytest.raises(
        InputWrongError, match=f"m1: run {OLDER} started etcd, kube-apiserver, which would be stopped"
    ):
        to_put_back(kept(m1=[first], m2=[ChangeSet(OLDER, RESTARTS)]), None)
