"""Judges the evidence of one host: is each component running, listening, healthy and measured?"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubenorn.cluster import Cluster
from kubenorn.components import components
from kubenorn.evidence import Evidence, HttpAnswer
from kubenorn.records import UnitState, is_process
from kubenorn.verify_requests import BACKENDS_REQUEST, READY_REQUEST

SERVICES, PORTS, HEALTH, ETCD, METRICS = "services", "ports", "health", "etcd", "metrics"
HOST_GROUPS = (SERVICES, PORTS, HEALTH, ETCD, METRICS)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what, whether it is right, and what was seen."""

    group: str
    name: str
    ok: bool
    detail: str


def host_checks(cluster: Cluster, seen: Evidence) -> Iterator[Check]:
    """Yield every check of one host of `cluster`."""
    for component in components(cluster):
        yield _service(component.name, seen.units.get(component.name), seen.clock)
        for wanted in component.listeners:
            sockets = [s for s in seen.listeners if s.port == wanted.port]
            held = next((s for s in sockets if is_process(s, wanted.process)), None)
            other = f"held by {sockets[0].process or 'an unknown process'}" if sockets else "nobody listens"
            detail = f"{held.address}:{held.port} {held.process}" if held else other
            yield Check(PORTS, f"{component.name} {wanted.port}", held is not None, detail)
        if component.health_url:
            yield http_ok(HEALTH, component.name, seen.http.get(f"health-{component.name}"))
        if component.metrics_url:
            yield _metrics(component.name, seen.http.get(f"metrics-{component.name}"))
    yield _ready(seen.http.get(READY_REQUEST))
    yield _backends(cluster, seen)
    if cluster.settings.etcd.mode == "managed":
        yield from _etcd_member(seen)


def _service(name: str, state: UnitState | None, clock: datetime) -> Check:
    if state is None or state.load == "not-found":
        return Check(SERVICES, name, False, "no such unit")
    if not state.is_active:
        return Check(SERVICES, name, False, f"is {state.active} ({state.sub}, {state.result})")
    if state.enabled != "enabled":
        return Check(SERVICES, name, False, f"is active but {state.enabled or 'not enabled'}")
    since = f" for {short(clock - state.active_since)}" if state.active_since else ""
    times = "restart" if state.restarts == 1 else "restarts"
    restarts = f", {state.restarts} {times}" if state.restarts else ""
    return Check(SERVICES, name, True, f"active{since}{restarts}")


def http_ok(group: str, name: str, answer: HttpAnswer | None) -> Check:
    """Return whether an URL answered `ok`, as Kubernetes' health endpoints do."""
    if answer is None or answer.status == 0:
        return Check(group, name, False, (answer.error if answer else "") or "no answer")
    good = answer.status == 200 and answer.text == "ok"
    said = "ok" if good else f"HTTP {answer.status}: {answer.text[:120]}"
    return Check(group, name, good, f"{said} in {answer.seconds * 1000:.0f} ms")


def _ready(answer: HttpAnswer | None) -> Check:
    """Judge kube-apiserver's verbose readiness: a line a check, `[+]name ok` or `[-]name failed: …`."""
    name = "kube-apiserver ready"
    if answer is None or answer.status == 0:
        return Check(HEALTH, name, False, (answer.error if answer else "") or "no answer")
    lines = answer.body.decode(errors="replace").splitlines()
    failed = [line.removeprefix("[-]") for line in lines if line.startswith("[-]")]
    passed = sum(line.startswith("[+]") for line in lines)
    detail = ", ".join(failed) or f"{passed} checks passed"
    return Check(
        HEALTH, name, answer.status == 200, detail if answer.status == 200 or failed else answer.text[:120]
    )


def _backends(cluster: Cluster, seen: Evidence) -> Check:
    name = "haproxy backends"
    states = backend_states(seen)
    if not states:
        return Check(HEALTH, name, False, "haproxy does not tell")
    down = [f"{server} {status}" for server, status in states.items() if not status.startswith("UP")]
    up = len(states) - len(down)
    good = not down and set(states) == {master.name for master in cluster.masters}
    return Check(
        HEALTH, name, good, f"{up} of {len(cluster.masters)} UP{': ' if down else ''}{', '.join(down)}"
    )


def backend_states(seen: Evidence) -> dict[str, str]:
    """Return how a host's haproxy sees each master's kube-apiserver, such as UP or DOWN 1/2, by its name.

    Empty when it did not tell. The answer is haproxy's CSV (management guide, "CSV format").
    """
    answer = seen.http.get(BACKENDS_REQUEST)
    if answer is None or answer.status != 200:
        return {}
    rows = csv.DictReader(io.StringIO(answer.body.decode(errors="replace").removeprefix("# ")))
    return {
        row["svname"]: row["status"]
        for row in rows
        if row.get("pxname") == "kube-apiserver" and row["svname"] not in {"FRONTEND", "BACKEND"}
    }


def _metrics(name: str, answer: HttpAnswer | None) -> Check:
    if answer is None or answer.status == 0:
        return Check(METRICS, name, False, (answer.error if answer else "") or "no answer")
    good = answer.status == 200 and b"# HELP" in answer.body
    return Check(METRICS, name, good, f"HTTP {answer.status}, {answer.size >> 10} KiB")


def _etcd_member(seen: Evidence) -> Iterator[Check]:
    answer = seen.http.get("health-etcd")
    healthy = answer is not None and answer.status == 200 and str(answer.json().get("health")) == "true"
    said = (answer.text or answer.error) if answer else "no answer"
    yield Check(ETCD, "member health", healthy, said[:120] or "no answer")
    status = seen.etcd_status
    if status is None:
        yield Check(ETCD, "member status", False, seen.etcd_error or "no answer")
        return
    leader = int(status.get("leader", 0))
    role = "leader" if leader == int(status["header"]["member_id"]) else "follower"
    size = int(status.get("dbSize", 0)) / (1 << 20)
    detail = f"{role}, {status.get('version')}, {size:.1f} MiB, term {status['header'].get('raft_term')}"
    yield Check(ETCD, "member status", leader != 0, detail if leader else "has no leader")


def short(duration: timedelta) -> str:
    """Return a duration as people say it: 42 s, 12 min, 3 h, 5 d."""
    seconds = max(0, int(duration.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
