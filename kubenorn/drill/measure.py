"""What one fault cost: phases, outage and holders, worked out from the events that were seen."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

from kubenorn.drill.events import Answer, HolderChange, LeaderChange, Probe, Said, WatchChange
from kubenorn.drill.scenarios import Fault

Interval = tuple[float, float]
PATIENT_INTERVALS, PATIENCE_SECONDS = 4, 0.25
"""What is jitter and no outage: an answer takes 5 to 15 ms, but on hosts with few processors up to
130 while the drill itself looks at them."""


@dataclass(frozen=True)
class Seen:
    """Everything seen around one fault; times are seconds of this machine's monotonic clock."""

    began: float
    """When the drill's watch over this fault began; nothing before counts."""
    broken: float
    """When the host was about to be broken."""
    mending: float
    """When it was about to be mended."""
    ended: float
    holders: tuple[str, ...]
    """Who had the VIP when it began."""
    changes: tuple[HolderChange, ...]
    said: tuple[Said, ...]
    probes: tuple[Probe, ...]
    watch: tuple[WatchChange, ...]
    leaders: tuple[LeaderChange, ...]
    interval: float
    """Seconds between the beginnings of two probes, as asked for."""
    uncertainty: float = 0.0
    """By how much the hosts' clocks may be off, in seconds."""


@dataclass(frozen=True)
class Measured:
    """What one fault cost. Phases are milliseconds since the host was broken; None: not seen.

    noticed: a keepalived said something. vip_gone: the holder's kernel gave the VIP up. vip_there: another one's
    took it. api_back: the first good answer after the first failed probes.
    """

    fault: Fault
    noticed: float | None
    vip_gone: float | None
    vip_there: float | None
    api_back: float | None
    outage: float | None
    """The longest time without a good answer; 0 when no probe failed or waited, None when none was good any more."""
    probes: int
    failed: int
    draining: int
    disturbed: float
    """From the beginning of the first probe that failed to that of the last one: an API that answers now and then."""
    probe_pause: float
    """The longest time between the beginnings of two probes: far over the interval, the prober itself was held up."""
    connections_lost: int
    watch_back: float | None
    """When the watch connection was up again."""
    overlap: float
    """How long two hosts had the VIP at once, in all."""
    overlap_mended: float
    """How much of that was after the host was about to be mended."""
    unheld: float
    """How long nobody had it."""
    successor: str | None
    last_holder: str | None
    """Who had the VIP in the end."""
    leader_back: float | None
    leader_changes: tuple[LeaderChange, ...]
    """Their `at` in milliseconds since the host was broken, too."""
    uncertainty: float
    """By how much times between hosts may be off, in milliseconds."""
    tenures: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)
    """By host: from when to when it had the VIP, in milliseconds since the host was broken."""


def measure(fault: Fault, seen: Seen, identities: Mapping[str, str]) -> Measured:
    """Return what `fault` cost; `identities` give each leader's host by its identity in the Lease."""
    held = tenures(seen)
    others = {host: spans for host, spans in held.items() if host != fault.host}
    taken = [(c.at, c.host) for c in seen.changes if c.holds and c.at >= seen.broken and c.host != fault.host]
    gone = [c.at for c in seen.changes if not c.holds and c.at >= seen.broken and c.host in seen.holders]
    there = min(taken, default=None)
    until = min(seen.mending, seen.ended)
    words = [s.at for s in seen.said if seen.broken <= s.at < until]
    gaps = list(gaps_between(seen.probes, seen.broken, seen.ended, seen.interval))
    gap = max(gaps, key=lambda each: each.seconds, default=None)
    first = next((each for each in gaps if each.start < seen.mending), None)
    lost = [w.at for w in seen.watch if not w.connected and w.at >= seen.broken]
    back = [w.at for w in seen.watch if w.connected and lost and w.at > lost[0]]
    new_leaders = tuple(c for c in seen.leaders if c.at >= seen.broken)
    moved = [
        c.at for c in new_leaders if c.component == fault.unit and identities.get(c.holder) != fault.host
    ]
    probes = [p for p in seen.probes if p.end >= seen.broken]
    failed = [p.start for p in probes if p.answer is Answer.FAILED]
    begun = sorted(p.start for p in seen.probes)

    def since(moment: float | None) -> float | None:
        return None if moment is None else (moment - seen.broken) * 1000

    return Measured(
        fault=fault,
        noticed=since(min(words, default=None)),
        vip_gone=since(min(gone, default=None)),
        vip_there=since(there[0] if there else None),
        api_back=since(first.end) if first else None,
        outage=0.0 if gap is None else None if gap.end is None else (gap.end - gap.start) * 1000,
        probes=len(probes),
        failed=len(failed),
        draining=sum(p.answer is Answer.DRAINING for p in probes),
        disturbed=(max(failed) - min(failed)) * 1000 if failed else 0.0,
        probe_pause=max((b - a for a, b in pairwise(begun)), default=0.0) * 1000,
        connections_lost=len(lost),
        watch_back=since(min(back, default=None)),
        overlap=_overlap(held, seen.began, seen.ended) * 1000,
        overlap_mended=_overlap(held, seen.mending, seen.ended) * 1000,
        unheld=_unheld(held, seen.broken, seen.ended) * 1000,
        successor=there[1] if there else None,
        last_holder=next(
            (host for host, spans in held.items() if spans and spans[-1][1] >= seen.ended), None
        ),
        leader_back=since(min(moved, default=None)),
        leader_changes=tuple(replace(c, at=(c.at - seen.broken) * 1000) for c in new_leaders),
        uncertainty=seen.uncertainty * 1000,
        tenures={
            host: tuple(((a - seen.broken) * 1000, (b - seen.broken) * 1000) for a, b in spans)
            for host, spans in {fault.host: held.get(fault.host, ()), **others}.items()
            if spans
        },
    )


def tenures(seen: Seen) -> dict[str, tuple[Interval, ...]]:
    """Return by host from when to when it had the VIP, within the time that was watched."""
    since: dict[str, float] = dict.fromkeys(seen.holders, seen.began)
    found: dict[str, list[Interval]] = {host: [] for host in seen.holders}
    for change in sorted(seen.changes, key=lambda each: each.at):
        if change.holds:
            since.setdefault(change.host, change.at)
        elif change.host in since:
            found.setdefault(change.host, []).append((since.pop(change.host), change.at))
    for host, start in since.items():
        found.setdefault(host, []).append((start, seen.ended))
    return {host: tuple(spans) for host, spans in found.items()}


@dataclass(frozen=True)
class Gap:
    """A time without a good answer in which a probe failed or waited; `end` is None while it lasts."""

    start: float
    end: float | None

    @property
    def seconds(self) -> float:
        """Return how long it was; one that lasts is longer than any other."""
        return inf if self.end is None else self.end - self.start


def gaps_between(probes: Sequence[Probe], broken: float, ended: float, interval: float) -> Iterator[Gap]:
    """Yield each time without a good answer from `broken` on, in order; `interval` is that of the probes.

    It counts from the last good answer, or from `broken` if that was later. A probe that a kube-apiserver answered
    while it drains was served, and is good here. Without a single good answer everything is one gap.

    Good answers are never quite an interval apart. A time between two of them is a gap when a probe failed in it, or
    when one waited in it for longer than PATIENT_INTERVALS, and than PATIENCE_SECONDS: the API may keep everybody
    waiting for less than a probe's patience, and fail nobody. A prober that was held up itself, and began no probe
    meanwhile, makes no gap.
    """
    good = sorted(p.end for p in probes if p.answer is not Answer.FAILED and p.end > broken)
    # A probe that began before the host was broken, and failed since, belongs to the first time.
    bad = sorted(max(p.start, broken) for p in probes if p.answer is Answer.FAILED and p.end >= broken)
    patience = max(PATIENT_INTERVALS * interval, PATIENCE_SECONDS)
    if not good:
        yield Gap(broken, None)
        return
    for start, end in pairwise([broken, *good]):
        if _any_within(bad, start, end) or (
            end - start > patience and _waited(probes, start, end) > patience
        ):
            yield Gap(start, end)
    if _any_within(bad, good[-1], ended):
        yield Gap(good[-1], None)


def _any_within(moments: Sequence[float], start: float, end: float) -> bool:
    """Whether one of the sorted moments is within start and end; the end does not count."""
    index = bisect_left(moments, start)
    return index < len(moments) and moments[index] < end


def _waited(probes: Sequence[Probe], start: float, end: float) -> float:
    """Return for how many seconds before `end` a probe had been waiting, since `start` at most."""
    return end - max(start, min((p.start for p in probes if p.end >= end), default=end))


def _steps(held: Mapping[str, Sequence[Interval]], start: float, end: float) -> Iterator[tuple[float, int]]:
    """Yield for each stretch of time between two changes how long it is and how many hosts had the VIP."""
    clipped = [
        (max(a, start), min(b, end)) for spans in held.values() for a, b in spans if b > start and a < end
    ]
    edges = sorted({start, end, *(edge for span in clipped for edge in span)})
    for left, right in pairwise(edges):
        yield right - left, sum(a <= left and right <= b for a, b in clipped)


def _overlap(held: Mapping[str, Sequence[Interval]], start: float, end: float) -> float:
    return sum(seconds for seconds, holders in _steps(held, start, end) if holders > 1)


def _unheld(held: Mapping[str, Sequence[Interval]], start: float, end: float) -> float:
    return sum(seconds for seconds, holders in _steps(held, start, end) if holders == 0)
