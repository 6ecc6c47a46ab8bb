"""Who is not well on a host, and which component only suffers from another one that is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.components import LEADER_ELECTED, components
from kubenorn.host_verification import HEALTH, host_checks, short

SUFFERS = "cannot work here"
FOLLOWERS = ("kube-apiserver", *LEADER_ELECTED)
"""Components that may need another one on their own host."""
STARTING = timedelta(seconds=15)
"""A kube-apiserver needs most of this on a slow machine."""
CLOCK_STEP = timedelta(seconds=2)
"""A start further in the future was noted by a clock that was set back since."""
MANY_RESTARTS = 5
"""So many restarts by systemd since it was started by hand are a crash loop, or were."""


@dataclass(frozen=True)
class Unwell:
    """Which components of a host are not well, and which of them because of another one there."""

    host: HostAudit
    said: Mapping[str, str]
    """By component: what its health says; empty for one that does not run."""
    address: str

    def cause(self, component: str) -> str | None:
        """Return the component on this host because of which another one suffers; None when it does not.

        One that was stopped on purpose would not be better with what it needs.
        """
        state = self.host.collected.units.get(self.host.collected.unit_of(component))
        stopped = state is not None and (state.active, state.result) == ("inactive", "success")
        needed = self._needed(component)
        if component not in self.said or stopped or needed not in self.said:
            return None
        return self.cause(needed) or needed

    def suffering(self, component: str) -> str:
        """Return who else on the host cannot work because of a component, as the end of a sentence."""
        others = [each for each in FOLLOWERS if self.cause(each) == component]
        return f"; without it {' and '.join(others)} {SUFFERS}" if others else ""

    def _needed(self, component: str) -> str:
        """Return the one component of this host that a component asks; empty where it asks others as well."""
        flags = self.host.collected.flags_of(component)
        if component == "kube-apiserver":
            return "etcd" if self._is_here(flags.get("etcd-servers", "").split(",")) else ""
        if component in LEADER_ELECTED:
            kubeconfig = self.host.collected.kubeconfigs.get(flags.get("kubeconfig", ""))
            return "kube-apiserver" if kubeconfig and self._is_here([kubeconfig.server]) else ""
        return ""

    def _is_here(self, urls: Sequence[str]) -> bool:
        here = {"127.0.0.1", "localhost", "::1", self.address}
        return all(urlsplit(url).hostname in here for url in urls)


def unwell_on(context: AuditContext, name: str) -> Unwell:
    """Return which components of a host do not run, or run and say that they are not well."""
    host = context.hosts[name]
    checks = [check for check in host_checks(context.cluster, host.evidence) if check.group == HEALTH]
    if "kubeconfig" in host.collected.lacks:
        checks = []
    found = {component.name: "" for component in components(context.cluster) if not host.runs(component.name)}
    for check in checks:
        component = check.name.removesuffix(" ready")
        if not check.ok:
            found.setdefault(component, check.detail)
    return Unwell(host, found, str(context.cluster.master(name).address))


def just_started(host: HostAudit, component: str) -> str:
    """Return that a component had no time yet to become ready, as the end of a sentence; empty when it had.

    One that systemd starts again and again has had its time.
    """
    state = host.collected.units.get(host.collected.unit_of(component))
    if state is None or state.started is None or not state.counts_restarts or state.restarts >= MANY_RESTARTS:
        return ""
    age = host.observed.clock - state.started
    return f"; it was started {short(age)} ago" if -CLOCK_STEP < age < STARTING else ""
