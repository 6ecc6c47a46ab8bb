"""What the audit finds: how bad, where, what was seen, and what to do."""

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """How bad a finding is; higher is worse."""

    INFO = 0
    """Good to know."""
    WARNING = 1
    """It will break something, or makes a failure worse."""
    ERROR = 2
    """Something is broken, or open."""
    CRITICAL = 3
    """The control plane is, or is about to be, down or taken over."""

    def __str__(self) -> str:
        return self.name.lower()


class Group(StrEnum):
    """What a check is about: the names of --check and --skip."""

    SERVICES = "services"
    PORTS = "ports"
    CERTIFICATES = "certificates"
    VIP = "vip"
    LEADERS = "leaders"
    ETCD = "etcd"
    EQUALITY = "equality"
    DRIFT = "drift"
    EXPOSURE = "exposure"
    HOST = "host"


@dataclass(frozen=True)
class Finding:
    """One finding. `host` is empty where it is about the cluster as a whole."""

    severity: Severity
    group: Group
    host: str
    subject: str
    """What it is about: a path, a unit, a port."""
    evidence: str
    remedy: str
    diff: str = ""
    """How a file differs from what it should be, as a unified diff with secrets masked."""

    about: str = ""
    """A file it is about as well, beside its subject."""
    differs: bool = False
    """Whether it says that the content of its subject, or what it is about, is not what it should be."""
    follows: str = ""
    """A file: it may only say what follows from a change of that."""

    identity: str = ""
    """What tells it from another finding of the same kind there: which alarm, which card, which change."""

    @property
    def key(self) -> str:
        """What makes it the same finding in another audit, though details of its evidence have changed."""
        said = re.sub(r"[0-9]+", "", re.split(r"[;:(]", self.evidence)[0]).strip()
        parts = (self.group, self.host, self.subject, str(self.severity), said)
        return "/".join((*parts, self.identity) if self.identity else parts)
