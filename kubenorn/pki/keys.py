"""Private keys: which kinds there are, how they are made, read and written."""

from enum import StrEnum

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from kubenorn.errors import InputWrongError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeyType(StrEnum):
    """Kinds of key that every Kubernetes version from 1.8 and every etcd 3 can use."""

    RSA_2048 = "rsa-2048"
    RSA_4096 = "rsa-4096"
    ECDSA_P256 = "ecdsa-p256"


def generate_key(key_type: KeyType) -> PrivateKey:
    """Return a new key. Takes about 40 ms for rsa-2048, a second for rsa-4096, and releases the GIL."""
    match key_type:
        case KeyType.RSA_2048:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case KeyType.RSA_4096:
            return rsa.generate_private_key(public_exponent=65537, key_size=4096)
        case KeyType.ECDSA_P256:
            return ec.generate_private_key(ec.SECP256R1())


def describe_key_type(key: object) -> str:
    """Return the type of a private or public key in KeyType's spelling, also of kinds that we do not make."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"ecdsa-p{key.key_size}"
    return type(key).__name__.lower().removesuffix("privatekey").removesuffix("publickey").strip("_")


def load_private_key(pem: bytes, source: str) -> PrivateKey:
    """Return the key in `pem`; `source` is the file's name for the InputWrongError of a key we cannot use.

    The primality of RSA factors is not proved here: it takes 40 ms a key, 2 s for the keys of a cluster of
    three that needs no change. Whoever takes a key from outside asks `works_for` instead.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise InputWrongError(
            f"{source}: the private key is encrypted; kubenorn and the components read keys without a "
            f"passphrase: decrypt it with `openssl pkey -in {source} -out NEW` and name the new file"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputWrongError(
            f"{source}: not a private key in PEM form; restore the file from a backup or name another"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise InputWrongError(f"{source}: a {describe_key_type(key)} key; use an RSA or an ECDSA one")
    return key


def dump_private_key(key: PrivateKey) -> bytes:
    """Return "RSA PRIVATE KEY" or "EC PRIVATE KEY" PEM, unencrypted.

    The traditional form, as every consumer reads it: client-go's ParsePrivateKeyPEM, etcd and Go's
    tls.X509KeyPair, and openssl's programs; it also tells RSA from ECDSA at first sight.
    """
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def public_pem(key: PrivateKey) -> bytes:
    """Return the public half as "PUBLIC KEY" PEM, as --service-account-key-file reads it."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def is_pair(public_key: object, key: PrivateKey) -> bool:
    """Return whether `public_key` is the public half written beside `key`."""
    return key.public_key() == public_key


def works_for(public_key: object, key: PrivateKey) -> bool:
    """Return whether `public_key` verifies a signature made with `key`: catches damaged private numbers."""
    probe = b"kubenorn"
    try:
        if isinstance(key, rsa.RSAPrivateKey) and isinstance(public_key, rsa.RSAPublicKey):
            signature = key.sign(probe, padding.PKCS1v15(), hashes.SHA256())
            public_key.verify(signature, probe, padding.PKCS1v15(), hashes.SHA256())
            return True
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(key.sign(probe, ec.ECDSA(hashes.SHA256())), probe, ec.ECDSA(hashes.SHA256()))
            return True
    except (InvalidSignature, ValueError):
        return False
    return False
