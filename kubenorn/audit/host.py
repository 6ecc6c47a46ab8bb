"""The hosts themselves: what will break what runs on them next."""

from collections.abc import Iterator
from statistics import median

from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.audit.finding import Finding, Group, Severity

CLOCK_WARNING_SECONDS, CLOCK_ERROR_SECONDS = 1.0, 30.0
"""Leases and certificates need clocks that agree."""
USED_WARNING, USED_ERROR = 90, 97
"""Percent of bytes or inodes."""


def hosts(context: AuditContext) -> Iterator[Finding]:
    """Yield what is wrong with the hosts themselves."""
    yield from _clocks(context)
    for name, host in context.hosts.items():
        yield from _disks(name, host)
        if host.collected.swap:
            said = f"swaps to {', '.join(host.collected.swap)}: etcd misses its heartbeats then"
            yield _found(Severity.WARNING, name, "swap", said, "swapoff -a, and out of /etc/fstab")
        if host.collected.reboot_pending:
            yield _found(Severity.INFO, name, "reboot", "waits for a reboot", "one host after the other")
    systems = {f"{host.observed.system}, kernel {host.observed.kernel}" for host in context.hosts.values()}
    if len(systems) > 1:
        said = f"the masters differ: {'; '.join(sorted(systems))}"
        yield _found(Severity.INFO, "", "system", said, "bring them to the same versions")


def silent(context: AuditContext) -> Iterator[Finding]:
    """Yield the hosts that gave no answer: whatever is looked for, it was not looked for there."""
    for name, reason in context.missing.items():
        yield _found(Severity.CRITICAL, name, "host", f"gave no answer: {reason}", "bring it back")


def _clocks(context: AuditContext) -> Iterator[Finding]:
    """Yield hosts whose clock differs from this machine's, or this machine where it is all of them."""
    skews = {name: host.clock_skew.total_seconds() for name, host in context.hosts.items()}
    if not skews:
        return
    usual = median(skews.values())
    spread = max(skews.values()) - min(skews.values())
    if len(skews) > 1 and abs(usual) > CLOCK_WARNING_SECONDS and spread <= CLOCK_WARNING_SECONDS:
        said = f"all hosts agree, and are {_apart(usual)} this machine's clock"
        remedy = "set this machine's clock right; or all of theirs, if they ask the wrong server"
        yield _found(Severity.WARNING, "", "clock", said, remedy)
        return
    for name, skew in skews.items():
        if abs(skew) > CLOCK_WARNING_SECONDS:
            severity = Severity.ERROR if abs(skew) > CLOCK_ERROR_SECONDS else Severity.WARNING
            said = f"its clock is {_apart(skew)} this machine's"
            yield _found(severity, name, "clock", said, "set it right (NTP)")


def _apart(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"


def _disks(name: str, host: HostAudit) -> Iterator[Finding]:
    for mount, usage in host.collected.file_systems.items():
        for what, percent in (("bytes", usage.bytes_percent), ("inodes", usage.inodes_percent)):
            if percent >= USED_WARNING:
                severity = Severity.ERROR if percent >= USED_ERROR else Severity.WARNING
                said = f"{percent} % of its {what} are used"
                yield _found(severity, name, mount, said, "make room: etcd stops when it cannot write")


def _found(severity: Severity, host: str, subject: str, evidence: str, remedy: str) -> Finding:
    return Finding(severity, Group.HOST, host, subject, evidence, remedy)
