"""What every certificate and token of a cluster rests on: its authorities and the service-account key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from cryptography.hazmat.primitives.serialization import Encoding

from kubenorn.errors import InputWrongError
from kubenorn.pki.authorities import find_made, find_own, made_paths, remember
from kubenorn.pki.authority import Authority, create_authority
from kubenorn.pki.jobs import Job, Meter, run_jobs
from kubenorn.pki.keys import KeyType, PrivateKey, dump_private_key, generate_key
from kubenorn.pki.layout import AUTHORITY_COMMON_NAMES, PkiRequest
from kubenorn.pki.material import AuthorityPair, PkiChange, PkiPolicy, ServiceAccountKeys
from kubenorn.pki.service_account import complete_service_account, find_service_account_key
from kubenorn.pki.shelf import Shelf

AUTHORITY_NOTICE = timedelta(days=180)
"""How long before its end a CA is spoken of: rotating one needs planning."""


@dataclass(frozen=True)
class FoundRoots:
    """What is there. `missing` authorities have None, or the key that a cut-off first run left."""

    found: Mapping[str, Authority]
    missing: Mapping[str, PrivateKey | None] = field(repr=False)
    service_account: PrivateKey | None = field(repr=False)

    @property
    def to_make(self) -> int:
        """How many slow things are to be made."""
        return len(self.missing) + (self.service_account is None)


@dataclass(frozen=True)
class Roots:
    """All of them, and what was made for that."""

    authorities: Mapping[str, Authority]
    service_account: ServiceAccountKeys
    changes: tuple[PkiChange, ...]
    notices: tuple[str, ...]

    def pair(self, name: str) -> AuthorityPair:
        """Return an authority as PEM."""
        authority = self.authorities[name]
        end = authority.certificate.not_valid_after_utc
        return AuthorityPair(authority.certificate_pem, authority.key_pem, end, authority.fingerprint)


def find_roots(shelf: Shelf, request: PkiRequest, policy: PkiPolicy, now: datetime) -> FoundRoots:
    """Return what is there, checked; raises InputWrongError with every fault, one a line. Writes nothing."""
    found: dict[str, Authority] = {}
    missing: dict[str, PrivateKey | None] = {}
    service_account, problems = None, []
    for name in request.authorities:
        own = policy.own_authorities.get(name)
        try:
            root = find_own(shelf, name, own, now) if own else find_made(shelf, name, now)
            if isinstance(root, Authority):
                found[name] = root
            else:
                missing[name] = root
        except InputWrongError as error:
            problems.append(str(error))
    try:
        service_account = find_service_account_key(shelf)
    except InputWrongError as error:
        problems.append(str(error))
    if problems:
        raise InputWrongError.of(problems)
    return FoundRoots(found, missing, service_account)


def complete_roots(
    shelf: Shelf, roots: FoundRoots, request: PkiRequest, policy: PkiPolicy, *, now: datetime, meter: Meter
) -> Roots:
    """Return all of them, after making and writing what is missing."""
    remember(shelf, {name: roots.found[name] for name in policy.own_authorities if name in roots.found})
    jobs = [
        Job(
            name,
            partial(
                _make_authority,
                shelf,
                name,
                key,
                key_type=request.key_type,
                days=policy.authority_days,
                now=now,
            ),
        )
        for name, key in roots.missing.items()
    ]
    authorities = dict(roots.found) | dict(zip(roots.missing, run_jobs(jobs, meter), strict=True))
    service_account, change = complete_service_account(shelf, roots.service_account, request.key_type)
    if roots.service_account is None:
        meter.tick("service-account")
    changes = [*_creations(roots), *([change] if change else [])]
    return Roots(authorities, service_account, tuple(changes), tuple(_notices(authorities, now)))


def _make_authority(
    shelf: Shelf, name: str, key: PrivateKey | None, *, key_type: KeyType, days: int, now: datetime
) -> Authority:
    key_is_new = key is None
    key = key or generate_key(key_type)
    authority = create_authority(name, AUTHORITY_COMMON_NAMES[name], key, days, now)
    certificate_path, key_path = made_paths(name)
    if key_is_new:  # one that is there is never overwritten
        shelf.write(key_path, dump_private_key(key))
    shelf.write(certificate_path, authority.certificate.public_bytes(Encoding.PEM))
    return authority


def _creations(roots: FoundRoots) -> Iterator[PkiChange]:
    for name, key in roots.missing.items():
        reason = "certificate file is missing" if key else "does not exist yet"
        yield PkiChange(made_paths(name)[0], None, "created", reason)


def _notices(authorities: Mapping[str, Authority], now: datetime) -> Iterator[str]:
    for name, authority in authorities.items():
        end = authority.certificate.not_valid_after_utc
        if end - now < AUTHORITY_NOTICE:
            yield (
                f"the CA {name} expires on {end:%Y-%m-%d}, in {(end - now).days} days, and every "
                "certificate it signs with it; plan its rotation"
            )
