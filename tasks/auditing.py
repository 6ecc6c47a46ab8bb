"""An audit of all selected clusters from the hosts' answers to the reports; `runbooks/audit.py` puts it in order."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from rich.console import Console

from kubenorn.audit.audit import Audit, audit
from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.audit.finding import Group
from kubenorn.audit.tables import audit_tables
from kubenorn.cluster import Cluster
from kubenorn.console import phase
from kubenorn.errors import InputWrongError
from kubenorn.files import write_atomically
from kubenorn.plan import HostPlan
from kubenorn.verification import verify
from tasks.audit_host import audit_host
from tasks.drift import drift_of, has_artifacts
from tasks.fleet_run import Outcome, run_on_hosts, sentence
from tasks.session import Session


@dataclass
class Auditing:
    """One audit: what the hosts said, and what was found."""

    session: Session
    groups: frozenset[Group]
    at: datetime
    verbose: bool = False
    audits: list[Audit] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    _contexts: list[AuditContext] = field(default_factory=list)
    _salt: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    _outcome: Outcome[HostAudit] = field(default_factory=lambda: Outcome({}, {}))

    def collect(self) -> None:
        """Ask every selected host once, all at the same time."""
        hosts = self.session.hosts
        with phase("Collect", total=len(hosts)) as shown:
            speakers = frozenset(self._selected(cluster)[0] for cluster in self.session.clusters)
            self._outcome = self._ask(hosts, speakers, on_host_done=lambda _: shown.advance())
            self._ask_instead_of_silent_speakers()
            shown.remark = f"{len(self._outcome.results)} of {len(hosts)} hosts answered"

    def _ask(
        self,
        hosts: Sequence[str],
        speakers: frozenset[str],
        on_host_done: Callable[[str], None] | None = None,
    ) -> Outcome[HostAudit]:
        return run_on_hosts(
            self.session.nornir,
            audit_host,
            hosts,
            on_host_done=on_host_done,
            verbose=self.verbose,
            fleet=self.session.fleet,
            speakers=speakers,
            compared=self._compared(),
            salt=self._salt,
        )

    def _ask_instead_of_silent_speakers(self) -> None:
        """Of a cluster whose first host is silent ask another for etcd's members, alarms and Secrets."""
        others = []
        for cluster in self.session.clusters:
            speaker, *rest = self._selected(cluster)
            if speaker in self._outcome.failures:
                others += [host for host in rest if host in self._outcome.results][:1]
        if others:
            self._outcome.results.update(self._ask(others, frozenset(others)).results)

    def judge(self, baseline: Path | None) -> None:
        """Judge what the hosts said; with a `baseline` keep only what is new since then."""
        known = _known(baseline) if baseline else set()
        for cluster in self.session.clusters:
            context = self._context(cluster)
            found = audit(context, self.groups)
            new = tuple(each for each in found.findings if (cluster.name, each.key) not in known)
            self._contexts.append(context)
            self.audits.append(replace(found, findings=new))

    def _compared(self) -> frozenset[str]:
        """Return the clusters that are held against what deploy would write: those whose artifacts are here."""
        if Group.DRIFT not in self.groups:
            return frozenset()
        names = (cluster.name for cluster in self.session.clusters)
        return frozenset(name for name in names if has_artifacts(self.session.artifacts / name))

    def _selected(self, cluster: Cluster) -> list[str]:
        return [master.name for master in cluster.masters if master.name in self.session.hosts]

    def _context(self, cluster: Cluster) -> AuditContext:
        mine = self._selected(cluster)
        hosts = {name: self._outcome.results[name] for name in mine if name in self._outcome.results}
        missing = {
            name: sentence(self._outcome.failures[name]) for name in mine if name in self._outcome.failures
        }
        evidence = {name: host.evidence for name, host in hosts.items()}
        return AuditContext(
            cluster=cluster,
            hosts=hosts,
            missing=missing,
            verification=verify(cluster, evidence, missing),
            plans=self._plans(cluster, hosts) if Group.DRIFT in self.groups else {},
            now=self.at,
        )

    def _plans(self, cluster: Cluster, hosts: dict[str, HostAudit]) -> Mapping[str, HostPlan]:
        """Return what deploy would change; nothing, with a notice, where the artifacts are not on this machine."""
        drift = drift_of(cluster, self.session.artifacts / cluster.name, hosts)
        self.notices += drift.notices
        return drift.plans

    def show(self, console: Console, *, verbose: bool) -> None:
        """Print what was found."""
        for each in self.audits:
            console.print(audit_tables(each, infos=verbose))
        for notice in self.notices:
            console.print(f"– {notice}", style="dim", markup=False)

    def write(
        self,
        json_file: Path | None,
        junit_file: Path | None,
        html_file: Path | None,
        prom_file: Path | None,
    ) -> None:
        """Write the same for other programs, and as a page, where asked for."""
        if not any((json_file, junit_file, html_file, prom_file)):
            return
        # Loading what writes them takes 40 ms, which most audits can do without.
        from kubenorn.audit.report import (  # noqa: PLC0415  # see above
            audit_html,
            audit_json,
            audit_junit,
            audit_prometheus,
        )
        from kubenorn.junit import write_junit  # noqa: PLC0415  # see above
        from kubenorn.report import write_json  # noqa: PLC0415  # see above

        if html_file:
            write_atomically(html_file, audit_html(self.audits, self.at).encode(), mode=0o644)
        write_json(json_file, audit_json(self.audits, self.at))
        write_junit(junit_file, audit_junit(self.audits))
        if prom_file:
            write_atomically(prom_file, audit_prometheus(self.audits, self._contexts), mode=0o644)


def _known(baseline: Path) -> set[tuple[str, str]]:
    from kubenorn.audit.report import known_keys  # noqa: PLC0415  # as in Auditing.write

    try:
        return known_keys(json.loads(baseline.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputWrongError(f"--baseline {baseline}: cannot be read ({error.strerror}).") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputWrongError(f"--baseline {baseline}: is no --json of an audit.") from error
