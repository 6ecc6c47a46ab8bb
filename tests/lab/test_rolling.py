"""Changes of a running control plane: one host at a time, gated, reversible, locked, stoppable."""

import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lab.tools import wait_for
from tests.lab.controller import ROOT, Controller
from tests.lab.hosts import active_since, all_ready, everywhere, kubectl, restarted, vip_holders
from tests.lab.probing import available, probed, unexplained

UNIT_FILE = "/etc/systemd/system/kube-scheduler.service"


def scheduler_flag(level: int) -> dict[str, Any]:
    """Return a change that restarts nothing but the schedulers, quickly."""
    return {"cluster.extra_arguments": {"kube-scheduler": {"v": str(level)}}}


def begin(cluster: Controller, config: Path, *arguments: str) -> subprocess.Popen[str]:
    """Begin a deployment and return its process."""
    command = [sys.executable, str(ROOT / "runbooks/deploy.py"), "--config", str(config), "--yes", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def levels(cluster: Controller) -> dict[str, str]:
    """Return which level of logging each host's running scheduler has."""
    found = everywhere(cluster.lab, "tr '\\0' ' ' </proc/$(pidof -s kube-scheduler)/cmdline")
    return {host: (re.search(r"--v=(\d)", text) or [" ", ""])[1] for host, text in found.items()}


def times(cluster: Controller) -> dict[str, tuple[float, float]]:
    """Return when each host's kube-apiserver last became inactive and active, in seconds of the monotonic clock."""
    show = "systemctl show kube-apiserver -p InactiveEnterTimestampMonotonic -p ActiveEnterTimestampMonotonic"
    found = {}
    for host, text in everywhere(cluster.lab, show).items():
        values = dict(line.split("=") for line in text.split())
        stopped, started = (
            int(values[f"{name}EnterTimestampMonotonic"]) / 1e6 for name in ("Inactive", "Active")
        )
        found[host] = (stopped, started)
    return found


def test_an_apiserver_flag_rolls_through_without_a_failed_probe(cluster: Controller, tmp_path: Path) -> None:
    config = cluster.inventory(tmp_path / "inventory", {"cluster.node_port_range": "30000-31000"})
    holder = vip_holders(cluster.lab)
    with probed(cluster.lab) as probes:
        ran = cluster.deploy(config=config)
    assert ran.status == 0, ran.text
    assert unexplained(cluster.lab, probes.failures) == []
    assert probes.done > 100
    assert re.search(r"API through the VIP: \d{3,} probes, \d+ failed", ran.stdout)
    # Of the run's own probes, too: one that was open to a kube-apiserver when haproxy found it down, a host at most.
    record = max((cluster.lab.folder / "artifacts" / cluster.lab.facts.name / "runs").glob("*.json"))
    measured = json.loads(record.read_text())["availability"]
    assert measured["failed"] <= len(cluster.lab.hosts)
    assert measured["longest_gap_ms"] <= 200, "never two probes in a row"
    found = times(cluster)
    ordered = sorted(found.values())
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(ordered)), found
    assert [max(found, key=lambda host: found[host][0])] == holder, "the VIP holder goes last"
    assert vip_holders(cluster.lab) == holder
    assert "No changes." in cluster.deploy(config=config).stdout
    assert cluster.deploy("--serial", "50%").status == 0  # and back


def test_a_flag_it_does_not_know_is_rolled_back(cluster: Controller, tmp_path: Path) -> None:
    changes = {"cluster.extra_arguments": {"kube-scheduler": {"no-such-flag": "1"}}}
    config = cluster.inventory(tmp_path / "inventory", changes)
    before = everywhere(cluster.lab, f"sha256sum {UNIT_FILE}")
    units = active_since(cluster.lab)
    with probed(cluster.lab) as probes:
        ran = cluster.deploy(config=config)
    assert ran.status == 1
    assert re.search(r"kube-scheduler: .*unknown flag: --no-such-flag", ran.stderr), ran.stderr
    assert "rolled back" in ran.stderr
    assert unexplained(cluster.lab, probes.failures) == []
    assert everywhere(cluster.lab, f"sha256sum {UNIT_FILE}") == before
    assert set(everywhere(cluster.lab, "systemctl is-active kube-scheduler").values()) == {"active\n"}
    assert len(restarted(units, active_since(cluster.lab))) <= 1, "no second host was begun"
    assert "No changes." in cluster.deploy().stdout


def test_the_last_change_is_rolled_back_on_demand(cluster: Controller, tmp_path: Path) -> None:
    before = everywhere(cluster.lab, f"sha256sum {UNIT_FILE}")
    assert cluster.deploy(config=cluster.inventory(tmp_path / "inventory", scheduler_flag(4))).status == 0
    assert set(levels(cluster).values()) == {"4"}
    modes = everywhere(cluster.lab, "find /var/lib/kubenorn/change-sets -maxdepth 0 -printf '%m %u'")
    assert set(modes.values()) == {"700 root"}
    unknown = cluster.runbook("rollback", "--filter", "role=master", "--yes", "--run", "2026")
    assert unknown.status == 2
    assert "--run 2026: none of the selected hosts can put it back" in unknown.stderr
    with probed(cluster.lab) as probes:
        ran = cluster.runbook(
            "rollback", "--filter", "role=master", "--yes", "--junit", str(tmp_path / "junit.xml")
        )
    assert ran.status == 0, ran.text
    assert "<failure" not in (tmp_path / "junit.xml").read_text()
    assert unexplained(cluster.lab, probes.failures) == []
    assert set(levels(cluster).values()) == {""}
    assert everywhere(cluster.lab, f"sha256sum {UNIT_FILE}") == before
    assert "No changes." in cluster.deploy().stdout
    history = cluster.runbook("history")
    assert "rollback" in history.stdout


def test_a_roll_back_that_leaves_something_wrong_says_so(cluster: Controller, tmp_path: Path) -> None:
    assert cluster.deploy(config=cluster.inventory(tmp_path / "inventory", scheduler_flag(4))).status == 0
    other = next(host.name for host in cluster.lab.hosts if host.name not in vip_holders(cluster.lab))
    address = f"{cluster.lab.vip}/32 dev lo"
    cluster.lab.run(other, f"ip addr add {address}")
    try:
        ran = cluster.runbook("rollback", "--filter", "role=master", "--yes")
    finally:
        cluster.lab.run(other, f"ip addr del {address}")
    assert set(levels(cluster).values()) == {""}
    assert ran.status == 1, ran.text
    assert "VIP holder" in ran.stdout
    assert "No changes." in cluster.deploy().stdout


def test_two_runs_cannot_change_one_cluster(cluster: Controller, tmp_path: Path) -> None:
    with available(cluster):
        first = begin(cluster, cluster.inventory(tmp_path / "first", scheduler_flag(4)))
        held = "test -s /var/lib/kubenorn/run-lock.owner"
        assert wait_for(lambda: cluster.lab.run("m3", held, check=False).returncode == 0, seconds=60)
        second = cluster.deploy(
            "--break-lock", config=cluster.inventory(tmp_path / "second", scheduler_flag(5))
        )
        output, complaint = first.communicate(timeout=300)
        assert second.status == 1
        assert re.search(r"m1: is being changed by deploy of \S+@\S+ \(pid \d+\) since \d{4}-", second.stderr)
        assert "--break-lock takes only a lock that is silent" in second.stderr
        assert first.returncode == 0, output + complaint
        assert set(levels(cluster).values()) == {"4"}


def test_a_plan_that_is_older_than_another_run_is_asked_about_again(
    cluster: Controller, tmp_path: Path
) -> None:
    config = cluster.inventory(tmp_path / "inventory", scheduler_flag(4))
    runs = cluster.lab.folder / "artifacts" / cluster.lab.facts.name / "runs"
    before = set(runs.glob("*.json"))
    controller, terminal = pty.openpty()
    command = [sys.executable, str(ROOT / "runbooks/deploy.py"), "--config", str(config)]
    waiting = subprocess.Popen(command, cwd=ROOT, stdin=terminal, stderr=subprocess.PIPE, text=True)
    os.close(terminal)

    def planned() -> bool:
        mine = set(runs.glob("*.json")) - before
        return any(json.loads(each.read_text())["plan"] for each in mine)

    try:
        assert wait_for(planned, seconds=60)
        assert cluster.deploy(config=config).status == 0
        os.write(controller, b"y\nn\n")
        _, complaint = waiting.communicate(timeout=120)
    finally:
        waiting.kill()
        os.close(controller)
    assert "The hosts have been changed since they were looked at" in complaint
    assert waiting.returncode == 130, complaint
    assert set(levels(cluster).values()) == {"4"}
    assert cluster.deploy().status == 0


def test_a_lock_that_nobody_feeds_can_be_broken(cluster: Controller, tmp_path: Path) -> None:
    # What a controller leaves that is cut off: a shell that holds the lock, and hears nothing any more.
    holder = (
        "cd /var/lib/kubenorn; exec 9<>run-lock; flock 9; echo $$$$ >run-lock.pid; "
        "echo deploy of them@elsewhere >run-lock.owner; touch -d -5min run-lock.fed; while :; do sleep 1; done"
    )
    # systemd-run makes one $ of two
    cluster.lab.run("m2", f"systemd-run -q --unit=cut-off sh -c '{holder}'; sleep 1")
    config = cluster.inventory(tmp_path / "inventory", scheduler_flag(4))
    refused = cluster.deploy(config=config)
    assert refused.status == 1
    assert "m2: is being changed by deploy of them@elsewhere" in refused.stderr
    assert "--break-lock" in refused.stderr
    ran = cluster.deploy("--break-lock", config=config)
    cluster.lab.run("m2", "systemctl stop cut-off", check=False)
    assert ran.status == 0, ran.text
    assert set(levels(cluster).values()) == {"4"}
    assert cluster.deploy().status == 0


def test_ctrl_c_finishes_the_host_and_begins_no_other(cluster: Controller, tmp_path: Path) -> None:
    with available(cluster):
        process = begin(cluster, cluster.inventory(tmp_path / "inventory", scheduler_flag(4)))
        changed = f"grep -l -e --v=4 {UNIT_FILE}"
        assert wait_for(lambda: any(everywhere(cluster.lab, changed, check=False).values()), seconds=60)
        process.send_signal(signal.SIGINT)
        output, complaint = process.communicate(timeout=120)
        assert process.returncode == 130, output + complaint
        assert "Stopped as asked: " in complaint
        assert sorted(levels(cluster).values()) == ["", "", "4"]
        assert "interrupted" in cluster.runbook("history").stdout
        assert set(everywhere(cluster.lab, "systemctl is-active kube-scheduler").values()) == {"active\n"}
        # The other two were not begun: what they keep is an earlier run, which is not the one to put back.
        ran = cluster.runbook("rollback", "--filter", "role=master", "--yes")
        assert ran.status == 0, ran.text
        assert ran.stdout.count("nothing to roll back") == 2
        assert set(levels(cluster).values()) == {""}


@pytest.mark.parametrize(
    "sign",
    [f"grep -l no-such-flag {UNIT_FILE}", "cat /run/kubenorn-unjudged"],
    ids=["while it is changed", "while it is waited for"],
)
def test_a_host_whose_controller_was_killed_undoes_what_does_not_start(
    cluster: Controller, tmp_path: Path, sign: str
) -> None:
    changes = {"cluster.extra_arguments": {"kube-scheduler": {"no-such-flag": "1"}}}
    right = everywhere(cluster.lab, f"sha256sum {UNIT_FILE}")
    with available(cluster):
        process = begin(cluster, cluster.inventory(tmp_path / "inventory", changes))
        assert wait_for(lambda: any(everywhere(cluster.lab, sign, check=False).values()), seconds=60)
        process.kill()
        process.communicate(timeout=60)
        assert wait_for(lambda: everywhere(cluster.lab, f"sha256sum {UNIT_FILE}") == right, seconds=240)
        active = "systemctl is-active kube-scheduler"
        assert wait_for(
            lambda: set(everywhere(cluster.lab, active, check=False).values()) == {"active\n"}, seconds=60
        )
        told = " ".join(cluster.runbook("history").stdout.split())
        assert "killed" in told
        assert re.search(r"begun m\d", told)


def test_etcd_without_one_member_loses_no_second(cluster: Controller, tmp_path: Path) -> None:
    changes = {"cluster.extra_arguments": {"etcd": {"snapshot-count": "20000"}}}
    config = cluster.inventory(tmp_path / "inventory", changes)
    with available(cluster):
        cluster.lab.run("m3", "systemctl stop etcd")
        try:
            before = active_since(cluster.lab)
            ran = cluster.runbook("deploy", "--filter", "name=m1,m2", "--yes", config=config)
            after = active_since(cluster.lab)
        finally:
            cluster.lab.run("m3", "systemctl start etcd")
        assert ran.status == 1
        assert "etcd" in ran.stderr
        assert "quorum" in ran.stderr
        assert not any("etcd" in units for units in restarted(before, after).values())
        assert wait_for(lambda: all_ready(cluster.lab), seconds=150)
    assert kubectl(cluster.lab, "get", "--raw", "/readyz") == "ok"


def test_a_killed_controller_leaves_no_lock_and_no_half_written_file(
    cluster: Controller, tmp_path: Path
) -> None:
    """The subset for CI; KUBENORN_KILLS=30 runs the whole, KUBENORN_SEED repeats the moments of a run that failed."""
    kills = int(os.environ.get("KUBENORN_KILLS", "4"))
    right = everywhere(cluster.lab, f"sha256sum {UNIT_FILE}")
    one = cluster.inventory(tmp_path / "one", scheduler_flag(4))
    seed = int(os.environ.get("KUBENORN_SEED", "0")) or random.randrange(1, 10**6)
    sys.stderr.write(f"The moments of the kills come from KUBENORN_SEED={seed}\n")  # shown of a failure
    moments = random.Random(seed)
    with available(cluster):
        for kill in range(kills):
            process = begin(cluster, one if kill % 2 == 0 else cluster.lab.config)
            # From the imports to the verification after the last host.
            time.sleep(moments.uniform(0.3, 8))
            process.kill()
            process.communicate(timeout=60)
            partial = everywhere(cluster.lab, f"sed -n '$p' {UNIT_FILE}")
            assert set(partial.values()) == {"WantedBy=multi-user.target\n"}
    assert everywhere(cluster.lab, f"sha256sum {UNIT_FILE}") == right
    left = everywhere(cluster.lab, "find /etc /usr/local /root -name '*.kubenorn-new'", check=False)
    assert set(left.values()) == {""}
