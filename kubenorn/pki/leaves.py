"""Certificates of hosts in the cluster's folder: judging the pair that is there, and writing a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kubenorn.errors import InputWrongError
from kubenorn.pki.authorities import made_paths
from kubenorn.pki.authority import Authority
from kubenorn.pki.certificate import CertificateSpec, issue
from kubenorn.pki.keys import dump_private_key, generate_key, load_private_key
from kubenorn.pki.material import KeyPair, PkiChange, PkiPolicy
from kubenorn.pki.reissue import reissue_reason
from kubenorn.pki.shelf import CONTROLLER, HOSTS, Shelf


@dataclass(frozen=True)
class Leaf:
    """One certificate of one host (or of the controller)."""

    host: str
    spec: CertificateSpec

    @property
    def stem(self) -> str:
        """Path of its files without -key.pem and .pem."""
        return f"{HOSTS}/{self.host}/{self.spec.name}"

    def __str__(self) -> str:
        return f"{self.host}/{self.spec.name}"


@dataclass(frozen=True)
class LeafState:
    """What is there of a leaf: a good pair, or the reason why one must be made."""

    leaf: Leaf
    pair: KeyPair | None
    action: Literal["created", "reissued"] = "created"
    reason: str | None = None

    @property
    def change(self) -> PkiChange:
        """The change that mends this state; only for one that has a reason."""
        host = None if self.leaf.host == CONTROLLER else self.leaf.host
        return PkiChange(f"{self.leaf.stem}.pem", host, self.action, self.reason or "")


def judge_leaf(
    shelf: Shelf, leaf: Leaf, authorities: Mapping[str, Authority], policy: PkiPolicy, now: datetime
) -> LeafState:
    """Return the pair on the shelf, or why it must be made; `authorities` are those that exist already."""
    certificate_pem, key_pem = shelf.read(f"{leaf.stem}.pem"), shelf.read(f"{leaf.stem}-key.pem")
    if certificate_pem is None:
        reason = "does not exist yet" if key_pem is None else "certificate file is missing"
        return LeafState(leaf, None, "created", reason)
    if key_pem is None:
        return LeafState(leaf, None, "reissued", "key file is missing")
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = load_private_key(key_pem, shelf.full(f"{leaf.stem}-key.pem"))
    except (ValueError, InputWrongError) as error:
        which = "key" if isinstance(error, InputWrongError) else "certificate"
        return LeafState(leaf, None, "reissued", f"{which} file cannot be read")
    # Where files of hosts are, their CA is: find_roots has refused everything else.
    authority = authorities[leaf.spec.authority]
    why = reissue_reason(leaf.spec, certificate, key, authority, renew_before=policy.renew_before, now=now)
    if why:
        return LeafState(leaf, None, "reissued", why)
    return LeafState(leaf, KeyPair(certificate_pem, key_pem, certificate.not_valid_after_utc))


def refuse_unsignable(shelf: Shelf, due: Sequence[LeafState], authorities: Mapping[str, Authority]) -> None:
    """Raise InputWrongError, a line for each authority, when something is due whose CA's key is missing."""
    problems = []
    for name, authority in authorities.items():
        waiting = [state for state in due if state.leaf.spec.authority == name]
        if waiting and authority.key is None:
            certificate, key = (shelf.full(path) for path in made_paths(name))
            problems.append(
                f"{certificate} cannot sign, as its key {key} is missing, but {waiting[0].leaf} must be made "
                f"({waiting[0].reason}), {len(waiting)} in all; restore the key from a backup"
            )
    if problems:
        raise InputWrongError.of(problems)


def issue_leaf(
    shelf: Shelf, leaf: Leaf, authorities: Mapping[str, Authority], policy: PkiPolicy, now: datetime
) -> KeyPair:
    """Return a new pair for the leaf, written to the shelf."""
    key = generate_key(leaf.spec.key_type)
    certificate = issue(leaf.spec, authorities[leaf.spec.authority], key, policy.lifetime, now)
    pair = KeyPair(
        certificate.public_bytes(Encoding.PEM), dump_private_key(key), certificate.not_valid_after_utc
    )
    shelf.write_pair(leaf.stem, pair.certificate_pem, pair.key_pem)
    return pair
