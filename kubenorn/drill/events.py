"""What is seen during a drill. All times are seconds of the controller's monotonic clock."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

_ADDRESS = re.compile(
    r"\[(?P<time>[-0-9T:.]+)\] (?P<gone>Deleted )?\d+: (?P<interface>\S+)\s+inet (?P<address>[0-9.]+)"
)
_STATE = re.compile(r"\b(?:Entering|Now in|Transition to) (?P<state>MASTER|BACKUP|FAULT)\b")


class VrrpState(StrEnum):
    """What keepalived says it is."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"


@dataclass(frozen=True)
class HolderChange:
    """A host got the VIP (`holds`) or gave it up."""

    at: float
    host: str
    holds: bool


@dataclass(frozen=True)
class Said:
    """A line of keepalived's journal; `state` where it tells one."""

    at: float
    host: str
    text: str
    state: VrrpState | None


class Answer(StrEnum):
    """How a probe ended."""

    OK = "ok"
    DRAINING = "draining"
    """A kube-apiserver that is about to stop says no to /readyz and serves on."""
    FAILED = "failed"


@dataclass(frozen=True)
class Probe:
    """One new TLS connection through the VIP: from its start to the answer, or to what went wrong."""

    start: float
    end: float
    answer: Answer
    reason: str = ""


@dataclass(frozen=True)
class WatchChange:
    """The long-lived watch connection came up (`connected`) or was lost."""

    at: float
    connected: bool
    reason: str = ""


@dataclass(frozen=True)
class LeaderChange:
    """A component's Lease (or Endpoints annotation) names another holder, an identity HOSTNAME_UUID."""

    at: float
    component: str
    holder: str


@dataclass(frozen=True)
class Clock:
    """How a host's clock stands to this machine's: `monotonic = epoch + offset`, ± `uncertainty`; in seconds."""

    offset: float
    uncertainty: float

    def monotonic(self, epoch: float) -> float:
        """Return a time of the host (seconds since 1970) on this machine's monotonic clock."""
        return epoch + self.offset


def best_clock(samples: list[tuple[float, float, float]]) -> Clock | None:
    """Return the clock from `(asked, epoch, answered)`: the quickest answer tells most exactly (RFC 5905, section 8).

    `asked` and `answered` are this machine's monotonic seconds, `epoch` is what the host said. None without samples.
    """
    if not samples:
        return None
    asked, epoch, answered = min(samples, key=lambda sample: sample[2] - sample[0])
    return Clock((asked + answered) / 2 - epoch, (answered - asked) / 2)


def parse_address(line: str, vip: str) -> tuple[float, bool] | None:
    """Return when (epoch seconds) and whether the VIP came, from a line of `ip -ts -o -4 monitor address` in UTC.

    None when the line is about another address, or none of that kind.
    """
    found = _ADDRESS.match(line)
    if not found or found["address"] != vip:
        return None
    moment = datetime.fromisoformat(found["time"]).replace(tzinfo=UTC)
    return moment.timestamp(), not found["gone"]


def parse_journal(line: str) -> tuple[float, str] | None:
    """Return when (epoch seconds) and what, from a line of `journalctl -o json`; None when it is none."""
    try:
        entry = json.loads(line)
        # When it was said, where journald knows; else when journald heard it (systemd.journal-fields(7)).
        micros = entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry["__REALTIME_TIMESTAMP"]
        message = entry.get("MESSAGE")
        return int(micros) / 1e6, message if isinstance(message, str) else ""
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def state_in(text: str) -> VrrpState | None:
    """Return the state that a line of keepalived's tells of, such as "(lab) Entering MASTER STATE"."""
    found = _STATE.search(text)
    return VrrpState(found["state"]) if found else None
