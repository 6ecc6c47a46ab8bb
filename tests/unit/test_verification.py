"""Green only on evidence: every single thing that is wrong on a host makes exactly its check fail."""

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kubenorn.evidence import Evidence, HttpAnswer, StoredSecret, parse_evidence
from kubenorn.host_verification import Check, short
from kubenorn.report import deployment_report, write_json
from kubenorn.run_record import HostResult, HostState, Outcome, new_record
from kubenorn.tables import check_table, plan_summary, verification_tables
from kubenorn.verification import Verification, verify
from kubenorn.verify_requests import BACKENDS_REQUEST, requests
from tests.unit.builders import MARKER, NAMES, a_cluster, a_full_plan

CAPTURED = Path(__file__).parent / "captured"
CLUSTER = a_cluster(vip="198.18.80.100", etcd={"version": "3.4.23"})


def evidence(names: tuple[str, ...] = NAMES) -> dict[str, Evidence]:
    """Return what three real hosts said, under these names."""
    texts = [(CAPTURED / f"verify-m{n}.txt").read_text(encoding="utf-8") for n in (1, 2, 3)]
    return {name: _renamed(parse_evidence(text), names) for name, text in zip(names, texts, strict=True)}


def _renamed(seen: Evidence, names: tuple[str, ...]) -> Evidence:
    """Return the evidence with haproxy knowing the masters by these names."""
    answer = seen.http[BACKENDS_REQUEST]
    body = answer.body.decode()
    for old, new in zip(NAMES, names, strict=True):
        body = body.replace(f"kube-apiserver,{old},", f"kube-apiserver,{new},")
    return replace(seen, http={**seen.http, BACKENDS_REQUEST: replace(answer, body=body.encode())})


def failing(found: Verification) -> set[tuple[str, str, str]]:
    return {(where, check.group, check.name) for where, check in found.failures()}


def judged(host: int, **changes: Any) -> Verification:
    """Return the judgement when one host's evidence is changed."""
    seen = evidence()
    seen[NAMES[host]] = replace(seen[NAMES[host]], **changes)
    return verify(CLUSTER, seen, {})


FIRST = evidence()[NAMES[0]]


def http(name: str, **changes: Any) -> dict[str, HttpAnswer]:
    return {**FIRST.http, name: replace(FIRST.http[name], **changes)}


def test_a_real_healthy_cluster_is_green() -> None:
    found = verify(CLUSTER, evidence(), {})
    assert found.ok
    assert len(found.vip_holders) == 1
    assert {leader.component for leader in found.leaders} == {"kube-controller-manager", "kube-scheduler"}
    assert all(leader.host in NAMES for leader in found.leaders)
    assert {check.group for checks in found.hosts.values() for check in checks} == {
        "services",
        "ports",
        "health",
        "etcd",
        "metrics",
    }
    assert {check.name for check in found.whole} >= {"VIP holder", "etcd cluster", "Secrets in etcd"}


@pytest.mark.parametrize("unit", list(FIRST.units))
@pytest.mark.parametrize(
    "state",
    [
        {"active": "inactive"},
        {"active": "failed"},
        {"active": "activating"},
        {"enabled": "disabled"},
        {"enabled": ""},
        {"load": "not-found", "active": "inactive"},
    ],
)
def test_a_service(unit: str, state: dict[str, str]) -> None:
    found = judged(0, units={**FIRST.units, unit: replace(FIRST.units[unit], **state)})  # type: ignore[arg-type]
    assert failing(found) == {(NAMES[0], "services", unit)}


@pytest.mark.parametrize("port", [2379, 2380, 6443, 8443, 10257, 10259])
def test_a_port(port: int) -> None:
    nobody = judged(0, listeners=tuple(s for s in FIRST.listeners if s.port != port))
    other = tuple(replace(s, process="intruder") if s.port == port else s for s in FIRST.listeners)
    for found, detail in ((nobody, "nobody listens"), (judged(0, listeners=other), "held by intruder")):
        (failure,) = found.failures()
        assert (failure[0], failure[1].group, failure[1].detail) == (NAMES[0], "ports", detail)
        assert failure[1].name.endswith(f" {port}")


@pytest.mark.parametrize("name", [n for n in FIRST.http if n.startswith(("health-", "metrics-"))])
@pytest.mark.parametrize(
    "answer", [{"status": 500}, {"status": 401}, {"status": 0, "error": "refused"}, {"body": b"no"}]
)
def test_an_endpoint(name: str, answer: dict[str, Any]) -> None:
    found = judged(0, http=http(name, **answer))
    component = name.partition("-")[2]
    group, check = ("etcd", "member health") if component == "etcd" else (name.partition("-")[0], component)
    assert failing(found) == {(NAMES[0], group, check)}


def test_an_endpoint_that_was_not_asked() -> None:
    found = judged(0, http={})
    assert {(group, name) for _, group, name in failing(found)} >= {
        ("health", "kube-apiserver"),
        ("metrics", "kube-scheduler"),
        ("etcd", "member health"),
        ("vip", f"VIP from {NAMES[0]}"),
    }


def test_the_vip_on_no_host_on_two_and_out_of_reach() -> None:
    seen = evidence()
    nobody = {
        name: replace(each, addresses=tuple(a for a in each.addresses if a[1] != "198.18.80.100"))
        for name, each in seen.items()
    }
    everybody = {name: replace(each, addresses=(("host0", "198.18.80.100"),)) for name, each in seen.items()}
    for changed, detail in ((nobody, "held by no host"), (everybody, f"on {', '.join(NAMES)}")):
        found = verify(CLUSTER, changed, {})
        assert failing(found) == {("production", "vip", "VIP holder")}
        assert detail in next(iter(found.failures()))[1].detail
    found = judged(
        1,
        http={
            **evidence()[NAMES[1]].http,
            "through-the-vip": http("through-the-vip", status=0)["through-the-vip"],
        },
    )
    assert failing(found) == {("production", "vip", f"VIP from {NAMES[1]}")}


def lease(**spec: Any) -> bytes:
    body = json.loads(FIRST.http["leader-kube-scheduler"].body)
    body["spec"] |= spec
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"metadata": {"annotations": null}}',
        b'{"metadata": null}',
        b'{"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{"}}}',
        lease(holderIdentity=""),
        lease(renewTime=None),
        lease(renewTime="2026-11-20T00:00:00.000000Z"),
        lease(holderIdentity="elsewhere_0000"),
    ],
)
def test_a_leader(body: bytes) -> None:
    seen = {
        name: replace(
            each,
            http={
                **each.http,
                "leader-kube-scheduler": replace(FIRST.http["leader-kube-scheduler"], body=body),
            },
        )
        for name, each in evidence().items()
    }
    assert failing(verify(CLUSTER, seen, {})) == {("production", "leaders", "kube-scheduler")}


def test_a_leader_of_an_old_cluster_stands_in_an_annotation() -> None:
    spec = json.loads(FIRST.http["leader-kube-scheduler"].body)["spec"]
    record = json.dumps({**spec, "leaderTransitions": 4})
    body = json.dumps({"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": record}}})
    answer = replace(FIRST.http["leader-kube-scheduler"], body=body.encode())
    seen = {n: replace(e, http={**e.http, "leader-kube-scheduler": answer}) for n, e in evidence().items()}
    found = verify(CLUSTER, seen, {})
    assert found.ok
    assert "/leases/" in " ".join(url for _, url in requests(CLUSTER, CLUSTER.masters[0]))
    old = a_cluster(kubernetes_version="1.8.4")
    assert "/endpoints/" in " ".join(url for _, url in requests(old, old.masters[0]))


def test_a_leader_may_be_among_hosts_that_were_not_asked() -> None:
    first, *others = evidence().items()
    for one in (first, *others):
        assert verify(CLUSTER, dict([one]), {}).ok


def test_etcd_that_fell_apart() -> None:
    status = json.loads(json.dumps(FIRST.etcd_status))
    status["header"]["cluster_id"] = 1
    assert ("production", "etcd", "etcd cluster") in failing(judged(0, etcd_status=status))
    assert failing(judged(0, etcd_status=None, etcd_error="deadline exceeded")) == {
        (NAMES[0], "etcd", "member status"),
        ("production", "etcd", "etcd cluster"),
    }
    assert (NAMES[0], "etcd", "member status") in failing(judged(0, etcd_status={**status, "leader": 0}))


@pytest.mark.parametrize(
    ("beginning", "detail"),
    [
        (b"k8s\x00\n\x0c\n\x02v1\x12\x06Secret", "not encrypted: /registry/secrets/default/x and 1 more"),
        (b"k8s:enc:secretbox:v1:key1:\x00", "0 of 2 begin with k8s:enc:secretbox:v1:key1:"),
    ],
)
def test_secrets_in_etcd(beginning: bytes, detail: str) -> None:
    found = judged(0, secrets=(StoredSecret("/registry/secrets/default/x", beginning),) * 2)
    ((_, check),) = found.failures()
    assert (check.name, check.detail) == ("Secrets in etcd", detail)
    empty = judged(0, secrets=())
    assert failing(empty) == {("production", "encryption", "Secrets in etcd")}


def test_a_host_that_did_not_answer_is_a_failure() -> None:
    seen = evidence()
    del seen[NAMES[2]]
    found = verify(CLUSTER, seen, {NAMES[2]: "no answer within 60 s"})
    assert (NAMES[2], "services", "evidence") in failing(found)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172800, "2 d"),
    ],
)
def test_durations(seconds: int, text: str) -> None:
    assert short(timedelta(seconds=seconds)) == text


# Tables


def printed(found: Verification, width: int, *, terminal: bool = False) -> str:
    stream = StringIO()
    console = Console(file=stream, width=width, highlight=False, force_terminal=terminal)
    console.print(verification_tables(found))
    console.print(check_table(found))
    return stream.getvalue()


LONG = ("k8s-control-plane-01", "k8s-control-plane-02", "k8s-control-plane-03")


def broken(names: tuple[str, ...]) -> Verification:
    seen = evidence(names)
    bad = seen[names[1]]
    seen[names[1]] = replace(
        bad,
        units={
            n: replace(u, active="failed", sub="failed", result="exit-code") for n, u in bad.units.items()
        },
        listeners=(),
        http={
            n: replace(a, status=500, body=b"[+]ping ok\n[-]etcd failed [/healthz] [bold]")
            for n, a in bad.http.items()
        },
        etcd_status=None,
        etcd_error="context deadline exceeded " * 8,
    )
    del seen[names[2]]
    return verify(
        a_cluster(names, vip="198.18.80.100"),
        seen,
        {names[2]: f"root@{names[2]} port 22: cannot connect (No route to host); check that the host is up"},
    )


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("names", [NAMES, LONG])
@pytest.mark.parametrize("good", [True, False])
def test_tables_fit_and_cut_nothing(width: int, names: tuple[str, ...], good: bool) -> None:
    found = verify(a_cluster(names, vip="198.18.80.100"), evidence(names), {}) if good else broken(names)
    text = printed(found, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    hosts = text.partition("\nCluster ")[0]
    for name in names:
        assert [line for line in hosts.splitlines() if line.startswith(f"{name}  ")], name
    assert not good or {"controllers", "scheduler", "etcd"} <= set(hosts.split())
    squeezed = " ".join(text.split())
    for _, check in found.failures():
        assert check.name in squeezed
    assert good == ("✗" not in text)


def test_what_a_host_says_is_never_markup() -> None:
    assert "[-]etcd failed [/healthz] [bold]" in " ".join(printed(broken(NAMES), 200).split())


def test_the_vip_of_all_hosts_in_one_line_only_when_right() -> None:
    good = printed(verify(CLUSTER, evidence(), {}), 120)
    assert good.count("VIP answers") == 1
    assert "VIP from" not in good
    assert "VIP from k8s-master2" in printed(broken(NAMES), 120)


def test_tables_in_colour_say_the_same() -> None:
    found = broken(NAMES)
    coloured = Console(file=StringIO(), width=80, force_terminal=True, record=True)
    coloured.print(verification_tables(found))
    assert coloured.export_text().split() == printed(found, 80).partition("Every check")[0].split()


def test_a_summary_in_one_line() -> None:
    assert plan_summary({}, {}) == "No changes."
    line = plan_summary({"m1": a_full_plan()}, {})
    assert line.startswith("1 host to change: 3 to install, ")
    assert plan_summary({"m1": a_full_plan(), "m2": a_full_plan()}, {}).startswith(
        "2 hosts to change: 6 to install"
    )


# Report


def test_a_run_that_was_refused_changed_nothing_and_is_not_ok() -> None:
    record = new_record("deploy", "production", list(NAMES), [])
    record.finish(Outcome.FAILED, 1)
    told = deployment_report(Run(), [], {"production": record})
    assert (told["ok"], told["changed"]) == (False, False)


class Run:
    dry_run = False
    changed = False

    def __init__(self) -> None:
        self.plans = {"k8s-master1": a_full_plan()}
        self.objects: dict[str, Any] = {}


def test_the_report_is_json_with_the_same_facts(tmp_path: Path) -> None:
    found = broken(NAMES)
    record = new_record("deploy", "production", list(NAMES), [])
    record.results[NAMES[0]] = HostResult(HostState.ROLLED_BACK, "did not become ready")
    write_json(tmp_path / "report.json", deployment_report(Run(), [found], {"production": record}))
    loaded = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (loaded["ok"], loaded["changed"], loaded["dry_run"]) == (False, True, False)
    cluster = loaded["clusters"]["production"]
    told = {
        (h, c["group"], c["name"]) for h, checks in cluster["hosts"].items() for c in checks if not c["ok"]
    }
    told |= {("production", c["group"], c["name"]) for c in cluster["cluster"] if not c["ok"]}
    assert told == failing(found)
    assert isinstance(cluster["leaders"][0]["age"], float)
    assert MARKER not in json.dumps(loaded)
    assert len(loaded["hosts"]["k8s-master1"]["changes"]) == len(a_full_plan().changes)


def test_no_report_is_written_where_none_is_asked_for() -> None:
    write_json(None, {})


def test_a_check_is_plain_data() -> None:
    assert Check("a", "b", True, "c") == Check("a", "b", True, "c")
