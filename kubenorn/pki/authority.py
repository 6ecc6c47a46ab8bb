"""Certificate authorities: making one, and trusting an operator's own one only after checking it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from kubenorn.errors import InputWrongError
from kubenorn.pki.keys import PrivateKey, dump_private_key, load_private_key, works_for

CLOCK_SKEW = timedelta(minutes=5)
"""How far hosts' clocks may lag behind the controller's before a new certificate is "not yet valid"."""


@dataclass(frozen=True)
class Authority:
    """A CA certificate and, unless it is kept elsewhere or lost, its private key.

    `chain` is the operator's intermediate with the certificates above it, or the one certificate of a root.
    """

    name: str
    certificate: x509.Certificate
    key: PrivateKey | None = field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate_pem(self) -> bytes:
        """The chain as PEM, issuing certificate first: what components get as their CA file."""
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in self.chain)

    @property
    def key_pem(self) -> bytes | None:
        """The private key as PEM, or None when it is not here."""
        return None if self.key is None else dump_private_key(self.key)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the issuing certificate, in hexadecimal (`openssl x509 -fingerprint -sha256`)."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @classmethod
    def load(cls, name: str, certificate_pem: bytes, key_pem: bytes | None, sources: tuple[str, str]) -> Self:
        """Return the authority in these files, without judging it; `sources` are their names for errors."""
        chain = _load_certificates(certificate_pem, sources[0])
        key = None if key_pem is None else load_private_key(key_pem, sources[1])
        return cls(name=name, certificate=chain[0], key=key, chain=chain)


def create_authority(
    name: str, common_name: str, key: PrivateKey, lifetime_days: int, now: datetime
) -> Authority:
    """Return a new self-signed root for `key`, valid from CLOCK_SKEW ago for `lifetime_days` from `now`.

    Extensions as RFC 5280 asks of a conforming CA: basicConstraints critical (4.2.1.9, here with no path
    length), keyUsage critical with keyCertSign and cRLSign (4.2.1.3), subjectKeyIdentifier (4.2.1.2).
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=lifetime_days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True, certificate_sign=True, crl_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return Authority(name=name, certificate=certificate, key=key, chain=(certificate,))


def check_authority(authority: Authority, now: datetime, sources: tuple[str, str]) -> None:
    """Raise InputWrongError, every fault one line, unless the authority can sign and be trusted at `now`.

    `sources` are the names of the certificate's and the key's file. A missing key is no fault here.
    """
    certificate, (certificate_file, key_file) = authority.certificate, sources
    problems = []
    if not _is_ca(certificate):
        problems.append(
            f"{certificate_file}: not a CA certificate (basicConstraints CA is not true); name the "
            "certificate of the authority, not one that it has issued"
        )
    if not _may_sign(certificate):
        problems.append(
            f"{certificate_file}: its keyUsage lacks keyCertSign, so nothing it signs is accepted; "
            "have the CA certificate made again with keyCertSign"
        )
    if certificate.not_valid_after_utc <= now:
        problems.append(
            f"{certificate_file}: the CA expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; "
            "give the cluster a new CA by an explicit rotation"
        )
    if certificate.not_valid_before_utc > now:
        problems.append(
            f"{certificate_file}: the CA is valid only from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; check this machine's clock"
        )
    if authority.key is not None and not works_for(certificate.public_key(), authority.key):
        problems.append(
            f"{key_file}: not the private key of {certificate_file}; name or restore the one that is"
        )
    if problems:
        raise InputWrongError.of(problems)


def key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    certificate_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    """Return the keyUsage extension (RFC 5280 4.2.1.3) with these bits and no others."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _load_certificates(pem: bytes, source: str) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError:
        raise InputWrongError(
            f"{source}: not a certificate in PEM form; restore the file from a backup or name another"
        ) from None


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True  # no keyUsage, no restriction (RFC 5280 6.1.4 n)
    except ValueError:
        return False
