"""Where everything stands in the timeline of one fault: numbers for the SVG of the HTML page."""

from collections.abc import Iterator
from dataclasses import dataclass

from kubenorn.drill.results import Drilled

WIDTH, LABEL, ROW, TOP = 720, 118, 26, 36
"""Of the drawing, in its own units: the whole width, the hosts' names, a row's height, the first row."""
TICK_STEPS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
MOST_TICKS = 8


@dataclass(frozen=True)
class Bar:
    """A stretch of time in a row."""

    x: float
    width: float
    title: str


@dataclass(frozen=True)
class Row:
    """A host's row: its name, where it stands, and when it had the VIP."""

    name: str
    y: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Mark:
    """A moment: a probe, a phase's end or a tick of the axis."""

    x: float
    label: str
    kind: str = ""


@dataclass(frozen=True)
class Timeline:
    """One drawing, in its own units."""

    width: int
    height: int
    left: int
    rows: tuple[Row, ...]
    probes_y: int
    probes: tuple[Mark, ...]
    ticks: tuple[Mark, ...]
    moments: tuple[Mark, ...]
    fault_x: float
    row: int = ROW


def timeline(drilled: Drilled) -> Timeline:
    """Return the drawing of one fault, from a little before it until the API answers again."""
    m = drilled.measured
    edges = (m.noticed, m.vip_gone, m.vip_there, m.api_back, m.leader_back)
    end = max([100.0, *(edge for edge in edges if edge is not None)]) * 1.35
    start = -0.15 * end
    scale = (WIDTH - LABEL - 8) / (end - start)

    def x(at: float) -> float:
        return round(LABEL + (min(max(at, start), end) - start) * scale, 1)

    rows = tuple(
        Row(
            host,
            TOP + number * ROW,
            tuple(
                Bar(x(a), round(x(b) - x(a), 1), f"{host} had the VIP from {a:.0f} to {b:.0f} ms")
                for a, b in spans
                if b > start and a < end
            ),
        )
        for number, (host, spans) in enumerate(m.tenures.items())
    )
    probes_y = TOP + len(rows) * ROW
    return Timeline(
        width=WIDTH,
        height=probes_y + ROW + 40,
        left=LABEL,
        rows=rows,
        probes_y=probes_y,
        probes=tuple(
            Mark(x(begun), f"{begun:.0f} ms: {answer} after {finished - begun:.0f} ms", answer)
            for begun, finished, answer in drilled.samples
            if start <= begun <= end
        ),
        ticks=tuple(_ticks(start, end, x(0), scale)),
        moments=tuple(
            Mark(x(at), f"{sign} {name} after {at:.0f} ms", sign)
            for sign, name, at in (
                ("①", "keepalived noticed", m.noticed),
                ("②", "the VIP was there", m.vip_there),
                ("③", "the API answered", m.api_back),
            )
            if at is not None and at <= end
        ),
        fault_x=x(0),
    )


def _ticks(start: float, end: float, zero: float, scale: float) -> Iterator[Mark]:
    step = next((s for s in TICK_STEPS if (end - start) / s <= MOST_TICKS), TICK_STEPS[-1])
    at = 0
    while at <= end:
        yield Mark(round(zero + at * scale, 1), f"{at} ms" if step < 1000 else f"{at // 1000} s")
        at += step
