"""Certificates of components: what one should be, and issuing it. `kubenorn.pki.reissue` judges old ones."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubenorn.errors import InputWrongError
from kubenorn.pki.authority import CLOCK_SKEW, Authority, key_usage
from kubenorn.pki.keys import KeyType, PrivateKey
from kubenorn.pki.names import canonical_addresses, canonical_dns_names

_COMMON_NAME_LIMIT = 64  # ub-common-name and ub-organization-name, RFC 5280 appendix A.1


class Usage(StrEnum):
    """What a certificate is for; the value is how people read it in a reason."""

    SERVER = "server"
    CLIENT = "client"


EXTENDED_USAGE = {
    Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
}


@dataclass(frozen=True)
class CertificateSpec:
    """What one certificate should be. `name` is also its file's name, `authority` that of its CA.

    Names and addresses are kept checked, sorted and without duplicates, so that two specs that mean the
    same are equal. Raises InputWrongError for one that cannot stand in a certificate.
    """

    name: str
    authority: str
    common_name: str
    usages: tuple[Usage, ...]
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    key_type: KeyType = KeyType.RSA_2048

    def __post_init__(self) -> None:
        for text in (self.common_name, *self.organizations):
            if not 0 < len(text) <= _COMMON_NAME_LIMIT:
                raise InputWrongError(
                    f"the name {text!r} of certificate {self.name} has {len(text)} characters; "
                    "X.509 takes 1 to 64"
                )
        object.__setattr__(self, "dns_names", canonical_dns_names(self.dns_names))
        object.__setattr__(self, "ip_addresses", canonical_addresses(self.ip_addresses))
        object.__setattr__(self, "usages", tuple(usage for usage in Usage if usage in self.usages))

    @property
    def subject(self) -> x509.Name:
        """The subject: organizations (Kubernetes' groups), then the common name (its user)."""
        groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in self.organizations]
        return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])

    @property
    def general_names(self) -> list[x509.GeneralName]:
        """The SANs: DNS names, then addresses."""
        return [
            *(x509.DNSName(name) for name in self.dns_names),
            *(x509.IPAddress(ip_address(each)) for each in self.ip_addresses),
        ]


def issue(
    spec: CertificateSpec, authority: Authority, key: PrivateKey, lifetime: timedelta, now: datetime
) -> x509.Certificate:
    """Return a certificate for `key` signed by `authority`, valid from CLOCK_SKEW ago until `now + lifetime`.

    Both ends are cut to the CA's own validity: a certificate that outlives its CA only looks valid.
    Raises ValueError when the authority has no key here.
    """
    if authority.key is None:
        raise ValueError(f"authority {authority.name} has no key to sign with")
    issuer = authority.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(spec.subject)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - CLOCK_SKEW, issuer.not_valid_before_utc))
        .not_valid_after(min(now + lifetime, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(leaf_key_usage(key.public_key()), critical=True)
        .add_extension(x509.ExtendedKeyUsage([EXTENDED_USAGE[each] for each in spec.usages]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_key_identifier(issuer), critical=False)
    )
    if spec.general_names:
        # Not critical, as the subject is never empty (RFC 5280 4.2.1.6).
        builder = builder.add_extension(x509.SubjectAlternativeName(spec.general_names), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether `issuer`'s name and key are those that signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def leaf_key_usage(public_key: object) -> x509.KeyUsage:
    """Return the keyUsage of a TLS end: an RSA key may also encipher a session key (TLS 1.2)."""
    return key_usage(digital_signature=True, key_encipherment=isinstance(public_key, rsa.RSAPublicKey))


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        # CertificateIssuerPublicKeyTypes is what a checked authority has; mypy sees every public key type.
        key = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)  # type: ignore[arg-type]  # see above
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
