"""Runs every check and puts what was found in order."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from kubenorn.audit.certificates import certificates
from kubenorn.audit.context import AuditContext
from kubenorn.audit.exposure import exposure
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.audit.fleet import drift, equality
from kubenorn.audit.host import hosts, silent
from kubenorn.audit.members import etcd, leaders
from kubenorn.audit.ports import ports
from kubenorn.audit.services import services
from kubenorn.audit.suffering import SUFFERS
from kubenorn.audit.vip import vip
from kubenorn.audit.wire import wire

Check = Callable[[AuditContext], Iterator[Finding]]

CHECKS: Final[dict[Group, Check]] = {
    Group.SERVICES: services,
    Group.PORTS: ports,
    Group.CERTIFICATES: lambda context: chain(certificates(context), wire(context)),
    Group.VIP: vip,
    Group.LEADERS: leaders,
    Group.ETCD: etcd,
    Group.EQUALITY: equality,
    Group.DRIFT: drift,
    Group.EXPOSURE: exposure,
    Group.HOST: hosts,
}


@dataclass(frozen=True)
class Audit:
    """What was found in one cluster, the worst first."""

    cluster: str
    hosts: tuple[str, ...]
    groups: tuple[Group, ...]
    findings: tuple[Finding, ...]
    silent: tuple[str, ...] = ()
    """Hosts that gave no answer: nothing is known of them."""

    @property
    def serious(self) -> list[Finding]:
        """The findings above info."""
        return [finding for finding in self.findings if finding.severity > Severity.INFO]

    @property
    def merged(self) -> list[tuple[tuple[str, ...], Finding]]:
        """The findings in their order, each once with all hosts it is about; no host: the cluster as a whole."""
        hosts: dict[Finding, list[str]] = {}
        for finding in self.findings:
            hosts.setdefault(replace(finding, host=""), []).append(finding.host)
        return [(tuple(filter(None, names)), finding) for finding, names in hosts.items()]

    def count(self, host: str, group: Group) -> int:
        """Return how many findings above info a host (empty: the cluster as a whole) has in a group."""
        return sum(finding.host == host and finding.group is group for finding in self.serious)

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding; None without one."""
        return max((finding.severity for finding in self.findings), default=None)


def audit(context: AuditContext, groups: Collection[Group]) -> Audit:
    """Return what the checks of `groups` found. The same thing is told once: drift gives way to what says more."""
    found = list(silent(context))
    for group, check in CHECKS.items():
        if group in groups:
            found += check(context)
    found = list(dict.fromkeys(found))
    kept = [each for each in found if not any(_says_it(other, each) for other in found if other is not each)]
    order = list(CHECKS)
    names = [*context.hosts, *context.missing]
    kept.sort(key=lambda each: (-each.severity, order.index(each.group), each.subject, each.host))
    checked = tuple(group for group in CHECKS if group in groups)
    return Audit(context.cluster.name, tuple(names), checked, tuple(kept), tuple(context.missing))


def _is_graver_certificate(other: Finding, one: Finding) -> bool:
    """Whether `other` is about a certificate that deploy would issue anew, which is why the file would change."""
    return other.group is Group.CERTIFICATES and other.severity > one.severity


def _says_it(other: Finding, one: Finding) -> bool:
    """Whether `other` is on the same host, no less grave, and says what `one` says, or what that follows from."""
    if other.host != one.host or other.severity < one.severity:
        return False
    about = {other.subject, other.about} - {""}
    # What deploy would put right is told better by what is wrong with it.
    of_drift = one.group is Group.DRIFT and other.group is not Group.DRIFT
    if (
        of_drift
        and one.subject in about
        and (other.differs or not one.differs or _is_graver_certificate(other, one))
    ):
        return True
    if SUFFERS in other.evidence and (of_drift or one.group is Group.PORTS):
        component = one.subject if of_drift else one.evidence.partition(" ")[0]
        if component in other.evidence.split():
            return True
    if one.follows and other.differs and not other.follows:
        return any(path == one.follows or path.endswith(f"/{one.follows}") for path in about)
    # A flag differs from the other masters' because its process was started with other arguments than its unit.
    component, _, flag = one.subject.partition(" ")
    if one.group is Group.EQUALITY and flag.startswith("--") and other.about == f"{component}'s arguments":
        words = other.evidence.split()
        return any(word.rstrip(";") == flag or word.startswith(f"{flag}=") for word in words)
    return False
