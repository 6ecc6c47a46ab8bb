"""Ports: does the right process listen, where others reach it, and nothing without TLS?"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.audit.suffering import just_started, unwell_on
from kubenorn.components import LEADER_ELECTED, Component, Listener, components
from kubenorn.records import ListeningSocket, is_process

INSECURE_PORTS = {8080: "kube-apiserver", 10251: "kube-scheduler", 10252: "kube-controller-manager"}
"""Kubernetes' ports without TLS and without a question who asks; gone since 1.24."""
LOOPBACK = ("127.", "::1")


def ports(context: AuditContext) -> Iterator[Finding]:
    """Yield ports that nobody or somebody else holds, and open ones without TLS."""
    for name, host in context.hosts.items():
        unwell = unwell_on(context, name)
        for component in components(context.cluster):
            # netstat looked before it listened, and it answered a moment later
            answers = bool(component.health_url) and component.name not in unwell.said
            for wanted in expected_listeners(component, host):
                yield from _port(name, host, component, wanted, answers=answers)
        yield from _insecure(name, host)
        yield from _etcd_without_tls(name, host)


def expected_listeners(component: Component, host: HostAudit) -> list[Listener]:
    """Return the ports a component should hold: by the flags it runs with, else by the cluster's settings."""
    process = host.collected.processes.get(component.name)
    flags = process.flags if process else {}
    if component.name == "etcd":
        urls = ",".join(flags.get(f"listen-{kind}-urls", "") for kind in ("client", "peer"))
        found = sorted({port for url in urls.split(",") if (port := urlsplit(url).port)})
        return [Listener(port, "etcd") for port in found] or list(component.listeners)
    given = flags.get("secure-port", "")
    if given.isdigit() and int(given):
        return [Listener(int(given), component.name)]
    return list(component.listeners)


def _port(
    name: str, host: HostAudit, component: Component, wanted: Listener, *, answers: bool
) -> Iterator[Finding]:
    """Yield what is wrong with one port of a component that `answers` when it is asked how it is, or does not."""
    held = [socket for socket in host.observed.listeners if socket.port == wanted.port]
    others = [socket for socket in held if not _is_of(socket, wanted, host, component)]
    subject = f"port {wanted.port}"
    if others:
        said = f"is held by {others[0].process or 'an unknown process'}, not {wanted.process}"
        yield _found(Severity.ERROR, name, subject, said, f"stop pid {others[0].pid or '?'}")
    elif not held and host.runs(component.name):
        young = just_started(host, component.name)
        if young and answers:
            return
        said, severity = f"{component.name} runs, and does not listen{young}", Severity.ERROR
        if young:
            severity = Severity.WARNING
        yield _found(severity, name, subject, said, f"journalctl -u {component.name}")
    elif component.name not in LEADER_ELECTED and held and all(_is_local(socket) for socket in held):
        said = f"{component.name} listens on {held[0].address} alone: no other host reaches it"
        yield _found(Severity.ERROR, name, subject, said, "let it listen on the host's address")


def _is_of(socket: ListeningSocket, wanted: Listener, host: HostAudit, component: Component) -> bool:
    process = host.collected.processes.get(component.name)
    return is_process(socket, wanted.process) or (process is not None and socket.pid == process.pid)


def _is_local(socket: ListeningSocket) -> bool:
    return socket.address.startswith(LOOPBACK)


def _insecure(name: str, host: HostAudit) -> Iterator[Finding]:
    for socket in host.observed.listeners:
        component = INSECURE_PORTS.get(socket.port)
        if component:
            who, where = socket.process or "an unknown process", f"{socket.address}:{socket.port}"
            said = f"{who} listens on {where}, {component}'s port without TLS"
            remedy = "close it: whoever reaches it may do anything"
            yield _found(Severity.ERROR, name, f"port {socket.port}", said, remedy)


def _etcd_without_tls(name: str, host: HostAudit) -> Iterator[Finding]:
    for flag in ("listen-client-urls", "listen-peer-urls"):
        for url in host.collected.flag("etcd", flag).split(","):
            if url.startswith("http://"):
                local = urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}
                severity = Severity.WARNING if local else Severity.CRITICAL
                remedy = f"give etcd certificates and an https:// URL in --{flag}"
                yield _found(severity, name, url, "etcd answers without TLS", remedy)


def _found(severity: Severity, host: str, subject: str, evidence: str, remedy: str) -> Finding:
    return Finding(severity, Group.PORTS, host, subject, evidence, remedy)
