"""Which ports should be open, and what is told of one that is not."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from kubenorn.audit import ports as module
from kubenorn.audit.finding import Severity
from kubenorn.audit.ports import ports
from kubenorn.records import ListeningSocket
from tests.unit.audit.test_findings import NOW, context, right

SCHEDULER = (
    "process\tkube-scheduler\t9\t1\t/system.slice/kube-scheduler.service\t/usr/local/bin/kube-scheduler",
    "argument\t9\t/usr/local/bin/kube-scheduler",
)


def started(ago: float, restarts: int | None = 0) -> tuple[str, ...]:
    """Return what tells that the scheduler of m1 runs since so many seconds; systemd 219 counts no restarts."""
    at = NOW - timedelta(seconds=ago)
    return (
        *SCHEDULER,
        "unit\tId=kube-scheduler.service",
        "unit\tActiveState=active",
        *([] if restarts is None else [f"unit\tNRestarts={restarts}"]),
        f"unit\tExecMainStartTimestamp={at:%a %Y-%m-%d %H:%M:%S.%f} UTC",
        "unit\t",
    )


def test_a_port_by_its_flag_and_one_that_nobody_else_reaches() -> None:
    found = context(right()[0], flags=("--secure-port=7443",))
    host = found.hosts["m1"]
    host.observed.listeners = (
        ListeningSocket("127.0.0.1", 7443, "kube-apiserver", 7),
        ListeningSocket("127.0.0.1", 8080, "kube-apiserver", 7),
    )
    told = {each.subject: each.evidence for each in ports(found)}
    assert told["port 7443"] == "kube-apiserver listens on 127.0.0.1 alone: no other host reaches it"
    assert told["port 8080"].startswith("kube-apiserver listens on 127.0.0.1:8080")
    assert "port 6443" not in told


@pytest.mark.parametrize(
    ("said", "severity", "end"),
    [
        (started(ago=3), Severity.WARNING, "does not listen; it was started 3 s ago"),
        (started(ago=60), Severity.ERROR, "does not listen"),
        (started(ago=3, restarts=9), Severity.ERROR, "does not listen"),
        (started(ago=-60), Severity.ERROR, "does not listen"),
        (started(ago=3, restarts=None), Severity.ERROR, "does not listen"),
    ],
)
def test_one_that_was_just_started_had_no_time_to_listen(
    said: tuple[str, ...], severity: Severity, end: str
) -> None:
    (told,) = (each for each in ports(context(*right(), more={"m1": said})) if each.subject == "port 10259")
    assert (told.host, told.severity) == ("m1", severity)
    assert told.evidence == f"kube-scheduler runs, and {end}"


def test_one_that_answers_already_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets are listed before components are asked how they are."""
    monkeypatch.setattr(module, "unwell_on", lambda *_: SimpleNamespace(said={}))
    found = context(*right(), more={"m1": started(ago=3)})
    assert not [each for each in ports(found) if each.subject == "port 10259"]
    found = context(*right(), more={"m1": started(ago=60)})
    assert [each for each in ports(found) if each.subject == "port 10259"], "it listens elsewhere"
