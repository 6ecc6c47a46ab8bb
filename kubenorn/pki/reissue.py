"""Why a certificate must be issued anew: a sentence fragment for a person, or nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509

from kubenorn.pki.authority import Authority
from kubenorn.pki.certificate import EXTENDED_USAGE, CertificateSpec, is_issued_by, leaf_key_usage
from kubenorn.pki.keys import PrivateKey, describe_key_type, is_pair

_USAGE_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_USAGE_NAMES = {oid: str(usage) for usage, oid in EXTENDED_USAGE.items()}


def reissue_reason(
    spec: CertificateSpec,
    certificate: x509.Certificate,
    key: PrivateKey,
    authority: Authority,
    *,
    renew_before: timedelta,
    now: datetime,
) -> str | None:
    """Return every reason to issue `spec` anew, gravest first and joined by "; ", or None when it is good.

    First what makes it useless (wrong key or CA, expired), then what makes it wrong, then what is due.
    """
    try:
        reasons = list(_reasons(spec, certificate, key, authority, renew_before=renew_before, now=now))
    except ValueError:
        return "its extensions cannot be read"
    return "; ".join(reasons) or None


def _reasons(
    spec: CertificateSpec,
    certificate: x509.Certificate,
    key: PrivateKey,
    authority: Authority,
    *,
    renew_before: timedelta,
    now: datetime,
) -> Iterator[str]:
    if not is_pair(certificate.public_key(), key):
        yield "key does not match the certificate"
    if not is_issued_by(certificate, authority.certificate):
        yield "signed by another CA"
    if certificate.not_valid_after_utc <= now:
        yield f"expired {_span(now - certificate.not_valid_after_utc)} ago"
    if certificate.not_valid_before_utc > now:
        yield f"not valid for another {_span(certificate.not_valid_before_utc - now)}"
    if certificate.subject != spec.subject:
        yield f"subject is {certificate.subject.rfc4514_string()}, should be {spec.subject.rfc4514_string()}"
    yield from _usage_reasons(spec, certificate)
    missing, unwanted = _san_differences(spec, certificate)
    if missing:
        yield f"{_sans(missing)} missing"
    key_type = describe_key_type(certificate.public_key())
    if key_type != spec.key_type:
        yield f"key type is {key_type}, should be {spec.key_type}"
    if unwanted:
        yield f"{_sans(unwanted)} no longer wanted"
    if _is_due(certificate, authority, renew_before, now):
        yield f"expires in {_span(certificate.not_valid_after_utc - now)}"


def _is_due(
    certificate: x509.Certificate, authority: Authority, renew_before: timedelta, now: datetime
) -> bool:
    end = certificate.not_valid_after_utc
    if end >= authority.certificate.not_valid_after_utc:
        return False  # a new one would be cut to the same end, run after run: the CA is what is due
    return now < end <= now + renew_before


def _usage_reasons(spec: CertificateSpec, certificate: x509.Certificate) -> Iterator[str]:
    wanted_bits = leaf_key_usage(certificate.public_key())
    bits = _extension(certificate, x509.KeyUsage)
    if bits is None or bits.value != wanted_bits or not bits.critical:
        yield f"key usage is {_bits(bits.value if bits else None)}, should be {_bits(wanted_bits)} (critical)"
    extended = _extension(certificate, x509.ExtendedKeyUsage)
    usages = {_USAGE_NAMES.get(oid, oid.dotted_string) for oid in extended.value} if extended else set()
    if usages != {str(each) for each in spec.usages}:
        actual = " and ".join(sorted(usages)) or "anything"
        yield f"key usage is for {actual}, should be for {' and '.join(spec.usages)}"
    basic = _extension(certificate, x509.BasicConstraints)
    if basic and basic.value.ca:
        yield "key usage is that of a CA"


def _bits(usage: x509.KeyUsage | None) -> str:
    set_bits = [name.replace("_", " ") for name in _USAGE_BITS if usage and getattr(usage, name)]
    return " and ".join(set_bits) or "not given"


def _san_differences(spec: CertificateSpec, certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    extension = _extension(certificate, x509.SubjectAlternativeName)
    present = list(extension.value) if extension else []
    wanted = spec.general_names
    return (
        [str(each.value) for each in wanted if each not in present],
        [str(each.value) for each in present if each not in wanted],
    )


def _sans(names: list[str]) -> str:
    return f"SAN {names[0]}" if len(names) == 1 else f"SANs {', '.join(names)}"


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _span(span: timedelta) -> str:
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(span.total_seconds() // seconds)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"
