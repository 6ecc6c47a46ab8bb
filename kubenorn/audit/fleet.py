"""Equality across the masters, and drift from what the inventory says."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

from kubenorn.audit.context import AuditContext
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.audit.skew import skew
from kubenorn.desired import binary_versions
from kubenorn.layout import Layout

SAME_EVERYWHERE = {
    ("kube-apiserver", "encryption-provider-config"): "what one master writes another cannot read",
    (
        "kube-apiserver",
        "experimental-encryption-provider-config",
    ): "what one master writes another cannot read",
    ("kube-apiserver", "service-account-key-file"): "tokens signed on one master are refused by another",
    (
        "kube-apiserver",
        "service-account-signing-key-file",
    ): "tokens signed on one master are refused by another",
    ("kube-apiserver", "authentication-config"): "who one master lets in another refuses",
    ("kube-apiserver", "authorization-config"): "what one master allows another refuses",
    ("kube-apiserver", "token-auth-file"): "who one master lets in another refuses",
    ("kube-apiserver", "admission-control-config-file"): "what one master admits another refuses",
    ("kube-apiserver", "audit-policy-file"): "what one master records another leaves out",
    ("kube-apiserver", "client-ca-file"): "a client that one master trusts is refused by another",
    ("kube-apiserver", "requestheader-client-ca-file"): "aggregated APIs trust one master and not another",
    ("kube-apiserver", "etcd-cafile"): "one master trusts another etcd",
    (
        "kube-controller-manager",
        "service-account-private-key-file",
    ): "tokens are refused when another one leads",
    ("kube-controller-manager", "cluster-signing-cert-file"): "kubelets are refused when another one leads",
    ("kube-controller-manager", "root-ca-file"): "pods are given another CA when another one leads",
    ("etcd", "trusted-ca-file"): "a client that one member trusts is refused by another",
    ("etcd", "peer-trusted-ca-file"): "members refuse each other",
}
"""Flags whose files must be equal on all masters, and what happens when they are not."""
OWN_TO_EACH_HOST = frozenset({"advertise-address", "bind-address", "name", "hostname-override", "node-ip"})
COMPARED = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
PROGRAMS = ("etcd", *COMPARED)


def equality(context: AuditContext) -> Iterator[Finding]:
    """Yield what one master has otherwise than the others."""
    for (component, flag), consequence in SAME_EVERYWHERE.items():
        yield from _files(context, component, flag, consequence)
    yield from _binaries(context)
    for component in COMPARED:
        yield from _flags(context, component)
    yield from skew(context)


def _files(context: AuditContext, component: str, flag: str, consequence: str) -> Iterator[Finding]:
    paths = {name: host.collected.flag(component, flag) for name, host in context.hosts.items()}
    digests = {
        name: file.sha256
        for name, path in paths.items()
        if (file := context.hosts[name].collected.files.get(path)) and file.sha256
    }
    for name in _odd_ones(digests):
        said = f"{component} --{flag} differs from the other masters': {consequence}"
        yield replace(_found(name, paths[name], said, "copy the right one"), differs=True)


def _binaries(context: AuditContext) -> Iterator[Finding]:
    """Yield binaries that one master has otherwise, where this project put them and noted what they are."""
    for binary in binary_versions(context.cluster):
        path = Layout(context.cluster).binary(binary)
        files = {name: host.observed.files.get(path) for name, host in context.hosts.items()}
        digests = {name: file.sha256 for name, file in files.items() if file and file.sha256}
        for name in _odd_ones(digests):
            found = _found(name, str(path), "differs from the other masters'", "deploy it again")
            yield replace(found, differs=True)


def _found(host: str, subject: str, evidence: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, Group.EQUALITY, host, subject, evidence, remedy)


def _odd_ones(values: Mapping[str, str]) -> list[str]:
    """Return the hosts whose value is not the most frequent one (of equally frequent ones: the first host's)."""
    if len(set(values.values())) < 2:
        return []
    usual, _ = Counter(values.values()).most_common(1)[0]
    return [name for name, value in values.items() if value != usual]


def _flags(context: AuditContext, component: str) -> Iterator[Finding]:
    """Yield flags that one master's process has otherwise, the host's own address and name aside."""
    running = {
        name: {
            f: v for f, v in host.collected.processes[component].flags.items() if f not in OWN_TO_EACH_HOST
        }
        for name, host in context.hosts.items()
        if component in host.collected.processes
    }
    for flag in sorted({flag for each in running.values() for flag in each}):
        # A list may begin with another one on each host, as the guides' lists of etcd members do.
        plain = {
            name: ",".join(sorted(flags.get(flag, "(not given)").split(",")))
            for name, flags in running.items()
        }
        values = {name: _without_own(context, name, value) for name, value in plain.items()}
        if not _odd_ones(plain) or not _odd_ones(values):
            continue
        usual, _ = Counter(values.values()).most_common(1)[0]
        for name in _odd_ones(values):
            said = f"is {plain[name][:60]}, the others' is {usual[:60]}"
            remedy = f"make --{flag} the same, and restart {context.hosts[name].collected.unit_of(component)}"
            yield _found(name, f"{component} --{flag}", said, remedy)


def _without_own(context: AuditContext, name: str, value: str) -> str:
    """Return a flag's value with what is the host's own made the same on every host."""
    own = re.escape(str(context.cluster.master(name).address))
    names = {name, context.hosts[name].evidence.hostname}
    alternatives = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.sub(rf"\b({alternatives})\b", "OWN NAME", re.sub(rf"\b{own}\b", "OWN ADDRESS", value))


def drift(context: AuditContext) -> Iterator[Finding]:
    """Yield what deploy would change."""
    for name, plan in context.plans.items():
        permissions = {str(each.path) for each in plan.permissions}
        for change in plan.changes:
            differing = [line for line in change.diff if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
            said = f"{change.kind}: {change.reason}" + (f" ({differing[0][:80]})" if differing else "")
            remedy = "runbooks/deploy.py --dry-run shows the difference; deploy undoes it"
            found = Finding(
                Severity.WARNING, Group.DRIFT, name, change.target, said, remedy, "\n".join(change.diff)
            )
            if change.diff:  # a known difference hides no later one
                found = replace(found, identity=sha256("\n".join(change.diff).encode()).hexdigest()[:12])
            if (
                change.kind == "unit"
            ):  # "kube-scheduler.service changes", "… is younger than the running unit"
                yield replace(found, follows=change.reason.partition(" ")[0])
            else:
                other_content = change.kind in {"file", "binary"} and change.target not in permissions
                yield replace(found, differs=other_content)
