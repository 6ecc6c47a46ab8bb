"""Certificates: on disk, in kubeconfigs and on the wire. Who is trusted, for how long, and does it fit together?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from kubenorn.audit.collected import KubeconfigSeen, load_certificates, public_half
from kubenorn.audit.context import AuditContext, HostAudit
from kubenorn.audit.finding import Finding, Group, Severity
from kubenorn.layout import Layout
from kubenorn.pki.certificate import is_issued_by

DAYS_UNTIL = {Severity.CRITICAL: 0, Severity.ERROR: 7, Severity.WARNING: 30}
WEAK_RSA_BITS, WEAK_CURVE_BITS = 2048, 256
WEAK_HASHES = frozenset({"md5", "sha1"})
RENEW = "reissue it: runbooks/deploy.py does where the certificate is its own"
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
USED_AS = {
    ("kube-apiserver", "tls-cert-file"): (SERVER,),
    ("kube-apiserver", "etcd-certfile"): (CLIENT,),
    ("kube-apiserver", "kubelet-client-certificate"): (CLIENT,),
    ("kube-apiserver", "proxy-client-cert-file"): (CLIENT,),
    ("kube-controller-manager", "tls-cert-file"): (SERVER,),
    ("kube-scheduler", "tls-cert-file"): (SERVER,),
    ("etcd", "cert-file"): (SERVER,),
    ("etcd", "peer-cert-file"): (SERVER, CLIENT),
}
"""What the certificate in a component's flag must be allowed to be used for (RFC 5280, 4.2.1.12)."""
KEY_BESIDE = {
    "tls-cert-file": "tls-private-key-file",
    "etcd-certfile": "etcd-keyfile",
    "kubelet-client-certificate": "kubelet-client-key",
    "proxy-client-cert-file": "proxy-client-key-file",
    "cert-file": "key-file",
    "peer-cert-file": "peer-key-file",
    "cluster-signing-cert-file": "cluster-signing-key-file",
}
"""By the flag of a certificate: the flag of its key."""


def certificates(context: AuditContext) -> Iterator[Finding]:
    """Yield what is wrong with certificates and keys."""
    authorities = _authorities(context)
    for name, host in context.hosts.items():
        for path, pem in host.collected.certificates.items():
            yield from judged(name, path, pem, context.now)
            yield from _chain(name, path, pem, authorities)
        yield from _pairs(name, host)
        yield from _usages(name, host)
        yield from _kubeconfigs(context, name, host)
        yield from _names(context, name, host)
        if not host.collected.has_openssl:
            said = "openssl is missing, so rare kinds of keys, and what is served, were not looked at"
            yield _found(Severity.INFO, name, "openssl", said, "install openssl there")


def _found(severity: Severity, host: str, subject: str, evidence: str, remedy: str = RENEW) -> Finding:
    return Finding(severity, Group.CERTIFICATES, host, subject, evidence, remedy)


def judged(host: str, subject: str, pem: bytes, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with the certificates in `pem` by themselves: lifetimes, weak keys and signatures."""
    loaded = load_certificates(pem)
    if not loaded:
        yield _found(Severity.ERROR, host, subject, "is no certificate that can be read")
    for certificate in loaded:
        left = certificate.not_valid_after_utc - now
        severity = next((s for s, days in DAYS_UNTIL.items() if left.days < days), None)
        if severity is not None:
            when = f"ends in {left.days} days" if left.days >= 0 else f"ended {-left.days} days ago"
            yield _found(severity, host, subject, f"{when}, {certificate.not_valid_after_utc:%Y-%m-%d}")
        if certificate.not_valid_before_utc > now:
            said = f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            yield _found(Severity.ERROR, host, subject, said, "look at the clocks")
        weak = _weakness(certificate)
        if weak:
            yield _found(Severity.WARNING, host, subject, weak)


def _weakness(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < WEAK_RSA_BITS:
        return f"has an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < WEAK_CURVE_BITS:
        return f"has an elliptic curve key of {key.key_size} bits"
    used = certificate.signature_hash_algorithm
    return f"is signed with {used.name}" if used and used.name in WEAK_HASHES else ""


def _authorities(context: AuditContext) -> list[x509.Certificate]:
    """Return every different CA that lies on a host or in a kubeconfig."""
    found = {
        certificate
        for host in context.hosts.values()
        for pem in (
            *host.collected.certificates.values(),
            *(seen.authority for seen in host.collected.kubeconfigs.values()),
        )
        for certificate in load_certificates(pem)
        if _is_authority(certificate)
    }
    return list(found)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.subject == certificate.issuer


def _chain(host: str, path: str, pem: bytes, authorities: list[x509.Certificate]) -> Iterator[Finding]:
    """Yield a certificate that none of the CAs on the hosts has signed; a CA may come from elsewhere."""
    for certificate in load_certificates(pem)[:1]:
        issuers = [each for each in authorities if each.subject == certificate.issuer]
        if not _is_authority(certificate) and not any(is_issued_by(certificate, each) for each in issuers):
            issuer = certificate.issuer.rfc4514_string()
            said = (
                f"is not signed by {issuer} as it stands here"
                if issuers
                else f"is signed by {issuer}, which is on no host"
            )
            yield _found(Severity.ERROR, host, path, said)


def _pairs(name: str, host: HostAudit) -> Iterator[Finding]:
    """Yield keys that do not belong to their certificate, by the flags and by what lies beside each other."""
    seen = host.collected
    pairs = {
        (process.flags[key], process.flags[certificate])
        for process in seen.processes.values()
        for certificate, key in KEY_BESIDE.items()
        if key in process.flags and certificate in process.flags
    }
    pairs |= {
        (kubeconfig.key_file, kubeconfig.certificate_file)
        for kubeconfig in seen.kubeconfigs.values()
        if kubeconfig.key_file and kubeconfig.certificate_file
    }
    for key_path in seen.public_halves:
        stem = key_path.removesuffix("-key.pem")
        beside = f"{stem}.pem" if stem != key_path else f"{key_path.removesuffix('.key')}.crt"
        pairs.add((key_path, beside))
    for key_path, certificate_path in sorted(pairs):
        public = seen.public_halves.get(key_path)
        found = load_certificates(seen.certificates.get(certificate_path, b""))
        if public and found and public_half(found[0].public_key()) != public:
            found_wrong = _found(Severity.ERROR, name, key_path, f"is not the key of {certificate_path}")
            yield replace(found_wrong, differs=True)


def _usages(name: str, host: HostAudit) -> Iterator[Finding]:
    """Yield certificates that may not be used for what a flag uses them for; one that does not say may be."""
    for (component, flag), needed in USED_AS.items():
        path = host.collected.flag(component, flag)
        for certificate in load_certificates(host.collected.certificates.get(path, b""))[:1]:
            try:
                usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            except x509.ExtensionNotFound:
                continue
            allowed = {*usage}
            if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in allowed:
                continue
            lacking = ["servers" if each == SERVER else "clients" for each in needed if each not in allowed]
            if lacking:
                said = f"{component} --{flag} has it, and it is not for {' and '.join(lacking)}"
                yield _found(Severity.ERROR, name, path, said)


def _kubeconfigs(context: AuditContext, name: str, host: HostAudit) -> Iterator[Finding]:
    authority = _authority(context, host)
    for path, seen in host.collected.kubeconfigs.items():
        trusted = load_certificates(_data_or_file(host, seen.authority, seen.authority_file))
        if authority and trusted and authority not in trusted:
            yield replace(
                _found(Severity.ERROR, name, path, "trusts another CA than the cluster's"), differs=True
            )
        for certificate in load_certificates(_data_or_file(host, seen.certificate, seen.certificate_file)):
            if authority and not is_issued_by(certificate, authority):
                said = "its certificate is signed by another CA"
                yield replace(_found(Severity.ERROR, name, path, said), differs=True)
            public = host.collected.public_halves.get(path)
            if public and public_half(certificate.public_key()) != public:
                said = "its key is not that of its certificate"
                yield replace(_found(Severity.ERROR, name, path, said), differs=True)
        if seen.certificate:
            yield from judged(name, path, seen.certificate, context.now)
        yield from _server(context, name, path, seen)


def _data_or_file(host: HostAudit, data: bytes, path: str) -> bytes:
    return data or host.collected.certificates.get(path, b"")


def _server(context: AuditContext, name: str, path: str, seen: KubeconfigSeen) -> Iterator[Finding]:
    if seen.server.startswith("http://"):
        said = f"asks {seen.server}, without TLS"
        yield _found(Severity.WARNING, name, path, said, f"let it ask {context.cluster.settings.endpoint}")


def _authority(context: AuditContext, host: HostAudit) -> x509.Certificate | None:
    """Return the CA that the host's kube-apiserver trusts clients by."""
    own = str(Layout(context.cluster).certificate("ca"))
    path = host.collected.flag("kube-apiserver", "client-ca-file") or own
    found = load_certificates(host.collected.certificates.get(path, b""))
    return found[0] if found else None


def _names(context: AuditContext, name: str, host: HostAudit) -> Iterator[Finding]:
    """Yield names that clients use and that a serving certificate does not have."""
    own = str(context.cluster.master(name).address)
    for component, flag, wanted in (
        ("kube-apiserver", "tls-cert-file", wanted_names(context)),
        ("etcd", "cert-file", _advertised(host, "advertise-client-urls")),
        ("etcd", "peer-cert-file", _advertised(host, "initial-advertise-peer-urls")),
    ):
        path = host.collected.flag(component, flag)
        found = load_certificates(host.collected.certificates.get(path, b""))
        held = _alternative_names(found[0]) if found else set()
        missing = [each for each in wanted if each not in held]
        if found and missing:
            # Another master's address is asked for by those alone who go round the VIP; kubeadm leaves it out.
            masters = {str(master.address) for master in context.cluster.masters} - {own}
            severity = Severity.WARNING if set(missing) <= masters else Severity.ERROR
            yield _found(severity, name, path, f"is not for {', '.join(missing)}")


def _advertised(host: HostAudit, flag: str) -> list[str]:
    """Return the names and addresses under which etcd tells others to reach it."""
    urls = host.collected.flag("etcd", flag).split(",")
    return [name for url in urls if (name := urlsplit(url).hostname)]


def wanted_names(context: AuditContext) -> list[str]:
    """Return what kube-apiserver is reached by: the VIP, every master, the service's address."""
    settings = context.cluster.settings
    masters = [str(master.address) for master in context.cluster.masters]
    return [str(settings.vip), *masters, str(settings.service_address), "kubernetes.default.svc"]


def _alternative_names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(each) for kind in (x509.DNSName, x509.IPAddress) for each in names.get_values_for_type(kind)}


def days_left(hosts: Mapping[str, HostAudit], now: datetime) -> dict[tuple[str, str], float]:
    """Return the days that are left of every certificate, by host and path or, as `served:`, by endpoint."""
    return {
        (name, path): (certificate.not_valid_after_utc - now).total_seconds() / 86400
        for name, host in hosts.items()
        for path, pem in [
            *host.collected.certificates.items(),
            *(
                (path, seen.certificate)
                for path, seen in host.collected.kubeconfigs.items()
                if seen.certificate
            ),
            *((f"served:{endpoint}", pem) for endpoint, pem in host.collected.served.items()),
        ]
        for certificate in load_certificates(pem)[:1]
    }
