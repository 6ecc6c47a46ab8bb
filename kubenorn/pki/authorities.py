"""The authorities of a cluster in its folder: found, completed or made, and never replaced.

A new CA in place of a lost one would make every certificate and token in the cluster void, so each doubt
here ends in an error that says what is missing and what to do.
"""

import json
from datetime import datetime
from pathlib import Path

from kubenorn.errors import InputWrongError
from kubenorn.files import read_if_exists
from kubenorn.pki.authority import Authority, check_authority
from kubenorn.pki.keys import PrivateKey, load_private_key
from kubenorn.pki.layout import ETCD_CA, PkiRequest, host_certificate_specs
from kubenorn.pki.material import OwnAuthority
from kubenorn.pki.shelf import PKI, Shelf

FINGERPRINTS = f"{PKI}/own-authorities.json"
_ROTATION = "changing a cluster's CA is an explicit rotation, never part of another run"


def find_own(shelf: Shelf, name: str, own: OwnAuthority, now: datetime) -> Authority:
    """Return the operator's own authority, checked (see `check_authority`).

    Raises InputWrongError when its files are wrong, or are not those of the CA that the cluster began with.
    """
    sources = (str(own.certificate), str(own.key))
    authority = Authority.load(name, _read_own(own.certificate, name), _read_own(own.key, name), sources)
    check_authority(authority, now, sources)
    for made in made_paths(name):
        if shelf.read(made) is not None:
            raise InputWrongError(
                f"{own.certificate} is named as {name}, but the cluster has one of its own in "
                f"{shelf.full(made)}; take the setting out again: {_ROTATION}"
            )
    known = fingerprints(shelf).get(name)
    if known is None:
        refuse_if_issued(shelf, name, f"the fingerprint of {name} in {shelf.full(FINGERPRINTS)} is missing")
    elif known != authority.fingerprint:
        raise InputWrongError(
            f"{own.certificate} (SHA-256 {authority.fingerprint[:16]}…) is not the {name} that the "
            f"cluster began with ({known[:16]}…); put that one back: {_ROTATION}"
        )
    return authority


def find_made(shelf: Shelf, name: str, now: datetime) -> Authority | PrivateKey | None:
    """Return the authority in the cluster's folder, or the lone key of a first run that was cut off, or None.

    Raises InputWrongError when something that was there is lost: then it must be restored, not made anew.
    """
    if name in fingerprints(shelf):
        raise InputWrongError(
            f"the cluster's {name} is the operator's own, but the settings no longer name its files; "
            f"name them again: {_ROTATION}"
        )
    certificate_path, key_path = made_paths(name)
    certificate, key = shelf.read(certificate_path), shelf.read(key_path)
    sources = (shelf.full(certificate_path), shelf.full(key_path))
    if certificate is not None:
        authority = Authority.load(name, certificate, key, sources)
        check_authority(authority, now, sources)
        return authority
    refuse_if_issued(shelf, name, f"the CA certificate {sources[0]} is missing")
    return None if key is None else load_private_key(key, sources[1])


def made_paths(name: str) -> tuple[str, str]:
    """Return where the certificate and the key of an authority that we make stand."""
    return f"{PKI}/{name}.pem", f"{PKI}/{name}-key.pem"


def refuse_if_issued(shelf: Shelf, name: str, finding: str) -> None:
    """Raise InputWrongError with `finding` when hosts already have certificates that rest on `name`.

    Every authority is written before the first certificate of a host, so a cut-off first run never ends
    here. etcd-ca may come later than the others, when an external etcd becomes a managed one.
    """
    witness = shelf.issued(_etcd_names() if name == ETCD_CA else None)
    if witness:
        raise InputWrongError(
            f"{finding}, but certificates that rest on it exist (such as {witness}); restore it from a backup"
        )


def fingerprints(shelf: Shelf) -> dict[str, str]:
    """Return authority name → SHA-256 of the operator's own CA certificates that the cluster began with."""
    content = shelf.read(FINGERPRINTS)
    if content is None:
        return {}
    try:
        return {str(name): str(value) for name, value in json.loads(content).items()}
    except (ValueError, AttributeError):
        raise InputWrongError(f"{shelf.full(FINGERPRINTS)} is damaged; restore it from a backup") from None


def remember(shelf: Shelf, owned: dict[str, Authority]) -> None:
    """Write down which CAs of the operator's own the cluster has, before anything is signed by them."""
    known = fingerprints(shelf)
    now_known = known | {name: authority.fingerprint for name, authority in owned.items()}
    if now_known != known:
        shelf.write(FINGERPRINTS, json.dumps(now_known, indent=2, sort_keys=True).encode() + b"\n")


def _etcd_names() -> set[str]:
    request = PkiRequest(masters={"any": "127.0.0.1"}, vip=None, service_address="127.0.0.1")
    return {spec.name for spec in host_certificate_specs(request, "any") if spec.authority == ETCD_CA}


def _read_own(path: Path, name: str) -> bytes:
    content = read_if_exists(path)
    if content is None:
        raise InputWrongError(f"{path}, named as a file of the operator's own {name}, does not exist")
    return content
