"""When a host of a running cluster may be touched."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubenorn.evidence import Evidence, HttpAnswer
from kubenorn.rollout import is_running, refusals, restarts_since
from tests.unit.builders import NAMES, a_cluster, a_unit
from tests.unit.test_verification import evidence

FIRST, SECOND, THIRD = NAMES


def seen(*, apiserver: Mapping[str, bool], etcd: Mapping[str, bool] | None = None) -> dict[str, Evidence]:
    """Return what the hosts that answer say, healthy or not."""

    def answer(well: bool) -> HttpAnswer:
        return HttpAnswer(200 if well else 500, 0.01, 2, b"ok", "")

    found = {}
    for host, well in apiserver.items():
        http = {
            "health-kube-apiserver": answer(well),
            "health-etcd": answer((etcd or {}).get(host, True)),
        }
        found[host] = replace(evidence()[host], http=http)
    return found


ALL_WELL = dict.fromkeys(NAMES, True)


@pytest.mark.parametrize(
    ("apiserver", "refused"),
    [
        (ALL_WELL, False),
        ({FIRST: True, SECOND: True, THIRD: False}, False),
        ({FIRST: True, SECOND: False, THIRD: False}, True),
        # Those that do not answer are not healthy either.
        ({FIRST: True}, True),
        # Nothing works, so there is nothing to lose: this may be what mends it.
        ({FIRST: False, SECOND: False, THIRD: False}, False),
    ],
)
def test_the_last_kube_apiserver_is_not_touched(apiserver: dict[str, bool], refused: bool) -> None:
    found = list(refusals(a_cluster(), [FIRST], {"kube-apiserver"}, seen(apiserver=apiserver)))
    assert bool(found) == refused
    assert all(f"{FIRST}: no other host's kube-apiserver is healthy" in each for each in found)
    assert not list(refusals(a_cluster(), [FIRST], {"haproxy"}, seen(apiserver=apiserver)))


@pytest.mark.parametrize(
    ("etcd", "refused"),
    [
        (ALL_WELL, False),
        ({FIRST: True, SECOND: True, THIRD: False}, True),
        ({FIRST: False, SECOND: True, THIRD: True}, False),
    ],
)
def test_etcd_keeps_its_quorum(etcd: dict[str, bool], refused: bool) -> None:
    found = list(refusals(a_cluster(), [FIRST], {"etcd"}, seen(apiserver=ALL_WELL, etcd=etcd)))
    assert bool(found) == refused


def test_a_cluster_is_in_use_when_one_kube_apiserver_runs() -> None:
    units = {host: a_unit("kube-apiserver", active="activating") for host in NAMES}
    assert not is_running({h: replace(evidence()[h], units={"kube-apiserver": u}) for h, u in units.items()})
    units[THIRD] = a_unit("kube-apiserver")
    assert is_running({h: replace(evidence()[h], units={"kube-apiserver": u}) for h, u in units.items()})


@pytest.mark.parametrize(("before", "now", "since"), [(5, 5, 0), (5, 8, 3), (0, 5, 5), (7, 2, 2)])
def test_restarts_count_from_when_the_host_was_touched(before: int, now: int, since: int) -> None:
    def at(restarts: int) -> dict[str, Evidence]:
        return {FIRST: replace(evidence()[FIRST], units={"etcd": a_unit("etcd", restarts=restarts)})}

    assert restarts_since(at(before), at(now), FIRST, "etcd") == since
    assert restarts_since({}, at(now), FIRST, "etcd") == now
