from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from kubenorn.errors import InputWrongError
from kubenorn.pki.authority import Authority, check_authority, create_authority, key_usage
from kubenorn.pki.keys import KeyType, dump_private_key

from .material import DAY, NOW, a_certificate, a_key, an_authority, openssl, pem

SOURCES = ("own.pem", "own-key.pem")


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.ECDSA_P256])
def test_a_new_ca_as_openssl_sees_it(key_type: KeyType, tmp_path: Path) -> None:
    authority = an_authority(7, 3650, key_type)
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.certificate_pem)
    text = openssl("x509", "-in", str(path), "-noout", "-text")
    assert "X509v3 Basic Constraints: critical\n                CA:TRUE\n" in text
    assert (
        "X509v3 Key Usage: critical\n                Digital Signature, Certificate Sign, CRL Sign\n" in text
    )
    assert "X509v3 Subject Key Identifier" in text
    assert "X509v3 Authority Key Identifier" in text
    assert "Subject: CN = kubernetes-ca" in text
    openssl("verify", "-x509_strict", "-check_ss_sig", "-CAfile", str(path), str(path))
    fingerprint = openssl("x509", "-in", str(path), "-noout", "-fingerprint", "-sha256")
    assert fingerprint.split("=")[1].strip().replace(":", "").lower() == authority.fingerprint


def test_its_life_is_in_days_from_now_and_begins_a_little_earlier() -> None:
    certificate = create_authority("ca", "x", a_key(), 10, NOW).certificate
    assert certificate.not_valid_after_utc == NOW + 10 * DAY
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)


def test_a_good_one_loads_with_its_key_hidden() -> None:
    made = an_authority()
    loaded = Authority.load("ca", made.certificate_pem, made.key_pem, SOURCES)
    check_authority(loaded, NOW, SOURCES)
    assert loaded.certificate == made.certificate
    assert loaded.key_pem == made.key_pem
    assert "key=" not in repr(loaded)


def test_a_chain_keeps_its_order_and_loses_what_is_no_certificate() -> None:
    first, second = an_authority(1), an_authority(2)
    bundle = b"# notes\n" + first.certificate_pem + dump_private_key(a_key()) + second.certificate_pem
    loaded = Authority.load("ca", bundle, None, SOURCES)
    assert loaded.certificate == first.certificate
    assert loaded.certificate_pem == first.certificate_pem + second.certificate_pem


def test_a_leaf_is_not_a_ca() -> None:
    leaf = Authority.load("ca", pem(a_certificate()), dump_private_key(a_key()), SOURCES)
    with pytest.raises(InputWrongError) as raised:
        check_authority(leaf, NOW, SOURCES)
    lines = str(raised.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("own.pem: not a CA certificate")
    assert lines[1].startswith("own.pem: its keyUsage lacks keyCertSign")


def test_anothers_key_is_found() -> None:
    mixed = Authority.load("ca", an_authority(1).certificate_pem, an_authority(2).key_pem, SOURCES)
    with pytest.raises(InputWrongError, match=r"^own-key\.pem: not the private key of own\.pem; [^\n]*$"):
        check_authority(mixed, NOW, SOURCES)


def test_its_time_is_checked_at_both_ends() -> None:
    authority = an_authority(3, 10)
    check_authority(authority, NOW + 9 * DAY, SOURCES)
    with pytest.raises(InputWrongError, match=r"^own\.pem: the CA expired on .* UTC; .*rotation$"):
        check_authority(authority, NOW + 10 * DAY, SOURCES)
    with pytest.raises(InputWrongError, match=r"^own\.pem: the CA is valid only from .*clock$"):
        check_authority(authority, NOW - DAY, SOURCES)


def test_a_ca_without_key_usage_may_sign_and_one_without_key_cert_sign_may_not() -> None:
    key, name = a_key(), x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - DAY, NOW + DAY).add_extension(
        x509.BasicConstraints(True, None), critical=True
    )
    free = builder.sign(key, hashes.SHA256())
    check_authority(Authority("ca", free, key, (free,)), NOW, SOURCES)
    bound = builder.add_extension(key_usage(crl_sign=True), critical=True).sign(key, hashes.SHA256())
    with pytest.raises(InputWrongError, match="keyCertSign"):
        check_authority(Authority("ca", bound, key, (bound,)), NOW, SOURCES)


def test_nonsense_is_named() -> None:
    with pytest.raises(InputWrongError, match=r"own\.pem: not a certificate in PEM form"):
        Authority.load("ca", b"nonsense", None, SOURCES)
