import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from kubenorn.errors import InputWrongError
from kubenorn.pki.keys import (
    KeyType,
    describe_key_type,
    dump_private_key,
    generate_key,
    is_pair,
    load_private_key,
    public_pem,
    works_for,
)

from .material import a_key, openssl


@pytest.mark.parametrize(
    ("key_type", "label", "bits"),
    [
        (KeyType.RSA_2048, "RSA PRIVATE KEY", "2048 bit"),
        (KeyType.RSA_4096, "RSA PRIVATE KEY", "4096 bit"),
        (KeyType.ECDSA_P256, "EC PRIVATE KEY", "prime256v1"),
    ],
)
def test_openssl_reads_every_key_we_write(key_type: KeyType, label: str, bits: str) -> None:
    key = generate_key(key_type)
    pem = dump_private_key(key)
    assert pem.startswith(f"-----BEGIN {label}-----".encode())
    text = openssl("pkey", "-check", "-text", "-noout", stdin=pem)
    assert bits in text
    assert "is valid" in text
    assert openssl("pkey", "-pubout", stdin=pem).encode() == public_pem(key)
    assert describe_key_type(key) == describe_key_type(key.public_key()) == key_type
    assert dump_private_key(load_private_key(pem, "some.pem")) == pem


def test_keys_of_openssl_in_pkcs8_are_read() -> None:
    pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384").encode()
    assert describe_key_type(load_private_key(pem, "x")) == "ecdsa-p384"


def test_encrypted_key_is_one_clear_sentence() -> None:
    pem = openssl("pkey", "-aes256", "-passout", "pass:hunter2", stdin=dump_private_key(a_key()))
    with pytest.raises(
        InputWrongError, match=r"own\.pem: the private key is encrypted.*openssl pkey -in own\.pem"
    ):
        load_private_key(pem.encode(), "own.pem")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN EC PRIVATE KEY-----\nSECRETTEXT\n"])
def test_nonsense_is_named_without_being_quoted(content: bytes) -> None:
    with pytest.raises(InputWrongError, match=r"own\.pem: not a private key") as raised:
        load_private_key(content, "own.pem")
    assert "SECRETTEXT" not in str(raised.value)


def test_key_kinds_no_component_reads_are_refused() -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(InputWrongError, match="a ed25519 key; use an RSA or an ECDSA one"):
        load_private_key(pem, "own.pem")


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.ECDSA_P256])
def test_a_key_works_for_its_own_public_half_only(key_type: KeyType) -> None:
    one, other = a_key(1, key_type), a_key(2, key_type)
    assert is_pair(one.public_key(), one)
    assert works_for(one.public_key(), one)
    assert not is_pair(other.public_key(), one)
    assert not works_for(other.public_key(), one)


def test_an_rsa_key_does_not_work_for_an_ecdsa_one() -> None:
    rsa_key, ecdsa_key = a_key(1, KeyType.RSA_2048), a_key(1)
    assert not works_for(ecdsa_key.public_key(), rsa_key)
    assert not works_for(rsa_key.public_key(), ecdsa_key)
