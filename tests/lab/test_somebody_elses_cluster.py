"""The audit of a cluster that somebody else deployed: other paths, other units, etcd's settings in variables.

The cluster is this project's, moved elsewhere by hand on every host. Runs after what wants the cluster as it was.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.tools import wait_for
from tests.lab.controller import Controller, Ran
from tests.lab.hosts import all_ready, all_used, everywhere, get, snapshot

LEADERS = ("kube-controller-manager", "kube-scheduler")
MOVE = r"""
set -e
systemctl disable -q --now kube-scheduler kube-controller-manager kube-apiserver etcd
mkdir -p /opt/k8s/bin /opt/etcd
mv /usr/local/bin/kube* /usr/local/bin/etcd* /opt/k8s/bin
mv /etc/kubernetes/pki /opt/k8s/ssl
mv /etc/kubernetes /opt/k8s/conf
mv /etc/etcd/pki /opt/etcd/ssl
mv /root/.kube/config /etc/kubernetes.admin
mkdir /etc/kubernetes && mv /etc/kubernetes.admin /etc/kubernetes/admin.conf
rm -rf /var/lib/kubenorn /etc/etcd
elsewhere='s#/usr/local/bin/#/opt/k8s/bin/#g; s#/etc/kubernetes/pki#/opt/k8s/ssl#g;
    s#/etc/kubernetes/#/opt/k8s/conf/#g; s#/etc/etcd/pki#/opt/etcd/ssl#g'
cd /etc/systemd/system
for unit in apiserver controller-manager scheduler; do
    sed "$elsewhere; s#kube-\([a-z-]*\).service#k8s-\1.service#g; s#etcd.service#etcd-member.service#" \
        kube-$unit.service >k8s-$unit.service
    rm kube-$unit.service
done
sed "$elsewhere" etcd.service | tr '\n' '\001' | sed 's/ \\\x01 */ /g' | tr '\001' '\n' >etcd-member.service
# As in the guides: the flags as variables in a file of its own.
sed -n 's/^ExecStart=//p' etcd-member.service | tr ' ' '\n' | sed -n 's/^--//p' |
    while IFS== read -r name value; do
        printf 'ETCD_%s=%s\n' "$(printf %s "$name" | tr 'a-z-' 'A-Z_')" "$value"
    done >/opt/etcd/etcd.conf
sed -i 's#^ExecStart=.*#EnvironmentFile=/opt/etcd/etcd.conf\nExecStart=/opt/k8s/bin/etcd#' etcd-member.service
rm etcd.service
# As the guides have it: etcd on the host's address alone, every kube-apiserver with all members, and what serves on
# loopback with a certificate it makes itself.
sed -i '/^ETCD_LISTEN_CLIENT_URLS=/s#,https://127.0.0.1:2379##' /opt/etcd/etcd.conf
sed -i "s#--etcd-servers=[^ ]*#--etcd-servers=$1#" k8s-apiserver.service
sed -i '/--tls-cert-file=/d; /--tls-private-key-file=/d' k8s-controller-manager.service k8s-scheduler.service
sed -i "$elsewhere" /etc/haproxy/haproxy.cfg
systemctl daemon-reload
systemctl enable -q --now --no-block etcd-member k8s-apiserver k8s-controller-manager k8s-scheduler
systemctl reload haproxy
"""


@pytest.fixture(scope="module", autouse=True)
def moved(cluster: Controller) -> Iterator[None]:
    """A cluster of which this project knows the addresses and nothing else."""
    assert cluster.deploy().status == 0
    lab = cluster.lab
    members = ",".join(f"https://{host.address}:2379" for host in lab.hosts)
    everywhere(lab, f"cat >/root/move.sh <<'END'\n{MOVE}\nEND\nsh /root/move.sh {members}")
    moved_at = datetime.now(UTC)
    assert wait_for(lambda: all_ready(lab) and all_used(lab), seconds=120)
    active = "systemctl is-active etcd-member k8s-apiserver k8s-controller-manager k8s-scheduler"
    assert wait_for(
        lambda: set(everywhere(lab, active, check=False).values()) == {"active\n" * 4}, seconds=60
    )
    # The leaders were stopped with the rest: others take over when their leases have run out. What was renewed
    # earlier may be the last renewal of a leader that was not stopped yet.
    assert wait_for(lambda: all(renewed(cluster, name) > moved_at for name in LEADERS), seconds=90)
    yield
    lab.reset()


def renewed(cluster: Controller, component: str) -> datetime:
    """Return when a component's lease was renewed."""
    lease = get(cluster.lab, "-n", "kube-system", "lease", component)
    return datetime.fromisoformat(lease["spec"]["renewTime"].replace("Z", "+00:00"))


def audited(cluster: Controller, folder: Path) -> tuple[Ran, set[tuple[str, str, str]]]:
    """Audit without the cluster's artifacts; return how it ended and what it found above info."""
    config = cluster.inventory(folder / "inventory", {"config.user_defined.artifacts": str(folder / "none")})
    report = folder / "audit.json"
    ran = cluster.runbook("audit", "--filter", "role=master", "--json", str(report), config=config)
    (found,) = json.loads(report.read_text())["clusters"].values()
    return ran, {
        (each["check"], each["host"], each["subject"])
        for each in found["findings"]
        if each["severity"] != "info"
    }


def test_what_is_right_is_no_finding_wherever_it_stands(cluster: Controller, tmp_path: Path) -> None:
    before = snapshot(cluster.lab)
    ran, found = audited(cluster, tmp_path)
    assert (ran.status, found) == (0, set()), ran.text
    assert "drift was not looked at" in ran.stdout
    assert snapshot(cluster.lab) == before


@pytest.mark.parametrize(
    ("plant", "mend", "wanted"),
    [
        (
            "chmod 0644 /opt/k8s/ssl/kube-apiserver-key.pem",
            "chmod 0600 /opt/k8s/ssl/kube-apiserver-key.pem",
            ("exposure", "/opt/k8s/ssl/kube-apiserver-key.pem"),
        ),
        (
            "cp -a /opt/etcd/ssl/peer-key.pem /root/k; cat /opt/etcd/ssl/server-key.pem >/opt/etcd/ssl/peer-key.pem",
            "mv /root/k /opt/etcd/ssl/peer-key.pem",
            ("certificates", "/opt/etcd/ssl/peer-key.pem"),
        ),
        (
            "systemctl stop k8s-scheduler",
            "systemctl start k8s-scheduler",
            ("services", "kube-scheduler"),
        ),
        (
            "sleep 1.5; echo '# by hand' >>/etc/systemd/system/k8s-scheduler.service; systemctl daemon-reload",
            "systemctl restart k8s-scheduler",
            ("services", "k8s-scheduler"),
        ),
        (
            "cp /opt/k8s/conf/encryption-configuration.yaml /root/e; "
            "sed -i 's/secret: ..../secret: AAAA/' /opt/k8s/conf/encryption-configuration.yaml; "
            "touch -d '1 hour ago' /opt/k8s/conf/encryption-configuration.yaml",
            "cat /root/e >/opt/k8s/conf/encryption-configuration.yaml; "
            "touch -d '1 hour ago' /opt/k8s/conf/encryption-configuration.yaml",
            ("equality", "/opt/k8s/conf/encryption-configuration.yaml"),
        ),
    ],
    ids=["open-key", "swapped-key", "scheduler-stopped", "unit-edited", "another-encryption-key"],
)
def test_what_is_wrong_is_found_where_it_stands(
    cluster: Controller, tmp_path: Path, plant: str, mend: str, wanted: tuple[str, str]
) -> None:
    cluster.lab.run("m2", plant)
    try:
        ran, found = audited(cluster, tmp_path)
    finally:
        cluster.lab.run("m2", mend)
    assert found == {(wanted[0], "m2", wanted[1])}, ran.text
