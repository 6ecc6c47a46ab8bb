"""Versions of what runs on the masters, held against Kubernetes' version skew policy.

https://kubernetes.io/releases/version-skew-policy/: kube-apiservers within one minor release of each other;
controller-manager and scheduler no newer than any kube-apiserver they may ask, and at most one minor older.
"""

import re
from collections.abc import Iterator, Mapping

from kubenorn.audit.context import AuditContext
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.verify_requests import VERSION_REQUEST

Release = tuple[int, int]
FOLLOWERS = ("kube-controller-manager", "kube-scheduler")


def skew(context: AuditContext) -> Iterator[Finding]:
    """Yield versions that differ between the masters, as errors where the policy forbids it."""
    running = {
        component: {
            name: version
            for name, host in context.hosts.items()
            if (version := build_version(host.evidence.metrics(component)))
        }
        for component in FOLLOWERS
    }
    running["kube-apiserver"] = {
        name: str(answer.json().get("gitVersion", "")).removeprefix("v")
        for name, host in context.hosts.items()
        if (answer := host.evidence.http.get(VERSION_REQUEST)) and answer.status == 200
    }
    running["etcd"] = {
        name: str(host.evidence.etcd_status.get("version", ""))
        for name, host in context.hosts.items()
        if host.evidence.etcd_status
    }
    for component, versions in running.items():
        yield from _different(component, versions)
    servers = {name: release_of(version) for name, version in running["kube-apiserver"].items()}
    for component in FOLLOWERS:
        for name, version in running[component].items():
            yield from _follower(name, component, release_of(version), list(servers.values()))


def build_version(metrics: str) -> str:
    """Return the version in a component's kubernetes_build_info metric, without its v; empty without one."""
    found = re.search(r'^kubernetes_build_info\{.*?\bgit_?[vV]ersion="v?([^"]+)"', metrics, re.MULTILINE)
    return found[1] if found else ""


def release_of(version: str) -> Release:
    """Return major and minor of a version; (0, 0) where it has none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _different(component: str, versions: Mapping[str, str]) -> Iterator[Finding]:
    if len(set(versions.values())) < 2:
        return
    releases = [release_of(version) for version in versions.values()]
    apart = max(minor for _, minor in releases) - min(minor for _, minor in releases)
    forbidden = apart > 1 or len({major for major, _ in releases}) > 1
    each = ", ".join(f"{name} {version}" for name, version in versions.items())
    said = f"runs in different versions: {each}" + (
        "; more than one minor release apart" if forbidden else ""
    )
    severity = Severity.ERROR if forbidden else Severity.WARNING
    yield Finding(severity, Group.EQUALITY, "", component, said, "finish the upgrade on every master")


def _follower(name: str, component: str, own: Release, servers: list[Release]) -> Iterator[Finding]:
    if not servers or own == (0, 0):
        return
    newest, oldest = max(servers), min(servers)
    if own > oldest:
        said = f"is {own[0]}.{own[1]}, newer than the oldest kube-apiserver, {oldest[0]}.{oldest[1]}"
    elif newest[1] - own[1] > 1:
        said = f"is {own[0]}.{own[1]}, more than one minor release older than kube-apiserver {newest[0]}.{newest[1]}"
    else:
        return
    remedy = "upgrade kube-apiserver everywhere first, then what asks it"
    yield Finding(Severity.ERROR, Group.EQUALITY, name, component, said, remedy)
