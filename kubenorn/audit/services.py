"""Services: is everything running, as its unit says, from the files that are there?"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from kubenorn.audit.collected import Process
from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.audit.given_files import given_files
from kubenorn.audit.suffering import MANY_RESTARTS, Unwell, just_started, unwell_on
from kubenorn.components import Component, components
from kubenorn.host_verification import backend_states
from kubenorn.records import UnitState

CLOCK_GRAIN = timedelta(seconds=1)
"""systemd before 248 tells times to the second only."""
READ_ANEW = frozenset(
    {
        *("tls-cert-file", "tls-private-key-file", "client-ca-file", "requestheader-client-ca-file"),
        *("proxy-client-cert-file", "proxy-client-key-file", "etcd-certfile", "etcd-keyfile"),
        *("kubelet-client-certificate", "kubelet-client-key"),
        # since 1.30, see k8s.io/kubernetes KEP-3331 and KEP-3221
        *("authentication-config", "authorization-config"),
        *("cert-file", "key-file", "peer-cert-file", "peer-key-file"),
    }
)
"""Flags whose files Kubernetes and etcd read anew by themselves; what is served on the wire is compared instead."""
READ_ANEW_IF_ASKED = {"encryption-provider-config": "encryption-provider-config-automatic-reload"}
"""Flags whose files are read anew where another flag says so, since 1.26 (KEP-3299)."""


def services(context: AuditContext) -> Iterator[Finding]:
    """Yield what is wrong with the units and their processes."""
    for name, host in context.hosts.items():
        unwell = unwell_on(context, name)
        for component in components(context.cluster):
            if unwell.cause(component.name) is None:
                yield from _unit(name, host, component, unwell.suffering(component.name))
                yield from _health(name, host, component, unwell)
            yield from _process(name, host, component)
        yield from given_files(name, host)
        if "kubeconfig" in host.collected.lacks:
            said = "no administrator's kubeconfig was found there: health, leaders and the VIP were not asked about"
            remedy = "put one into /etc/kubernetes/admin.conf, for root alone"
            yield _found(Severity.WARNING, name, "kubeconfig", said, remedy)
    yield from _backends(context)


def _backends(context: AuditContext) -> Iterator[Finding]:
    """Yield kube-apiservers that are well, and that a host's haproxy does not use."""
    well = {name for name in context.hosts if "kube-apiserver" not in unwell_on(context, name).said}
    for name, host in context.hosts.items():
        down = [
            server
            for server, status in backend_states(host.evidence).items()
            # "DOWN 1/2": its last check was good
            if server in well and (status == "DOWN" or status.startswith(("MAINT", "DRAIN")))
        ]
        if down:
            said = f"does not use the kube-apiserver of {', '.join(down)}, which says that it is well"
            remedy = "journalctl -u haproxy tells what its check saw, or who took it out (`set server … state ready`)"
            yield _found(Severity.WARNING, name, "haproxy", said, remedy)


def _found(severity: Severity, host: str, unit: str, evidence: str, remedy: str) -> Finding:
    return Finding(severity, Group.SERVICES, host, unit, evidence, remedy)


def _unit(name: str, host: HostAudit, component: Component, suffering: str) -> Iterator[Finding]:
    process, unit = host.collected.processes.get(component.name), host.collected.unit_of(component.name)
    state = host.collected.units.get(unit)
    if process and not process.unit:
        yield from _outside(name, component.name, process)
        return
    if state is None or state.load == "not-found":
        said = "does not run, and there is no unit of that name"
        yield _found(Severity.ERROR, name, component.name, said, "deploy it, or start it under its own unit")
        return
    if not state.is_active:
        said = f"is {state.active} ({state.sub}, {state.result}){suffering}{_last_words(host, component)}"
        yield _found(Severity.ERROR, name, unit, said, f"journalctl -u {unit}, then systemctl start {unit}")
    elif state.restarts >= MANY_RESTARTS:
        said = f"was restarted {state.restarts} times by systemd{_last_words(host, component)}"
        yield _found(Severity.WARNING, name, unit, said, f"journalctl -u {unit} tells why it ends")
    elif host.collected.journal.get(component.name):
        said = f"reported errors within the last hour{_last_words(host, component)}"
        yield _found(Severity.INFO, name, unit, said, f"journalctl -u {unit}")
    yield from _unit_file(name, unit, state)


def _outside(name: str, component: str, process: Process) -> Iterator[Finding]:
    if not process.in_container:
        said = f"pid {process.pid} runs in no systemd unit: nobody starts it again"
        yield _found(Severity.WARNING, name, component, said, "write a unit for it, and enable that")


def _unit_file(name: str, unit: str, state: UnitState) -> Iterator[Finding]:
    if state.enabled not in {"enabled", "static", "generated", "transient"}:
        said = f"is {state.enabled or 'not enabled'}: it does not start when the host does"
        yield _found(Severity.WARNING, name, unit, said, f"systemctl enable {unit}")
    if state.needs_daemon_reload:
        said = "its unit file was changed, and systemd has not read it"
        remedy = f"systemctl daemon-reload && systemctl restart {unit}"
        yield _found(Severity.WARNING, name, unit, said, remedy)


def _last_words(host: HostAudit, component: Component) -> str:
    """Return the last error a component reported, after a semicolon; empty when it reported none."""
    errors = host.collected.journal.get(component.name)
    if errors is None:
        return ""
    many = "its only error" if errors.count == 1 else f"the last of {errors.count} errors"
    return f"; {many}, {errors.at:%H:%M:%S} UTC: {errors.last[:160]}"


def _health(name: str, host: HostAudit, component: Component, unwell: Unwell) -> Iterator[Finding]:
    """Yield a component that runs and says that it is not well."""
    said = unwell.said.get(component.name)
    if said and host.runs(component.name):
        suffering = unwell.suffering(component.name)
        young = just_started(host, component.name)
        evidence = f"is not well: {said[:160]}{young}{suffering}{_last_words(host, component)}"
        unit = host.collected.unit_of(component.name)
        yield _found(
            Severity.WARNING if young else Severity.ERROR, name, unit, evidence, f"journalctl -u {unit}"
        )


def _process(name: str, host: HostAudit, component: Component) -> Iterator[Finding]:
    process = host.collected.processes.get(component.name)
    if process is None:
        return
    unit = host.collected.unit_of(component.name)
    restart = f"systemctl restart {unit}"
    if process.executable.endswith(" (deleted)"):
        said = f"runs what {process.program} was before it was replaced"
        found = _found(Severity.WARNING, name, unit, said, restart)
        yield replace(found, follows=str(process.program))
    if (
        process.others and not component.reloads
    ):  # one that reloads leaves its old connections to an old process
        pids = ", ".join(map(str, process.others))
        said = f"runs more than once: as pid {process.pid}, and as {pids}"
        yield _found(Severity.ERROR, name, unit, said, f"stop what does not belong to {unit}.service")
    wanted = host.collected.started_with.get(unit, "")
    # A unit that is started by a shell, wraps its program or has variables in it cannot be compared word by word.
    comparable = wanted.startswith("/") and "$" not in wanted and wanted.split()[0] == process.arguments[0]
    if comparable and not component.reloads and " ".join(process.arguments) != wanted:
        said = _differing(wanted.split(), list(process.arguments))
        remedy = f"{restart}; and find out who started it otherwise"
        found = _found(Severity.ERROR, name, unit, f"runs with other arguments than its unit: {said}", remedy)
        yield replace(found, about=f"{component.name}'s arguments")
    yield from _stale(name, host, component, process)


def _differing(wanted: list[str], running: list[str]) -> str:
    more = [word for word in running if word not in wanted]
    less = [word for word in wanted if word not in running]
    return "; ".join(
        [*(f"with {word[:80]}" for word in more[:3]), *(f"without {word[:80]}" for word in less[:3])]
    )


def _stale(name: str, host: HostAudit, component: Component, process: Process) -> Iterator[Finding]:
    """Yield files that are younger than the process: its unit's, and those it was given by its flags."""
    unit = host.collected.unit_of(component.name)
    state = host.collected.units.get(unit)
    started = state.changed if state and component.reloads else state.started if state else None
    if started is None:
        return
    given = [
        value
        for flag, value in process.flags.items()
        if value.startswith("/")
        and "log" not in flag
        and flag not in READ_ANEW
        and process.flags.get(READ_ANEW_IF_ASKED.get(flag, "")) != "true"
        and not value.endswith(".pid")
    ]
    if component.name == "keepalived":
        given.append(host.collected.keepalived_file)
    for path in (*host.collected.unit_files.get(unit, ()), *given):
        file = host.collected.files.get(path)
        if file and not file.is_directory and file.modified > started + CLOCK_GRAIN:
            said = f"started before {path} was last changed"
            remedy = f"systemctl {'reload' if component.reloads else 'restart'} {unit}"
            yield replace(_found(Severity.WARNING, name, unit, said, remedy), follows=path)
