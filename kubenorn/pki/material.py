"""What the PKI store is told and what it hands out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from kubenorn.errors import InputWrongError


@dataclass(frozen=True)
class OwnAuthority:
    """An operator's own CA: files on the controller, read where they are and never copied."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class PkiPolicy:
    """Lifetimes in days, and the operator's own authorities by name (`ca`, `etcd-ca`, `front-proxy-ca`)."""

    authority_days: int = 3650
    certificate_days: int = 365
    renew_before_days: int = 30
    own_authorities: Mapping[str, OwnAuthority] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.renew_before_days >= self.certificate_days:
            raise InputWrongError(
                f"certificates would live {self.certificate_days} days and be renewed "
                f"{self.renew_before_days} days before their end, so on every run; "
                "renew later or let them live longer"
            )

    @property
    def lifetime(self) -> timedelta:
        """How long a component's certificate lives."""
        return timedelta(days=self.certificate_days)

    @property
    def renew_before(self) -> timedelta:
        """How long before its end a certificate is issued anew."""
        return timedelta(days=self.renew_before_days)


@dataclass(frozen=True)
class PkiChange:
    """One file pair that was made, or in a dry run would be; `path` is relative to the cluster's folder.

    `host` is None for what belongs to the cluster or the controller.
    """

    path: str
    host: str | None
    action: Literal["created", "reissued"]
    reason: str


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key as PEM, and when the certificate ends (UTC)."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    not_after: datetime


@dataclass(frozen=True)
class AuthorityPair:
    """A CA as PEM (with its chain, if it has one), its end (UTC), and its key unless that is not here."""

    certificate_pem: bytes
    key_pem: bytes | None = field(repr=False)
    not_after: datetime
    fingerprint: str


@dataclass(frozen=True)
class ServiceAccountKeys:
    """The pair that signs and verifies service-account tokens; no certificate belongs to it."""

    public_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True)
class PkiResult:
    """Everything of one cluster: what was done, and the material by host and by the certificate's name.

    `notices` are sentences for the operator about what nothing is done about, such as a CA near its end.
    """

    changes: tuple[PkiChange, ...]
    notices: tuple[str, ...]
    authorities: Mapping[str, AuthorityPair]
    service_account: ServiceAccountKeys
    hosts: Mapping[str, Mapping[str, KeyPair]]
    controller: Mapping[str, KeyPair]
