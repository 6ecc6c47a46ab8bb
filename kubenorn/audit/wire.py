"""Certificates on the wire: is what is served what lies on the disk, and from one of the masters?"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from kubenorn.audit.certificates import judged
from kubenorn.audit.collected import load_certificates
from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.audit.finding import Finding, Group, Severity

SERVED_FROM = {
    "kube-apiserver": ("kube-apiserver", "tls-cert-file"),
    "kube-controller-manager": ("kube-controller-manager", "tls-cert-file"),
    "kube-scheduler": ("kube-scheduler", "tls-cert-file"),
    "etcd": ("etcd", "cert-file"),
    "etcd-peer": ("etcd", "peer-cert-file"),
}
"""By endpoint: the component that serves it, and the flag with the file of its certificate."""
LOOPBACK = "kube-apiserver-loopback"
"""kube-apiserver's own client asks it under this name; the certificate lives in memory (Kubernetes issue 86552)."""
THROUGH_THE_VIP = "through-the-vip"


def wire(context: AuditContext) -> Iterator[Finding]:
    """Yield what is wrong with the certificates that are served."""
    for name, host in context.hosts.items():
        yield from _served(name, host, context.now)
    yield from _through_the_vip(context)


def _served(name: str, host: HostAudit, now: datetime) -> Iterator[Finding]:
    """Yield what is served otherwise than it stands on the disk, and what is served and about to end."""
    for endpoint, pem in host.collected.served.items():
        on_wire = load_certificates(pem)
        if not on_wire:
            continue
        component, flag = SERVED_FROM.get(endpoint, ("", ""))
        unit = host.collected.unit_of(component)
        path = host.collected.flag(component, flag)
        on_disk = load_certificates(host.collected.certificates.get(path, b""))
        if on_disk and on_disk[0] != on_wire[0]:
            said = f"serves another certificate than {path} now holds"
            yield replace(_found(Severity.ERROR, name, unit, said, f"systemctl restart {unit}"), about=path)
        if component and not on_disk:  # made by itself, or from where nobody can read it
            for finding in judged(name, unit, pem, now):
                said = f"serves a certificate that {finding.evidence}"
                yield _found(finding.severity, name, unit, said, f"systemctl restart {unit}")
        if endpoint == LOOPBACK:
            unit = host.collected.unit_of("kube-apiserver")
            for finding in judged(name, unit, pem, now):
                said = f"its in-memory loopback certificate {finding.evidence}"
                yield _found(finding.severity, name, unit, said, f"systemctl restart {unit}")


def _through_the_vip(context: AuditContext) -> Iterator[Finding]:
    """Yield hosts that meet a certificate at the VIP which no master's kube-apiserver serves."""
    served = {name: host.collected.served for name, host in context.hosts.items()}
    own = {
        each for pems in served.values() for each in load_certificates(pems.get("kube-apiserver", b""))[:1]
    }
    told = context.complete and all("kube-apiserver" in pems for pems in served.values())
    for name, pems in served.items():
        (*met,) = load_certificates(pems.get(THROUGH_THE_VIP, b""))[:1]
        if met and told and met[0] not in own:
            subject = met[0].subject.rfc4514_string()
            said = f"is met with the certificate {subject}, which no master's kube-apiserver serves"
            yield _found(
                Severity.ERROR, name, "VIP", said, "find out who has the address, and where haproxy leads"
            )


def _found(severity: Severity, host: str, subject: str, evidence: str, remedy: str) -> Finding:
    return Finding(severity, Group.CERTIFICATES, host, subject, evidence, remedy)
