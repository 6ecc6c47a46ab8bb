"""Keys beside certificates, and in kubeconfigs: does the one belong to the other?"""

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kubenorn.audit.certificates import certificates
from kubenorn.pki.certificate import issue
from kubenorn.pki.keys import KeyType, PrivateKey, generate_key
from tests.unit.audit.test_findings import context, right
from tests.unit.pki.material import NOW, SPEC, an_authority, pem


def by_awk(path: str, key: PrivateKey) -> str:
    """Return the record in which a host tells of a key whose DER it has read: numbers as they stand there."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return f"public-half\t{path}\trsa\t00{numbers.n:x}\t{numbers.e:06x}"
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return f"public-half\t{path}\tec\t{point.hex()}"


def by_openssl(path: str, key: PrivateKey) -> str:
    """Return the record in which a host tells of a key what openssl says of it."""
    text = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return f"public\t{path}\t" + text.replace("\n", "|")


@pytest.mark.parametrize("tell", [by_awk, by_openssl])
@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.ECDSA_P256])
@pytest.mark.parametrize("own", [True, False])
def test_a_key_of_another_certificate_is_found(
    tell: Callable[[str, PrivateKey], str], key_type: KeyType, own: bool
) -> None:
    key = generate_key(key_type)
    lying = key if own else generate_key(key_type)
    certificate = pem(issue(SPEC, an_authority(), key, timedelta(days=365), NOW))
    lines = (
        "certificate\t/x.pem\t" + certificate.decode().replace("\n", "|"),
        tell("/x-key.pem", lying),
        f"kubeconfig\t/x.conf\thttps://192.168.80.100:8443\t\t{b64encode(certificate).decode()}\t\t\t",
        tell("/x.conf", lying),
    )
    found = {
        (each.subject, each.evidence)
        for each in certificates(context(*right(), more={"m1": lines}))
        if "key" in each.evidence
    }
    wanted = {
        ("/x-key.pem", "is not the key of /x.pem"),
        ("/x.conf", "its key is not that of its certificate"),
    }
    assert found == (set() if own else wanted)
