from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from kubenorn.errors import InputWrongError
from kubenorn.pki.authority import Authority
from kubenorn.pki.certificate import CertificateSpec, Usage, issue
from kubenorn.pki.keys import KeyType

from .material import DAY, NOW, SPEC, a_certificate, a_key, an_authority, openssl, openssl_accepts, pem
from .test_names import ADDRESSES, NAMES


def put(folder: Path, certificate: x509.Certificate, authority: Authority) -> tuple[Path, Path]:
    ca, leaf = folder / "ca.pem", folder / "leaf.pem"
    ca.write_bytes(authority.certificate_pem)
    leaf.write_bytes(pem(certificate))
    return ca, leaf


@pytest.mark.parametrize(
    ("key_type", "bits"),
    [(KeyType.RSA_2048, "Digital Signature, Key Encipherment"), (KeyType.ECDSA_P256, "Digital Signature")],
)
def test_a_certificate_as_openssl_sees_it(key_type: KeyType, bits: str, tmp_path: Path) -> None:
    spec = replace(SPEC, key_type=key_type, organizations=("system:masters",))
    authority = an_authority(1)
    ca, leaf = put(tmp_path, issue(spec, authority, a_key(1, key_type), 365 * DAY, NOW), authority)
    text = openssl("x509", "-in", str(leaf), "-noout", "-text")
    assert f"X509v3 Key Usage: critical\n                {bits}\n" in text
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
    assert "X509v3 Basic Constraints: critical\n                CA:FALSE" in text
    assert "X509v3 Subject Alternative Name: \n" in text  # not critical
    assert "DNS:localhost, DNS:m1, IP Address:127.0.0.1, IP Address:192.168.80.7\n" in text
    assert "Subject: O = system:masters, CN = sample" in text
    assert "X509v3 Authority Key Identifier" in text
    assert "X509v3 Subject Key Identifier" in text
    assert openssl_accepts(ca, leaf, "sslserver", "-verify_ip", "192.168.80.7")
    assert openssl_accepts(ca, leaf, "sslserver", "-verify_hostname", "m1")
    assert not openssl_accepts(ca, leaf, "sslserver", "-verify_ip", "192.168.80.8")


@pytest.mark.parametrize(("usage", "other"), [(Usage.SERVER, "sslclient"), (Usage.CLIENT, "sslserver")])
def test_a_usage_is_good_for_nothing_else(usage: Usage, other: str, tmp_path: Path) -> None:
    ca, leaf = put(tmp_path, a_certificate(replace(SPEC, usages=(usage,))), an_authority())
    assert openssl_accepts(ca, leaf, f"ssl{usage}")
    assert not openssl_accepts(ca, leaf, other)


def test_it_begins_before_now_and_ends_after_its_lifetime() -> None:
    certificate = a_certificate(days=365)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + 365 * DAY


def test_it_never_outlives_its_ca() -> None:
    authority = an_authority(5, 100)
    certificate = issue(SPEC, authority, a_key(), 365 * DAY, NOW)
    assert certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc == NOW + 100 * DAY
    early = issue(SPEC, authority, a_key(), DAY, authority.certificate.not_valid_before_utc)
    assert early.not_valid_before_utc == authority.certificate.not_valid_before_utc


def test_serial_numbers_are_random() -> None:
    serials = {a_certificate().serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(0 < each < 2**159 for each in serials)


def test_an_authority_without_a_key_cannot_issue() -> None:
    with pytest.raises(ValueError, match="has no key"):
        issue(SPEC, replace(an_authority(), key=None), a_key(), DAY, NOW)


@given(st.lists(NAMES, max_size=8), st.lists(ADDRESSES, max_size=8))
def test_sans_come_out_each_once_and_sorted(names: list[str], addresses: list[str]) -> None:
    spec = replace(SPEC, dns_names=tuple(names), ip_addresses=tuple(addresses))
    assert spec == replace(SPEC, dns_names=tuple(names[::-1] * 2), ip_addresses=tuple(addresses[::-1] * 2))
    certificate = a_certificate(spec)
    if not names and not addresses:
        with pytest.raises(x509.ExtensionNotFound):
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == sorted(set(names))
    assert [str(each) for each in san.get_values_for_type(x509.IPAddress)] == list(spec.ip_addresses)
    assert set(spec.ip_addresses) == set(addresses)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_names_of_a_subject_have_limits(name: str) -> None:
    with pytest.raises(InputWrongError, match=r"X\.509 takes 1 to 64"):
        CertificateSpec(name="sample", authority="ca", common_name=name, usages=(Usage.CLIENT,))
