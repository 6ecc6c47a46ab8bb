from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from kubenorn.pki.authority import Authority
from kubenorn.pki.certificate import CertificateSpec, Usage, issue
from kubenorn.pki.keys import KeyType, PrivateKey
from kubenorn.pki.reissue import reissue_reason

from .material import DAY, NOW, SPEC, a_certificate, a_key, an_authority


def reason(
    spec: CertificateSpec = SPEC,
    certificate: x509.Certificate | None = None,
    key: PrivateKey | None = None,
    authority: Authority | None = None,
    now: datetime = NOW,
) -> str | None:
    return reissue_reason(
        spec,
        certificate or a_certificate(),
        key or a_key(),
        authority or an_authority(),
        renew_before=30 * DAY,
        now=now,
    )


def test_a_good_one_stays() -> None:
    assert reason() is None
    assert reason(now=NOW + 334 * DAY) is None


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (335 * DAY, "expires in 30 days"),
        (353 * DAY, "expires in 12 days"),
        (364 * DAY, "expires in 1 day"),
        (365 * DAY - timedelta(hours=5), "expires in 5 hours"),
        (365 * DAY - timedelta(seconds=5), "expires in less than a minute"),
        (365 * DAY, "expired less than a minute ago"),
        (368 * DAY, "expired 3 days ago"),
        (-DAY, "not valid for another 23 hours"),
    ],
)
def test_time(after: timedelta, expected: str) -> None:
    assert reason(now=NOW + after) == expected


def test_a_certificate_cut_to_its_ca_is_not_renewed_over_and_over() -> None:
    authority = an_authority(5, 100)
    certificate = issue(SPEC, authority, a_key(), 365 * DAY, NOW)
    assert reason(certificate=certificate, authority=authority, now=NOW + 90 * DAY) is None
    assert reason(certificate=certificate, authority=authority, now=NOW + 101 * DAY) == "expired 1 day ago"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"ip_addresses": (*SPEC.ip_addresses, "192.168.80.13")}, "SAN 192.168.80.13 missing"),
        ({"ip_addresses": ("192.168.80.7",)}, "SAN 127.0.0.1 no longer wanted"),
        ({"dns_names": ()}, "SANs localhost, m1 no longer wanted"),
        ({"dns_names": (*SPEC.dns_names, "a", "b")}, "SANs a, b missing"),
        ({"dns_names": ("m1", "new")}, "SAN new missing; SAN localhost no longer wanted"),
        ({"common_name": "other"}, "subject is CN=sample, should be CN=other"),
        ({"organizations": ("x",)}, "subject is CN=sample, should be CN=sample,O=x"),
        ({"usages": (Usage.CLIENT,)}, "key usage is for client and server, should be for client"),
        ({"key_type": KeyType.RSA_2048}, "key type is ecdsa-p256, should be rsa-2048"),
    ],
)
def test_what_it_should_be(change: dict[str, object], expected: str) -> None:
    assert reason(spec=replace(SPEC, **change)) == expected  # type: ignore[arg-type]


def test_another_key_and_another_ca() -> None:
    assert reason(key=a_key(1)) == "key does not match the certificate"
    assert reason(authority=an_authority(1)) == "signed by another CA"


def test_an_rsa_ca_in_place_of_an_ecdsa_one() -> None:
    assert reason(authority=an_authority(7, 3650, KeyType.RSA_2048)) == "signed by another CA"


def test_a_ca_certificate_in_place_of_a_leaf() -> None:
    text = reason(certificate=an_authority().certificate, key=an_authority().key)
    assert text is not None
    assert "key usage is digital signature and key cert sign and crl sign" in text
    assert "key usage is for anything, should be for server and client" in text
    assert "key usage is that of a CA" in text


def test_the_gravest_comes_first() -> None:
    spec = replace(SPEC, common_name="other", ip_addresses=("192.168.80.13", "127.0.0.1"))
    text = reason(spec=spec, key=a_key(1), authority=an_authority(1), now=NOW + 366 * DAY)
    assert (text or "").split("; ") == [
        "key does not match the certificate",
        "signed by another CA",
        "expired 1 day ago",
        "subject is CN=sample, should be CN=other",
        "SAN 192.168.80.13 missing",
        "SAN 192.168.80.7 no longer wanted",
    ]
