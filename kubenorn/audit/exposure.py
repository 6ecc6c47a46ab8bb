"""Exposure: what is open to those who are not the administrator.

CIS numbers are those of the CIS Kubernetes Benchmark for 1.20 (v1.0.0); see `kubenorn.audit.benchmark` for flags.
"""

from collections.abc import Iterator

from kubenorn.audit.benchmark import recommendations
from kubenorn.audit.collected import FileSeen
from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.audit.finding import Finding, Group, Severity

READABLE_BY_OTHERS, WRITABLE_BY_OTHERS = 0o077, 0o022
ENCRYPTED = b"k8s:enc:"
"""How a value begins that kube-apiserver encrypted (k8s.io/apiserver, storage/value)."""
SECRET_FLAGS = (
    ("kube-apiserver", "encryption-provider-config"),
    ("kube-apiserver", "experimental-encryption-provider-config"),
    ("kube-apiserver", "token-auth-file"),
    ("kube-apiserver", "basic-auth-file"),
)
"""Flags whose files hold secrets that are neither a key nor a kubeconfig."""


def exposure(context: AuditContext) -> Iterator[Finding]:
    """Yield what whoever is not the administrator can read or do."""
    for name, host in context.hosts.items():
        yield from _modes(name, host)
        if host.collected.default_credentials:
            said = "haproxy's statistics have the guides' user and password"
            remedy = "set haproxy.statistics, or remove the statistics"
            yield _found(Severity.ERROR, name, host.collected.default_credentials, said, remedy)
        yield from _flags(name, host)
        yield from _one_authority(name, host)
    for host in context.hosts.values():
        clear = [secret.key for secret in host.evidence.secrets if not secret.beginning.startswith(ENCRYPTED)]
        if clear:
            count = len(host.evidence.secrets)
            said = f"{len(clear)} of {count} are not encrypted, such as {clear[0]} (CIS 1.2.33)"
            remedy = (
                "write them anew once encryption is on: kubectl get secrets -A -o json | kubectl replace -f -"
            )
            yield _found(Severity.ERROR, "", "Secrets in etcd", said, remedy)


def _found(severity: Severity, host: str, subject: str, evidence: str, remedy: str) -> Finding:
    return Finding(severity, Group.EXPOSURE, host, subject, evidence, remedy)


def _modes(name: str, host: HostAudit) -> Iterator[Finding]:
    """Yield files and folders that others may read or change."""
    seen = host.collected
    secret = dict.fromkeys(seen.public_halves, "1.1.21")
    secret |= {seen.flag(component, flag): "1.2.33" for component, flag in SECRET_FLAGS}
    secret |= {path: _kubeconfig_number(path) for path in seen.kubeconfigs}
    secret[seen.flag("etcd", "data-dir")] = "1.1.11"
    open_to_read = dict.fromkeys(seen.certificates, "1.1.20")
    for unit, number in (
        ("kube-apiserver", "1.1.1"),
        ("kube-controller-manager", "1.1.3"),
        ("kube-scheduler", "1.1.5"),
        ("etcd", "1.1.7"),
    ):
        open_to_read |= dict.fromkeys(seen.unit_files.get(seen.unit_of(unit), ()), number)
    for path, file in seen.files.items():
        if path in secret and file.mode & READABLE_BY_OTHERS:
            said = f"has mode {file.mode:04o}: others than {file.owner} can read it (CIS {secret[path]})"
            remedy = f"chmod {'0700' if file.is_directory else '0600'} {path}"
            yield _found(Severity.ERROR, name, path, said, remedy)
        elif path in open_to_read and file.mode & WRITABLE_BY_OTHERS:
            said = f"has mode {file.mode:04o}: others can change it (CIS {open_to_read[path]})"
            yield _found(Severity.ERROR, name, path, said, f"chmod go-w {path}")
        if path in {*secret, *open_to_read}:
            yield from _owner(name, path, file)


def _kubeconfig_number(path: str) -> str:
    for word, number in (("scheduler", "1.1.15"), ("controller-manager", "1.1.17")):
        if word in path:
            return number
    return "1.1.13"


def _owner(name: str, path: str, file: FileSeen) -> Iterator[Finding]:
    """Yield what belongs to somebody who is neither root nor a component's own user."""
    if file.owner not in {"root", "etcd", "kube", "kubernetes", "k8s", "kube-apiserver"}:
        said = f"belongs to {file.owner}, who can read and change it (CIS 1.1.19)"
        yield _found(Severity.WARNING, name, path, said, f"chown root: {path}")


def _flags(name: str, host: HostAudit) -> Iterator[Finding]:
    for each in recommendations():
        process = host.collected.processes.get(each.component)
        if process and "config-file" not in process.flags and each.is_broken(process.flags):
            subject = f"{each.component} --{each.flag}"
            yield _found(each.severity, name, subject, f"{each.said} (CIS {each.number})", each.remedy)


def _one_authority(name: str, host: HostAudit) -> Iterator[Finding]:
    """Yield an etcd that trusts whoever the API trusts: any user's certificate opens it."""
    files = host.collected.files
    clients = files.get(host.collected.flag("kube-apiserver", "client-ca-file"))
    members = files.get(host.collected.flag("etcd", "trusted-ca-file"))
    if clients and members and clients.sha256 == members.sha256:
        said = "etcd trusts every certificate that kube-apiserver does (CIS 2.7)"
        yield _found(Severity.WARNING, name, "etcd --trusted-ca-file", said, "give etcd a CA of its own")
