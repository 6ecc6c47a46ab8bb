"""Faults and events for the tests of the drill."""

from datetime import UTC, datetime
from typing import Any

from kubenorn.drill.events import Answer, HolderChange, Probe, Said, WatchChange
from kubenorn.drill.expectations import Expectation
from kubenorn.drill.measure import Seen, measure
from kubenorn.drill.results import Drilled
from kubenorn.drill.scenarios import Fault, Scenario, unit_fault

STARTED = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def haproxy_stop(host: str = "m1") -> Fault:
    return unit_fault(Scenario.HAPROXY_STOP, host, "haproxy")


def probes(start: float, end: float, every: float, bad: tuple[float, float] = (0, 0)) -> tuple[Probe, ...]:
    """Probes that take 5 ms each; those that begin within `bad` fail at once."""
    found = []
    for number in range(round((end - start) / every)):
        begun = start + number * every
        answer = Answer.FAILED if bad[0] <= begun < bad[1] else Answer.OK
        found.append(Probe(begun, begun + 0.005, answer, "refused" if answer is Answer.FAILED else ""))
    return tuple(found)


def seen(**changes: Any) -> Seen:
    """A VIP that moves from m1 to m2 in 60 ms, with an API that does not answer from 10 to 90 ms."""
    values: dict[str, Any] = {
        "began": 99.0,
        "broken": 100.0,
        "mending": 101.5,
        "ended": 103.0,
        "holders": ("m1",),
        "changes": (HolderChange(100.040, "m1", False), HolderChange(100.060, "m2", True)),
        "said": (Said(100.035, "m1", "(lab) Entering FAULT STATE", None),),
        "probes": probes(99.0, 103.0, 0.025, bad=(100.01, 100.09)),
        "watch": (WatchChange(100.02, False, "ended"), WatchChange(100.15, True)),
        "leaders": (),
        "interval": 0.025,
        "uncertainty": 0.002,
    }
    return Seen(**(values | changes))


def drilled(number: int = 1, *, ok: bool = True, **changes: Any) -> Drilled:
    found = seen(**changes)
    samples = tuple(((p.start - 100) * 1000, (p.end - 100) * 1000, p.answer.value) for p in found.probes)
    expectation = Expectation("outage up to 200 ms", ok, "100 ms")
    return Drilled(number, STARTED, measure(haproxy_stop(), found, {}), (expectation,), 12.5, samples)
