"""The stream that is sent: real tar unpacks it, real shells accept its script."""

import hashlib
import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubenorn.payload import RECEIVE, Payload, build_payload
from kubenorn.plan import HostPlan, plan_host
from kubenorn.render import render_purely
from tasks.probe_host import probe_script
from tasks.verify_host import verify_script
from tests.unit.builders import (
    VERSIONS,
    a_bare_host,
    a_cluster,
    a_desired_host,
    a_full_plan,
    as_observed,
    path,
)
from tests.unit.rendered import VARIANTS

SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


def a_payload(plan: HostPlan, folder: Path, **changes: Any) -> Payload:
    compressed = {}
    for binary in plan.binaries:
        compressed[binary.name] = folder / f"{binary.name}.zst"
        compressed[binary.name].write_bytes(binary.name.encode() * 1000)
    arguments: dict[str, Any] = {
        "run_id": "a-run",
        "roll_back": True,
        "package_manager": "apt-get",
        "zstd": True,
    } | changes
    return build_payload(plan, compressed=compressed, render=render_purely, **arguments)


def complaint(script: str) -> str:
    """Return what the shells, and shellcheck where it is installed, say against the script."""
    said = ""
    for shell in SHELLS:
        command = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
        said += subprocess.run(command, input=script, capture_output=True, text=True, check=False).stderr
    if shutil.which("shellcheck"):
        command = ["shellcheck", "--shell=dash", "--severity=error", "-"]
        said += subprocess.run(command, input=script, capture_output=True, text=True, check=False).stdout
    return said


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_script_of_a_full_plan_is_shell(variant: str, tmp_path: Path) -> None:
    assert complaint(a_payload(a_full_plan(**VARIANTS[variant]), tmp_path).script) == ""


@pytest.mark.parametrize("manager", ["apt-get", "dnf", "yum", None])
@pytest.mark.parametrize("zstd", [True, False])
def test_for_every_kind_of_host(manager: str | None, zstd: bool, tmp_path: Path) -> None:
    script = a_payload(a_full_plan(), tmp_path, package_manager=manager, zstd=zstd).script
    assert complaint(script) == ""
    assert ("zstd -q -dc" in script) == zstd
    assert ("gzip -dc" in script) == (not zstd)
    assert ("apt-get" in script) == (manager == "apt-get")


def test_a_script_for_nothing_is_shell(tmp_path: Path) -> None:
    desired = a_desired_host()
    payload = a_payload(plan_host(desired, as_observed(desired)), tmp_path)
    assert complaint(payload.script) == ""
    assert "systemctl" not in payload.script
    assert set(payload.files) == {"rollback.sh", "units"}
    assert not payload.files["units"]
    assert not payload.binaries


@pytest.mark.parametrize("version", VERSIONS)
def test_probe_and_verify_script_are_shell(version: str) -> None:
    cluster = a_cluster(kubernetes_version=version)
    for speaks in (True, False):
        assert complaint(probe_script(cluster, "k8s-master1", render_purely, speaks=speaks)) == ""
        assert complaint(verify_script(cluster, "k8s-master1", render_purely, speaks=speaks)) == ""


def test_what_receives_the_stream_is_shell() -> None:
    assert complaint(RECEIVE) == ""


def unpacked(payload: Payload, folder: Path) -> Path:
    stream = io.BytesIO()
    payload.write(stream)
    folder.mkdir()
    subprocess.run(["tar", "-xf", "-", "-C", folder], input=stream.getvalue(), check=True)
    return folder


def test_real_tar_unpacks_exactly_what_is_planned(tmp_path: Path) -> None:
    plan = a_full_plan()
    payload = a_payload(plan, tmp_path)
    folder = unpacked(payload, tmp_path / "staging")
    assert (folder / "apply.sh").read_text() == payload.script
    for name, content in payload.files.items():
        assert (folder / name).read_bytes() == content
    assert {f.name for f in (folder / "binaries").iterdir()} == {b.name for b in plan.binaries}
    assert (folder / "binaries/etcd").read_bytes() == b"etcd" * 1000
    assert {oct(f.stat().st_mode & 0o777) for f in folder.rglob("*") if f.is_file()} == {"0o600"}
    subprocess.run(["sha256sum", "--status", "-c", "payload.sha256"], cwd=folder, check=True)
    sizes = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert payload.size == sizes - (folder / "payload.sha256").stat().st_size


def test_a_damaged_stream_is_noticed(tmp_path: Path) -> None:
    folder = unpacked(a_payload(a_full_plan(), tmp_path), tmp_path / "staging")
    victim = folder / "payload/000"
    victim.write_bytes(victim.read_bytes() + b"x")
    command = ["sha256sum", "--status", "-c", "payload.sha256"]
    assert subprocess.run(command, cwd=folder, check=False).returncode == 1


def test_only_what_changed_is_sent(tmp_path: Path) -> None:
    desired = a_desired_host()
    host = as_observed(desired)
    where = path("/etc/haproxy/haproxy.cfg")
    host = replace(host, files={**host.files, where: replace(host.files[where], sha256="0" * 64)})
    payload = a_payload(plan_host(desired, host), tmp_path)
    (content,) = (content for name, content in payload.files.items() if name.startswith("payload/"))
    assert hashlib.sha256(content).hexdigest() == next(f.sha256 for f in desired.files if f.path == where)
    assert "haproxy -c -f /etc/haproxy/haproxy.cfg.kubenorn-new" in payload.script
    assert "systemctl reload --no-block haproxy" in payload.script
    for absent in (
        "daemon-reload",
        "systemctl restart ",
        "useradd",
        "install_packages",
        "systemctl --quiet enable",
    ):
        assert absent not in payload.script


def test_what_can_be_checked_is_checked_before_it_is_placed(tmp_path: Path) -> None:
    script = a_payload(a_full_plan(), tmp_path).script
    for check, placed in (
        ("haproxy -c -f", "place /etc/haproxy/haproxy.cfg"),
        ("keepalived -t -f", "place /etc/keepalived/keepalived.conf"),
        ("systemd-analyze verify verify/etcd.service", "place /etc/systemd/system/etcd.service"),
    ):
        assert script.index(check) < script.index(placed)
    assert script.index("sha256sum --status -c payload.sha256") < script.index("stage payload/")
    assert script.index("place /etc/") < script.index("systemctl daemon-reload")
    assert script.index("systemctl daemon-reload") < script.index("--quiet enable")
    assert script.index("--quiet enable") < script.index("systemctl start --no-block")


def test_a_bare_hosts_packages_come_first(tmp_path: Path) -> None:
    script = a_payload(plan_host(a_desired_host(), a_bare_host()), tmp_path).script
    assert script.index("install haproxy keepalived curl") < script.index("haproxy -c -f")
