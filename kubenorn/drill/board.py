"""Where everything that is seen during a drill comes together, from several threads."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from kubenorn.drill.events import (
    Answer,
    Clock,
    HolderChange,
    LeaderChange,
    Probe,
    Said,
    VrrpState,
    WatchChange,
    parse_address,
    parse_journal,
    state_in,
)
from kubenorn.drill.measure import Seen

SHOWN_PROBES = 60


@dataclass(frozen=True)
class Glance:
    """How things stand now, for the live view and for what waits on it."""

    holders: tuple[str, ...]
    states: dict[str, VrrpState]
    probes: tuple[Probe, ...]
    """The newest, oldest first."""
    watching: bool
    leaders: dict[str, str]
    """Each component's identity in its Lease."""


class Board:
    """Every event so far; `interval` is that of the probes, in seconds. Its methods may be called from any thread."""

    def __init__(self, vip: str, interval: float) -> None:
        self._vip = vip
        self._interval = interval
        self._lock = threading.Lock()
        self._clocks: dict[str, Clock] = {}
        self._holders: set[str] = set()
        self._states: dict[str, VrrpState] = {}
        self._changes: list[HolderChange] = []
        self._said: list[Said] = []
        self._probes: list[Probe] = []
        self._watch: list[WatchChange] = []
        self._leaders: list[LeaderChange] = []
        self.failure = ""
        """Why nothing is measured any more; empty while all is well."""

    def set_clock(self, host: str, clock: Clock) -> None:
        """Tell how a host's clock stands to this machine's; needed before its first event."""
        with self._lock:
            self._clocks[host] = clock

    def found(self, host: str, *, holds: bool, asked: float) -> None:
        """Tell whether a look at a host, begun at `asked`, found the VIP there.

        Nothing new where its events said so already, or said something else since.
        """
        with self._lock:
            newer = any(change.host == host and change.at >= asked for change in self._changes)
            if newer or holds == (host in self._holders):
                return
            self._changes.append(HolderChange(time.monotonic(), host, holds))
            (self._holders.add if holds else self._holders.discard)(host)

    def host_line(self, host: str, line: str) -> None:
        """Take a line of the observer on a host: of `ip monitor`, or of its journal. Others are ignored."""
        with self._lock:
            clock = self._clocks.get(host)
            if clock is None:
                return
            if (address := parse_address(line, self._vip)) is not None:
                epoch, holds = address
                self._changes.append(HolderChange(clock.monotonic(epoch), host, holds))
                (self._holders.add if holds else self._holders.discard)(host)
            elif (entry := parse_journal(line)) is not None:
                state = state_in(entry[1])
                self._said.append(Said(clock.monotonic(entry[0]), host, entry[1], state))
                if state:
                    self._states[host] = state

    def add(self, event: Probe | WatchChange | LeaderChange) -> None:
        """Take what the prober saw."""
        with self._lock:
            if isinstance(event, Probe):
                self._probes.append(event)
            elif isinstance(event, WatchChange):
                self._watch.append(event)
            else:
                self._leaders.append(event)

    def gone(self, host: str, at: float) -> None:
        """Tell that a host lost its power: it has the VIP no more, and nobody there could say so."""
        with self._lock:
            if host in self._holders:
                self._changes.append(HolderChange(at, host, holds=False))
                self._holders.discard(host)
            self._states.pop(host, None)

    def glance(self) -> Glance:
        """Return how things stand now."""
        with self._lock:
            return Glance(
                tuple(sorted(self._holders)),
                dict(self._states),
                tuple(self._probes[-SHOWN_PROBES:]),
                bool(self._watch and self._watch[-1].connected),
                {change.component: change.holder for change in self._leaders},
            )

    def good_since(self, moment: float) -> int:
        """Return how many good answers came since the last failed one, of probes begun after `moment`."""
        with self._lock:
            count = 0
            for probe in reversed(self._probes):
                if probe.start < moment or probe.answer is Answer.FAILED:
                    break
                count += 1
            return count

    def last_good_before_failure(self, moment: float) -> float | None:
        """Return when the last good answer came before the first failed probe after `moment`; None without one."""
        with self._lock:
            bad = [p.start for p in self._probes if p.start >= moment and p.answer is Answer.FAILED]
            if not bad:
                return None
            good = [p.end for p in self._probes if p.answer is not Answer.FAILED and p.end <= bad[0]]
            return max([moment, *good])

    def identities(self) -> set[str]:
        """Return every identity that a Lease named so far."""
        with self._lock:
            return {change.holder for change in self._leaders}

    def seen(self, began: float, broken: float, mending: float, ended: float, holders: Iterable[str]) -> Seen:
        """Return everything between two moments; `holders` had the VIP when it began."""
        with self._lock:
            return Seen(
                began=began,
                broken=broken,
                mending=mending,
                ended=ended,
                holders=tuple(holders),
                changes=tuple(c for c in self._changes if began <= c.at <= ended),
                said=tuple(s for s in self._said if began <= s.at <= ended),
                probes=tuple(p for p in self._probes if began <= p.end and p.start <= ended),
                watch=tuple(w for w in self._watch if began <= w.at <= ended),
                leaders=tuple(c for c in self._leaders if began <= c.at <= ended),
                interval=self._interval,
                # Of two hosts each may be off, and the one the other way.
                uncertainty=sum(sorted(clock.uncertainty for clock in self._clocks.values())[-2:]),
            )
