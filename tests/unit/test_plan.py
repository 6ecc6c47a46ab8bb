"""Desired against observed: nothing when nothing differs, and for each drift exactly what it needs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenorn.desired import DesiredHost, ManagedFile, Part
from kubenorn.layout import drop_in, unit_file
from kubenorn.observed import ObservedHost
from kubenorn.plan import Action, HostPlan, plan_host
from tests.unit.builders import (
    STARTED,
    VERSIONS,
    a_bare_host,
    a_cluster,
    a_desired_host,
    a_full_plan,
    a_unit,
    as_observed,
    path,
)
from tests.unit.rendered import VARIANTS

DESIRED = a_desired_host()
OBSERVED = as_observed(DESIRED)
RESTARTED, RELOADED, STARTED_UNIT = Action.RESTART, Action.RELOAD, Action.START
FILES = {str(file.path): file for file in DESIRED.files}
LATER = STARTED + timedelta(seconds=1)


def actions(plan: HostPlan) -> dict[str, Action]:
    return {each.unit: each.action for each in plan.unit_actions}


def with_file(where: str | PurePosixPath, **changes: Any) -> ObservedHost:
    where = PurePosixPath(where)
    return replace(OBSERVED, files={**OBSERVED.files, where: replace(OBSERVED.files[where], **changes)})


def without_file(where: str | PurePosixPath) -> ObservedHost:
    files = {p: f for p, f in OBSERVED.files.items() if p != PurePosixPath(where)}
    return replace(OBSERVED, files=files)


def with_unit(name: str, **changes: Any) -> ObservedHost:
    return replace(OBSERVED, units={**OBSERVED.units, name: a_unit(name, **changes)})


API, MANAGER, SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
READERS = {
    "/etc/kubernetes/pki/ca.pem": {API, MANAGER, SCHEDULER},
    "/etc/kubernetes/pki/ca-key.pem": {MANAGER},
    "/etc/kubernetes/pki/service-account-key.pem": {API, MANAGER},
    "/etc/kubernetes/pki/kube-controller-manager-": {MANAGER},
    "/etc/kubernetes/pki/kube-scheduler-": {SCHEDULER},
    "/etc/kubernetes/pki/etcd-health-check-client": set(),
    "/etc/kubernetes/pki/": {API},
    "/etc/etcd/pki/": {"etcd"},
    "/etc/kubernetes/encryption-configuration.yaml": {API},
    "/etc/kubernetes/audit-policy.yaml": {API},
    "/etc/kubernetes/kube-controller-manager.kubeconfig": {MANAGER},
    "/etc/kubernetes/kube-scheduler.kubeconfig": {SCHEDULER},
    "/root/.kube/config": set(),
    "/etc/haproxy/": {"haproxy"},
    "/etc/keepalived/": {"keepalived"},
    "/etc/tmpfiles.d/": set(),
    "/etc/systemd/system/etcd.service": {"etcd"},
    "/etc/systemd/system/kube-apiserver.service": {API},
    "/etc/systemd/system/kube-controller-manager.service": {MANAGER},
    "/etc/systemd/system/kube-scheduler.service": {SCHEDULER},
    "/etc/systemd/system/haproxy.service.d/": {"haproxy"},
    "/etc/systemd/system/keepalived.service.d/": {"keepalived"},
}
"""By the beginning of a path, the first that fits: which units must take a file anew."""


def expected_actions(file: ManagedFile) -> dict[str, Action]:
    """Return what each unit needs when `file` changes: told apart from the code's own rule."""
    readers = next(units for begin, units in READERS.items() if str(file.path).startswith(begin))
    in_place = {"haproxy", "keepalived"} if not str(file.path).startswith("/etc/systemd/") else set()
    return {unit: RELOADED if unit in in_place else RESTARTED for unit in readers}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_host_that_is_as_desired_needs_nothing(version: str) -> None:
    desired = a_desired_host(kubernetes_version=version)
    plan = plan_host(desired, as_observed(desired))
    assert plan.empty
    assert (plan.changes, plan.unit_actions, plan.files, plan.enable) == ((), (), (), ())


@pytest.mark.parametrize("variant", VARIANTS)
def test_nor_does_any_variant(variant: str) -> None:
    desired = a_desired_host(**VARIANTS[variant])
    assert plan_host(desired, as_observed(desired)).empty


@pytest.mark.parametrize("where", FILES)
def test_content_that_differs(where: str) -> None:
    plan = plan_host(DESIRED, with_file(where, sha256="0" * 64, text=b"other\n"))
    assert [f.path for f in plan.files] == [path(where)]
    assert (plan.permissions, plan.binaries, plan.directories, plan.packages, plan.enable) == ((),) * 5
    assert actions(plan) == expected_actions(FILES[where])
    assert plan.daemon_reload == where.startswith("/etc/systemd/system/")
    (change, *units) = plan.changes
    assert (change.action, change.kind, change.target, change.reason) == (
        Action.UPDATE,
        "file",
        where,
        "content differs",
    )
    assert len(units) == len(plan.unit_actions)


@pytest.mark.parametrize("where", FILES)
def test_a_missing_file(where: str) -> None:
    plan = plan_host(DESIRED, without_file(where))
    assert [f.path for f in plan.files] == [path(where)]
    assert (plan.changes[0].action, plan.changes[0].reason) == (Action.CREATE, "missing")
    assert actions(plan) == expected_actions(FILES[where])


@pytest.mark.parametrize("where", FILES)
@pytest.mark.parametrize("drift", [{"mode": 0o666}, {"owner": "nobody"}, {"group": "nogroup"}])
def test_a_wrong_mode_or_owner_is_mended_and_restarts_nothing(where: str, drift: dict[str, Any]) -> None:
    plan = plan_host(DESIRED, with_file(where, **drift))
    assert [f.path for f in plan.permissions] == [path(where)]
    assert (plan.files, plan.unit_actions, plan.daemon_reload) == ((), (), False)
    (change,) = plan.changes
    assert change.action is Action.UPDATE
    assert ", should be 0" in change.reason


@pytest.mark.parametrize("kind", ["directory", "symbolic link", "fifo"])
def test_something_else_than_a_file_is_replaced(kind: str) -> None:
    plan = plan_host(DESIRED, with_file("/etc/haproxy/haproxy.cfg", kind=kind))
    assert plan.changes[0].reason == f"is a {kind}, should be a regular file"
    assert actions(plan) == {"haproxy": RELOADED}


@pytest.mark.parametrize("binary", DESIRED.binaries, ids=lambda b: b.name)
def test_another_binary(binary: Any) -> None:
    plan = plan_host(DESIRED, with_file(binary.path, sha256="0" * 64))
    assert [b.name for b in plan.binaries] == [binary.name]
    assert actions(plan) == dict.fromkeys(binary.units, RESTARTED)
    assert plan.changes[0].reason == f"is not {binary.name} {binary.version} (sha256 differs)"
    missing = plan_host(DESIRED, without_file(binary.path))
    assert missing.changes[0].reason == "missing"
    assert actions(missing) == dict.fromkeys(binary.units, RESTARTED)


@pytest.mark.parametrize("unit", [u.name for u in DESIRED.units])
def test_a_unit_that_does_not_run_is_started(unit: str) -> None:
    for state in ("inactive", "failed"):
        plan = plan_host(DESIRED, with_unit(unit, active=state))
        assert actions(plan) == {unit: STARTED_UNIT}
        assert [(c.kind, c.target, c.reason) for c in plan.changes] == [("unit", unit, f"is {state}")]


@pytest.mark.parametrize("enabled", ["disabled", "", "masked", "static", "linked"])
@pytest.mark.parametrize("unit", [u.name for u in DESIRED.units])
def test_a_unit_that_is_not_enabled_is_enabled_only(unit: str, enabled: str) -> None:
    plan = plan_host(DESIRED, with_unit(unit, enabled=enabled))
    assert plan.enable == (unit,)
    assert plan.unit_actions == ()
    assert [c.action for c in plan.changes] == [Action.ENABLE]


def test_a_unit_the_probe_knew_nothing_of() -> None:
    units = {name: state for name, state in OBSERVED.units.items() if name != "etcd"}
    plan = plan_host(DESIRED, replace(OBSERVED, units=units))
    assert actions(plan) == {"etcd": STARTED_UNIT}
    assert plan.enable == ("etcd",)


@pytest.mark.parametrize("where", FILES)
def test_a_file_younger_than_the_unit_that_reads_it(where: str) -> None:
    """So a run that died between writing and restarting heals itself."""
    plan = plan_host(DESIRED, with_file(where, modified=LATER))
    assert actions(plan) == expected_actions(FILES[where])
    assert plan.files == ()
    assert all("is younger than the running unit" in a.reason for a in plan.unit_actions)


@pytest.mark.parametrize("binary", DESIRED.binaries, ids=lambda b: b.name)
def test_a_binary_younger_than_its_unit(binary: Any) -> None:
    plan = plan_host(DESIRED, with_file(binary.path, modified=LATER))
    assert actions(plan) == dict.fromkeys(binary.units, RESTARTED)


def test_a_reload_since_takes_a_younger_configuration() -> None:
    host = with_file("/etc/haproxy/haproxy.cfg", modified=LATER)
    units = {**host.units, "haproxy": a_unit("haproxy", changed=LATER + timedelta(seconds=1))}
    assert plan_host(DESIRED, replace(host, units=units)).empty


def test_a_reload_since_does_not_take_a_younger_drop_in() -> None:
    host = with_file(drop_in("haproxy"), modified=LATER)
    units = {**host.units, "haproxy": a_unit("haproxy", changed=LATER + timedelta(seconds=1))}
    assert actions(plan_host(DESIRED, replace(host, units=units))) == {"haproxy": RESTARTED}


def test_a_file_of_the_same_moment_restarts_nothing() -> None:
    assert plan_host(DESIRED, with_file("/etc/haproxy/haproxy.cfg", modified=STARTED)).empty


def test_a_restart_makes_a_reload_needless() -> None:
    host = with_file("/etc/haproxy/haproxy.cfg", sha256="0" * 64)
    host = replace(
        host,
        files={**host.files, drop_in("haproxy"): replace(host.files[drop_in("haproxy")], sha256="1" * 64)},
    )
    plan = plan_host(DESIRED, host)
    assert actions(plan) == {"haproxy": RESTARTED}
    assert len(plan.unit_actions) == 1


def test_the_authoritys_certificate_concerns_all_who_trust_it() -> None:
    plan = plan_host(DESIRED, with_file("/etc/kubernetes/pki/ca.pem", sha256="0" * 64))
    assert actions(plan) == dict.fromkeys(
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler"), RESTARTED
    )


def test_systemd_that_has_not_read_a_unit() -> None:
    plan = plan_host(DESIRED, with_unit("etcd", needs_daemon_reload=True))
    assert plan.daemon_reload
    assert not plan.empty


@pytest.mark.parametrize("package", DESIRED.packages)
def test_a_missing_package(package: str) -> None:
    """Installing it may start its unit with the package's own configuration: hence the restart."""
    plan = plan_host(DESIRED, replace(OBSERVED, programs=OBSERVED.programs - {package}))
    assert plan.packages == (package,)
    assert actions(plan) == ({} if package == "curl" else {package: RESTARTED})
    assert (plan.changes[0].action, plan.changes[0].target) == (Action.INSTALL, package)
    assert len(plan.changes) == 1 + len(plan.unit_actions)


def test_a_missing_user() -> None:
    plan = plan_host(DESIRED, replace(OBSERVED, users=frozenset()))
    assert plan.users == ("etcd",)
    assert [(c.action, c.kind, c.target) for c in plan.changes] == [(Action.CREATE, "user", "etcd")]


@pytest.mark.parametrize("directory", DESIRED.directories, ids=lambda d: str(d.path))
def test_a_missing_or_open_directory(directory: Any) -> None:
    others = {p: d for p, d in OBSERVED.directories.items() if p != directory.path}
    missing = plan_host(DESIRED, replace(OBSERVED, directories=others))
    wrong = {**others, directory.path: replace(OBSERVED.directories[directory.path], mode=0o777)}
    opened = plan_host(DESIRED, replace(OBSERVED, directories=wrong))
    for plan, action in ((missing, Action.CREATE), (opened, Action.UPDATE)):
        assert plan.directories == (directory,)
        assert plan.unit_actions == ()
        assert [(c.action, c.kind, c.target) for c in plan.changes] == [
            (action, "directory", str(directory.path))
        ]


def test_a_bare_host_needs_everything() -> None:
    plan = a_full_plan()
    assert plan.packages == DESIRED.packages
    assert plan.files == DESIRED.files
    assert plan.binaries == DESIRED.binaries
    assert set(actions(plan)) == {unit.name for unit in DESIRED.units}
    assert plan.enable == tuple(unit.name for unit in DESIRED.units)
    assert plan.daemon_reload
    assert {change.reason for change in plan.changes if change.kind != "unit"} == {"missing"}
    order = [change.kind for change in plan.changes]
    assert order == sorted(order, key=["package", "user", "directory", "binary", "file", "unit"].index)


@pytest.mark.parametrize("part", Part)
def test_a_run_limited_to_a_part_touches_no_other(part: Part) -> None:
    plan = plan_host(DESIRED.limited_to(frozenset({part})), a_bare_host())
    kinds = {change.kind for change in plan.changes} - {"directory", "user"}
    assert kinds == {
        Part.PACKAGES: {"package"},
        Part.PKI: {"file"},
        Part.BINARIES: {"binary"},
        Part.CONFIGURATION: {"file"},
        Part.SERVICES: {"unit"},
    }.get(part, set())


def test_all_parts_together_are_the_whole() -> None:
    assert DESIRED.limited_to(frozenset(Part)) == DESIRED


# Any drift, and what mends it

Drift = Callable[[ObservedHost], ObservedHost]


def _drifts(desired: DesiredHost) -> Iterator[Drift]:
    def change_file(where: PurePosixPath, **changes: Any) -> Drift:
        return lambda host: replace(
            host,
            files={**host.files, where: replace(host.files[where], **changes)}
            if where in host.files
            else host.files,
        )

    def lose(where: PurePosixPath) -> Drift:
        return lambda host: replace(host, files={p: f for p, f in host.files.items() if p != where})

    for file in desired.files:
        yield change_file(file.path, sha256="0" * 64)
        yield change_file(file.path, mode=0o604)
        yield lose(file.path)
    for binary in desired.binaries:
        yield change_file(binary.path, sha256="0" * 64)
    for unit in desired.units:
        yield lambda host, name=unit.name: replace(  # type: ignore[misc]
            host, units={**host.units, name: a_unit(name, active="failed", enabled="disabled")}
        )


def mended(host: ObservedHost, desired: DesiredHost, plan: HostPlan) -> ObservedHost:
    """Return the host after the plan: only what the plan names is made as desired."""
    right = as_observed(desired)
    touched = [f.path for f in (*plan.files, *plan.permissions)] + [b.path for b in plan.binaries]
    moment = STARTED + timedelta(hours=1)
    files = {**host.files, **{where: right.files[where] for where in touched}}
    files |= {f.path: replace(files[f.path], modified=moment) for f in plan.files}
    files |= {b.path: replace(files[b.path], modified=moment) for b in plan.binaries}
    units = dict(host.units)
    for action in plan.unit_actions:
        after = moment + timedelta(seconds=5)
        since = units[action.unit].active_since if action.action is Action.RELOAD else after
        units[action.unit] = replace(units[action.unit], active="active", active_since=since, changed=after)
    units |= {name: replace(units[name], enabled="enabled") for name in plan.enable}
    directories = {**host.directories, **{d.path: right.directories[d.path] for d in plan.directories}}
    programs = host.programs | set(plan.packages)
    return replace(
        host,
        files=files,
        units=units,
        directories=directories,
        programs=programs,
        users=host.users | set(plan.users),
    )


DRIFTS = list(_drifts(DESIRED))


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, len(DRIFTS) - 1), max_size=6))
def test_whatever_drifted_one_run_mends_and_the_next_has_nothing_to_do(chosen: list[int]) -> None:
    host = OBSERVED
    for index in chosen:
        host = DRIFTS[index](host)
    plan = plan_host(DESIRED, host)
    assert plan.empty == (not chosen)
    assert plan_host(DESIRED, mended(host, DESIRED, plan)).empty


def test_a_first_run_is_enough() -> None:
    host = a_bare_host()
    assert plan_host(DESIRED, mended(host, DESIRED, a_full_plan())).empty


def test_plans_of_several_hosts_differ_by_what_is_theirs() -> None:
    cluster = a_cluster()
    first, second = (a_desired_host(cluster, name) for name in ("k8s-master1", "k8s-master2"))
    differing = {f.path for f, g in zip(first.files, second.files, strict=True) if f != g}
    assert unit_file("etcd") in differing
    assert path("/etc/keepalived/keepalived.conf") in differing
    assert path("/etc/kubernetes/audit-policy.yaml") not in differing


def test_a_binarys_wrong_mode_restarts_nothing() -> None:
    assert plan_host(DESIRED, with_file("/usr/local/bin/etcd", mode=0o750)).unit_actions == ()


def test_a_binary_anyone_could_replace() -> None:
    assert not plan_host(DESIRED, with_file("/usr/local/bin/etcd", owner="nobody")).empty


def test_a_daemon_reload_is_a_change_that_is_told() -> None:
    assert plan_host(DESIRED, with_unit("etcd", needs_daemon_reload=True)).changes


def test_a_unit_systemd_has_not_read_anew_is_restarted() -> None:
    host = with_unit("etcd", needs_daemon_reload=True, active_since=LATER + timedelta(seconds=9))
    assert actions(plan_host(DESIRED, host)) == {"etcd": RESTARTED}


def test_a_unit_that_is_starting_with_old_flags_is_restarted() -> None:
    host = with_file(unit_file("etcd"), sha256="0" * 64)
    host = replace(host, units={**host.units, "etcd": a_unit("etcd", active="activating")})
    assert actions(plan_host(DESIRED, host)) == {"etcd": RESTARTED}
