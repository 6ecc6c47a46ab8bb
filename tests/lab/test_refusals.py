"""Bad input that only the hosts can show: one clear sentence each, and nothing changed on any host."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.binaries import binaries_folder
from tests.lab.controller import Controller, Ran
from tests.lab.hosts import active_since, snapshot


@pytest.fixture
def untouched(cluster: Controller) -> Iterator[None]:
    """Fail when the test has changed anything on a host that answers."""
    units, files = active_since(cluster.lab), snapshot(cluster.lab)
    yield
    assert snapshot(cluster.lab) == files
    assert active_since(cluster.lab) == units


def deploy_with(cluster: Controller, folder: Path, changes: dict[str, Any]) -> Ran:
    """Deploy with a changed inventory."""
    return cluster.deploy(config=cluster.inventory(folder / "inventory", changes))


@pytest.mark.usefixtures("untouched")
def test_problems_of_all_hosts_and_kinds_are_reported_at_once(cluster: Controller, tmp_path: Path) -> None:
    ran = deploy_with(
        cluster,
        tmp_path,
        {
            "cluster.vip": "198.18.250.9",
            "cluster.vip_port": 22,
            "hosts.m3.data.master": {"interface": "eth7"},
        },
    )
    assert ran.status == 2
    for host in ("m1", "m2"):
        assert (
            f"{host}: cannot hold the VIP: cluster.vip = 198.18.250.9 is outside the networks of host0"
            in ran.stderr
        )
    assert "m3: has no interface eth7 with an IPv4 address (it has host0, lo)" in ran.stderr
    for host in ("m1", "m2", "m3"):
        assert f"{host}: port 22 of haproxy is held by sshd" in ran.stderr


@pytest.mark.usefixtures("untouched")
def test_a_host_with_another_address_is_not_taken_for_a_master(cluster: Controller, tmp_path: Path) -> None:
    ran = deploy_with(cluster, tmp_path, {"hosts.m2.data.master": {"address": "198.18.250.12"}})
    assert ran.status == 2
    assert "m2: has no interface with its address 198.18.250.12" in ran.stderr
    assert "data.master.address" in ran.stderr


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", ["kube-scheduler", "etcdctl"])
def test_a_binary_with_another_checksum_is_refused(cluster: Controller, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "binaries"
    folder.mkdir()
    for file in binaries_folder().iterdir():
        (folder / file.name).symlink_to(file)
    (folder / name).unlink()
    shutil.copy(binaries_folder() / name, folder / name)
    with (folder / name).open("ab") as file_to_spoil:
        file_to_spoil.write(b"x")
    ran = deploy_with(cluster, tmp_path, {"cluster.binaries": {"source": str(folder)}})
    assert ran.status == 2
    assert name in ran.stderr
    assert "sha256" in ran.stderr


@pytest.mark.usefixtures("untouched")
def test_missing_and_foreign_binaries_are_refused(cluster: Controller, tmp_path: Path) -> None:
    folder = tmp_path / "binaries"
    folder.mkdir()
    for file in binaries_folder().iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "kubectl").unlink()
    (folder / "kube-apiserver").unlink()
    content = bytearray((binaries_folder() / "kube-apiserver").read_bytes())
    content[18:20] = (183).to_bytes(2, "little")  # e_machine: EM_AARCH64
    (folder / "kube-apiserver").write_bytes(content)
    (folder / "SHA256SUMS").unlink()
    ran = deploy_with(cluster, tmp_path, {"cluster.binaries": {"source": str(folder)}})
    assert ran.status == 2
    assert "kubectl" in ran.stderr
    assert "no checksum vouches" in ran.stderr


def test_a_binary_of_another_version_is_refused_before_the_old_one_is_replaced(
    cluster: Controller, tmp_path: Path
) -> None:
    sums = cluster.lab.run("m1", "sha256sum /usr/local/bin/*").stdout
    folder = tmp_path / "binaries"
    folder.mkdir()
    for file in binaries_folder().iterdir():
        (folder / file.name).symlink_to(file)
    wrong = folder / "kube-controller-manager"
    wrong.unlink()
    shutil.copy(folder / "etcd", wrong)
    with wrong.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    binaries = {"source": str(folder), "checksums": {wrong.name: f"sha256:{digest}"}}
    ran = deploy_with(cluster, tmp_path, {"cluster.binaries": binaries})
    assert ran.status == 1
    assert "kube-controller-manager is not version 1.20.2 but says: " in ran.stderr
    assert cluster.lab.run("m1", "sha256sum /usr/local/bin/*").stdout == sums, (
        "nothing half done, nothing left"
    )


def test_an_unreachable_host_stops_the_run_before_anything_is_changed(
    cluster: Controller, tmp_path: Path
) -> None:
    nobody = cluster.lab.vip.rsplit(".", 1)[0] + ".250"
    config = cluster.inventory(
        tmp_path / "inventory",
        {"cluster.node_port_range": "31000-31999", "hosts.m3.hostname": nobody},
    )
    files, units = snapshot(cluster.lab), active_since(cluster.lab)
    ran = cluster.deploy(config=config)
    assert ran.status == 3
    assert "m3: " in ran.stderr
    assert "cannot connect" in ran.stderr
    assert snapshot(cluster.lab) == files
    assert active_since(cluster.lab) == units


def test_a_host_without_systemd_is_refused(cluster: Controller) -> None:
    # /run/systemd/system exists where systemd is the init system (sd_booted(3)).
    cluster.lab.run("m2", "mv /run/systemd/system /run/systemd/hidden")
    try:
        ran = cluster.deploy()
    finally:
        cluster.lab.run("m2", "mv /run/systemd/hidden /run/systemd/system")
    assert ran.status == 2
    assert "m2: is not run by systemd" in ran.stderr


def test_a_port_held_by_somebody_else_is_named(cluster: Controller) -> None:
    server = "python3 -c 'import socket,time; s=socket.create_server((\"127.0.0.1\",10259)); time.sleep(60)'"
    cluster.lab.run("m1", "systemctl stop kube-scheduler")
    cluster.lab.run("m1", f"systemd-run --unit=squatter {server}")
    try:
        cluster.lab.run("m1", "until ss -H -lnt | grep -q :10259; do sleep 0.1; done")
        ran = cluster.deploy()
    finally:
        cluster.lab.run("m1", "systemctl stop squatter; systemctl start kube-scheduler")
    assert ran.status == 2
    assert "m1: port 10259 of kube-scheduler is held by python3" in ran.stderr


def test_haproxy_refuses_its_file_before_the_old_one_is_replaced(cluster: Controller, tmp_path: Path) -> None:
    before = cluster.lab.run("m1", "sha256sum /etc/haproxy/haproxy.cfg").stdout
    statistics = {"port": 10080, "username": 'a"b', "password": "x"}
    ran = deploy_with(cluster, tmp_path, {"cluster.haproxy": {"statistics": statistics}})
    assert ran.status in {1, 2}
    assert cluster.lab.run("m1", "sha256sum /etc/haproxy/haproxy.cfg").stdout == before
    assert cluster.lab.run("m1", "systemctl is-active haproxy").stdout.strip() == "active"
