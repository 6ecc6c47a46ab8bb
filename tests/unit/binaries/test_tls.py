import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kubenorn.binaries import connection
from kubenorn.binaries.resolve import resolve_binaries
from kubenorn.binaries.source import BinarySource
from kubenorn.errors import InputWrongError

from .material import KUBERNETES, executable
from .server import Mirror, running

ONE = {"kubectl": KUBERNETES}


@dataclass
class Private:
    mirror: Mirror
    ca_file: Path


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Private]:
    """A mirror whose certificate only its own authority vouches for."""
    monkeypatch.setattr(connection, "_FIRST_WAIT_SECONDS", 0.001)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mirror")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    ca_file, key_file = tmp_path / "ca.pem", tmp_path / "key.pem"
    ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, key_file)
    mirror = Mirror()
    mirror.put_official()
    with running(mirror, context):
        yield Private(mirror, ca_file)


def test_an_authority_of_the_operators_own(private: Private, cache_folder: Path) -> None:
    source = BinarySource(private.mirror.url, ca_file=private.ca_file)
    found = resolve_binaries(ONE, source, "amd64", cache_folder)
    assert found["kubectl"].path.read_bytes() == executable("kubectl")


def test_without_it_nothing_is_asked_and_not_tried_again(
    private: Private, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    real = connection.Connection.stream

    def noting(self: connection.Connection, method: str, path: str) -> AbstractContextManager[httpx.Response]:
        tried.append(path)
        return real(self, method, path)

    monkeypatch.setattr(connection.Connection, "stream", noting)
    with pytest.raises(InputWrongError, match=r"CERTIFICATE_VERIFY_FAILED.*cluster\.binaries\.ca_file"):
        resolve_binaries(ONE, BinarySource(private.mirror.url), "amd64", cache_folder)
    assert private.mirror.asked == []
    assert len(tried) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_is_none(private: Private, cache_folder: Path, content: str | None) -> None:
    path = private.ca_file.with_name("other.pem")
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputWrongError, match=rf"^cluster\.binaries\.ca_file: {path}: .*name a PEM file"):
        resolve_binaries(ONE, BinarySource(private.mirror.url, ca_file=path), "amd64", cache_folder)


def test_a_redirect_to_clear_text_is_refused(private: Private, cache_folder: Path) -> None:
    with running(Mirror()) as clear:
        clear.put_official()
        private.mirror.redirects = {path: f"{clear.url}/{path}" for path in clear.files}
        source = BinarySource(private.mirror.url, ca_file=private.ca_file)
        with pytest.raises(InputWrongError, match="redirects from https to http"):
            resolve_binaries(ONE, source, "amd64", cache_folder)
        assert clear.asked == []
