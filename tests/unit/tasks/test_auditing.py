"""Who is asked in an audit."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from kubenorn.audit.finding import Group
from tasks import auditing as module
from tasks.auditing import Auditing
from tasks.fleet_run import Outcome
from tests.unit.builders import NAMES, a_cluster

FIRST, SECOND, THIRD = NAMES


@pytest.mark.parametrize(
    ("silent", "asked"),
    [
        (set(), [(NAMES, {FIRST})]),
        ({THIRD}, [(NAMES, {FIRST})]),
        ({FIRST}, [(NAMES, {FIRST}), ((SECOND,), {SECOND})]),
        ({FIRST, SECOND}, [(NAMES, {FIRST}), ((THIRD,), {THIRD})]),
        (set(NAMES), [(NAMES, {FIRST})]),
    ],
)
def test_another_host_speaks_for_one_that_is_silent(
    monkeypatch: pytest.MonkeyPatch, silent: set[str], asked: list[tuple[tuple[str, ...], set[str]]]
) -> None:
    calls: list[tuple[tuple[str, ...], set[str]]] = []

    def run_on_hosts(_: Any, __: Any, hosts: Any, *, speakers: Any, **___: Any) -> Outcome[Any]:
        calls.append((tuple(hosts), set(speakers)))
        return Outcome(
            {host: "seen" for host in hosts if host not in silent},
            {host: OSError() for host in hosts if host in silent},
        )

    monkeypatch.setattr(module, "run_on_hosts", run_on_hosts)
    session: Any = SimpleNamespace(hosts=list(NAMES), clusters=[a_cluster()], nornir=None, fleet=None)
    Auditing(session, frozenset({Group.ETCD}), datetime.now(UTC)).collect()
    assert calls == asked
