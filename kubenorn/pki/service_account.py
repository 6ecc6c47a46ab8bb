"""The key pair that signs service-account tokens: made once, kept for ever.

A pair of its own, not the CA's key as guides do: whoever can sign tokens should not be able to sign
certificates too. A new pair makes every token in the cluster void.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from kubenorn.errors import InputWrongError
from kubenorn.pki.keys import (
    KeyType,
    PrivateKey,
    dump_private_key,
    generate_key,
    load_private_key,
    public_pem,
)
from kubenorn.pki.material import PkiChange, ServiceAccountKeys
from kubenorn.pki.shelf import PKI, Shelf

PUBLIC = f"{PKI}/service-account.pub"
PRIVATE = f"{PKI}/service-account-key.pem"


def find_service_account_key(shelf: Shelf) -> PrivateKey | None:
    """Return the private key, or None when the cluster never had one.

    Raises InputWrongError when it is lost, or is another key than the public one beside it.
    """
    private, public = shelf.read(PRIVATE), shelf.read(PUBLIC)
    if private is None:
        witness = shelf.full(PUBLIC) if public is not None else shelf.issued()
        if witness:
            raise InputWrongError(
                f"the service-account key {shelf.full(PRIVATE)} is missing, but the cluster has used it "
                f"({witness} exists); restore it from a backup, as a new one makes every token void"
            )
        return None
    key = load_private_key(private, shelf.full(PRIVATE))
    if public is not None and not _is_public_half(public, key):
        raise InputWrongError(
            f"{shelf.full(PUBLIC)} is not the public half of {shelf.full(PRIVATE)}; "
            "restore the pair from a backup"
        )
    return key


def complete_service_account(
    shelf: Shelf, key: PrivateKey | None, key_type: KeyType
) -> tuple[ServiceAccountKeys, PkiChange | None]:
    """Return the pair and what was made: both, or the public half of a `key` that was there, or nothing."""
    change = None
    if key is None:
        key = generate_key(key_type)
        shelf.write(PRIVATE, dump_private_key(key))
        change = PkiChange(PRIVATE, None, "created", "does not exist yet")
    elif shelf.read(PUBLIC) is None:
        change = PkiChange(PUBLIC, None, "created", "public half is missing")
    pair = ServiceAccountKeys(public_pem=public_pem(key), key_pem=dump_private_key(key))
    if change:
        shelf.write(PUBLIC, pair.public_pem)
    return pair, change


def _is_public_half(public: bytes, key: PrivateKey) -> bool:
    try:
        return bool(serialization.load_pem_public_key(public) == key.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return False
