"""What the audit's own part of the script brings back from a host, as types; `kubenorn.audit.parse` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import PurePosixPath

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kubenorn.records import UnitState


@dataclass(frozen=True)
class Process:
    """The main process of a component: who started it, with what, and the file it was started from."""

    pid: int
    executable: str
    """As the kernel has it: it ends in " (deleted)" when the file was replaced or removed since."""
    arguments: tuple[str, ...]
    unit: str = ""
    """The systemd unit it runs in, without `.service`; empty when it runs in none."""
    in_container: bool = False
    variables: Mapping[str, str] | None = None
    """etcd's settings from its environment, by flag."""
    others: tuple[int, ...] = ()
    """Further processes of the same program that it did not start itself."""

    @property
    def program(self) -> PurePosixPath:
        """The file it was started from, wherever that is now."""
        return PurePosixPath(self.executable.removesuffix(" (deleted)"))

    @property
    def flags(self) -> dict[str, str]:
        """Its flags by name, without dashes; a flag without a value is "true". What a flag says beats a variable."""
        found = dict(self.variables or {})
        words = iter([*self.arguments[1:], "-"])
        word = next(words)
        for following in words:
            if word.startswith("-"):
                name, equals, value = word.lstrip("-").partition("=")
                apart = not equals and not following.startswith("-")  # --flag value
                found[name] = value if equals else following if apart else "true"
            word = following
        return found


@dataclass(frozen=True)
class FileSeen:
    """Mode, owner and times of a file or directory that a component was given."""

    mode: int
    owner: str
    modified: datetime
    is_directory: bool
    sha256: str
    """Empty for directories."""


@dataclass(frozen=True)
class KubeconfigSeen:
    """A kubeconfig without its secret: whom it trusts, and as whom it asks. Empty where it does not say."""

    server: str
    authority: bytes
    certificate: bytes
    authority_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


@dataclass(frozen=True)
class Usage:
    """How full a file system is, in percent of bytes and of inodes."""

    bytes_percent: int
    inodes_percent: int


@dataclass(frozen=True)
class JournalErrors:
    """What a program said went wrong within the minutes that are looked at: how often, and the last of it."""

    count: int
    last: str
    at: datetime


@dataclass(frozen=True)
class EtcdMember:
    """A member as etcd's own list has it; one without a name never started."""

    name: str
    peer_urls: tuple[str, ...]
    is_learner: bool


@dataclass(frozen=True)
class Collected:
    """Everything the audit's own part collected on one host."""

    processes: Mapping[str, Process]
    """By component."""
    units: Mapping[str, UnitState]
    """The units that are expected, and those that processes run in, by name without `.service`."""
    started_with: Mapping[str, str]
    """By unit: the command line systemd would start it with, words joined by spaces."""
    unit_files: Mapping[str, tuple[str, ...]]
    """By unit: its file and its drop-ins."""
    certificates: Mapping[str, bytes]
    """PEM by path."""
    public_halves: Mapping[str, str]
    """By the path of a private key, or of a kubeconfig with one: `public_half` of it. The key stays on the host."""
    files: Mapping[str, FileSeen]
    kubeconfigs: Mapping[str, KubeconfigSeen]
    served: Mapping[str, bytes]
    """By endpoint: the certificate it shows on the wire, PEM."""
    keepalived_file: str
    keepalived: str
    """keepalived's configuration, its password masked."""
    password_digest: str
    """Of its password, with a salt of this audit: the same on two hosts when the passwords are."""
    alarms: tuple[str, ...]
    members: tuple[EtcdMember, ...] | None
    """None where it was not asked, or did not answer."""
    file_systems: Mapping[str, Usage]
    swap: tuple[str, ...]
    reboot_pending: bool
    default_credentials: str
    """haproxy's configuration when its statistics have the guides' user and password, else empty."""
    journal: Mapping[str, JournalErrors]
    """By program."""
    vip_neighbours: frozenset[str]
    """MAC addresses that this host sends to when it sends to the VIP."""
    macs: Mapping[str, str]
    """Its own MAC addresses by interface."""
    lacks: frozenset[str]
    """Of `kubeconfig` (an administrator's) and `etcdctl`: what was not found there."""
    has_openssl: bool = True

    def unit_of(self, component: str) -> str:
        """Return the unit a component runs in; while it does not run, the one it is expected in."""
        process = self.processes.get(component)
        return (process.unit if process else "") or component

    def flags_of(self, component: str) -> Mapping[str, str]:
        """Return a component's flags; while it does not run, those that its unit would start it with."""
        process = self.processes.get(component)
        if process:
            return process.flags
        words = self.started_with.get(component, "").split()
        return Process(0, "", tuple(words)).flags if words else {}

    def flag(self, component: str, name: str) -> str:
        """Return what a component that runs was given for a flag; empty without."""
        process = self.processes.get(component)
        return process.flags.get(name, "") if process else ""


@lru_cache(maxsize=4096)  # several checks look at each of them
def load_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates in a PEM file; none when they cannot be read."""
    try:
        return tuple(filter(_can_be_judged, x509.load_pem_x509_certificates(pem)))
    except ValueError:
        return ()


def _can_be_judged(certificate: x509.Certificate) -> bool:
    """Whether its key, its signature and its extensions are of kinds that are known here; SM2 is not."""
    try:
        certificate.public_key()
        extensions = certificate.extensions
        return certificate.signature_hash_algorithm is not None or bool(extensions)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False


def public_half(key: PublicKeyTypes) -> str:
    """Return what is public of a key pair, the same for the same pair: what kind it is, and its numbers.

    As templates/public_half.awk.j2 tells it of a private key; PEM for kinds that it does not know.
    """
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return f"rsa {numbers.n:x} {numbers.e:x}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ec {key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()}"
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
