"""Authorities, requests and the openssl program for the tests of the PKI."""

import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kubenorn.pki.authority import Authority, create_authority
from kubenorn.pki.certificate import CertificateSpec, Usage, issue
from kubenorn.pki.keys import KeyType, PrivateKey, dump_private_key, generate_key
from kubenorn.pki.layout import PkiRequest

NOW = datetime.now(UTC).replace(microsecond=0)  # the present, as openssl verify compares with its own clock
DAY = timedelta(days=1)
P256 = KeyType.ECDSA_P256
REQUEST = PkiRequest(
    masters={"m1": "192.168.80.7", "m2": "192.168.80.8", "m3": "192.168.80.9"},
    vip="192.168.80.13",
    service_address="10.254.0.1",
    key_type=P256,  # forty of them take no time
)
SPEC = CertificateSpec(
    name="sample",
    authority="ca",
    common_name="sample",
    usages=(Usage.SERVER, Usage.CLIENT),
    dns_names=("m1", "localhost"),
    ip_addresses=("192.168.80.7", "127.0.0.1"),
    key_type=P256,
)


@cache
def a_key(number: int = 0, key_type: KeyType = P256) -> PrivateKey:
    """Return key `number`, the same for each call."""
    return generate_key(key_type)


@cache
def an_authority(number: int = 0, days: int = 3650, key_type: KeyType = P256) -> Authority:
    """Return authority `number`; all have the same name."""
    return create_authority("ca", "kubernetes-ca", a_key(1000 + number, key_type), days, NOW)


def a_certificate(spec: CertificateSpec = SPEC, days: int = 365, now: datetime = NOW) -> x509.Certificate:
    return issue(spec, an_authority(), a_key(), timedelta(days=days), now)


def write_authority(folder: Path, authority: Authority) -> tuple[Path, Path]:
    """Return the certificate and the key file of `authority` in `folder`."""
    certificate, key = folder / "own.pem", folder / "own-key.pem"
    certificate.write_bytes(authority.certificate_pem)
    key.write_bytes(authority.key_pem or b"")
    return certificate, key


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def key_pem(key: PrivateKey) -> bytes:
    return dump_private_key(key)


def openssl(*arguments: str, stdin: bytes = b"") -> str:
    """Return what openssl prints; fails with its complaint."""
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout.decode()


def openssl_accepts(ca: Path, certificate: Path, purpose: str, *more: str) -> bool:
    """Return whether openssl verifies the certificate for sslserver or sslclient, strictly by RFC 5280."""
    command = ["openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", str(ca), "-purpose", purpose]
    return (
        subprocess.run([*command, *more, str(certificate)], capture_output=True, check=False).returncode == 0
    )
