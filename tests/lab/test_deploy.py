"""The main job on real hosts: deploy, again, change, drift, dry run. Every assertion is read from the hosts."""

import json
import re
from base64 import b64decode, b64encode
from pathlib import Path

from tests.lab.controller import Controller
from tests.lab.hosts import (
    UNITS,
    active_since,
    admin_kubeconfig,
    everywhere,
    get,
    kubectl,
    log_ssh_sessions,
    names_of,
    restarted,
    served_certificate,
    snapshot,
    vip_holders,
)


def test_every_unit_is_enabled_and_running(cluster: Controller) -> None:
    units = " ".join(UNITS)
    for host, text in everywhere(
        cluster.lab, f"systemctl is-active {units}; systemctl is-enabled {units}"
    ).items():
        assert text.split() == ["active"] * 6 + ["enabled"] * 6, host


def test_kubectl_reaches_the_api_through_the_vip(cluster: Controller) -> None:
    assert cluster.lab.vip in admin_kubeconfig(cluster.lab).read_text()
    assert kubectl(cluster.lab, "get", "--raw", "/readyz") == "ok"
    assert f"https://{cluster.lab.vip}:8443" in kubectl(cluster.lab, "cluster-info")


def test_one_host_holds_the_vip_and_its_certificate_names_it(cluster: Controller) -> None:
    assert len(vip_holders(cluster.lab)) == 1
    names = names_of(served_certificate(cluster.lab.vip, 8443))
    expected = {cluster.lab.vip, "127.0.0.1", "10.254.0.1", "kubernetes.default.svc.cluster.local"}
    assert expected | {host.address for host in cluster.lab.hosts} <= names


def test_ports_are_held_by_the_right_processes(cluster: Controller) -> None:
    expected = {
        2379: "etcd",
        2380: "etcd",
        6443: "kube-apiserver",
        8443: "haproxy",
        10257: "kube-controller",
        10259: "kube-scheduler",
    }
    for host, text in everywhere(cluster.lab, "ss -H -lntp").items():
        held = {int(port): name for port, name in re.findall(r":(\d+) +\S+ +users:\(\(\"([^\"]+)", text)}
        assert expected.items() <= held.items(), host
        assert not {8080, 10251, 10252, 10080} & held.keys(), f"{host} listens without TLS"


def test_leaders_are_hosts_of_the_cluster(cluster: Controller) -> None:
    names = {host.name for host in cluster.lab.hosts}
    for component in ("kube-controller-manager", "kube-scheduler"):
        lease = get(cluster.lab, "lease", "-n", "kube-system", component)
        assert lease["spec"]["holderIdentity"].split("_")[0] in names


def test_etcd_has_three_members_and_refuses_strangers(cluster: Controller) -> None:
    etcdctl = (
        "ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd-ca.pem "
        "--cert /etc/kubernetes/pki/etcd-health-check-client.pem "
        "--key /etc/kubernetes/pki/etcd-health-check-client-key.pem"
    )
    members = cluster.lab.run("m1", f"{etcdctl} member list").stdout
    assert sorted(re.findall(r"started, (m\d)", members)) == ["m1", "m2", "m3"]
    stranger = cluster.lab.run("m1", "curl -sk https://127.0.0.1:2379/health", check=False)
    assert stranger.returncode != 0


def test_a_secret_lies_encrypted_in_etcd(cluster: Controller) -> None:
    plain = "in-clear-text-this-would-be-found"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "proof"},
        "data": {"word": b64encode(plain.encode()).decode()},
    }
    kubectl(cluster.lab, "apply", "-f", "-", stdin=json.dumps(secret))
    stored = cluster.lab.run(
        "m2",
        "ETCDCTL_API=3 etcdctl --cacert /etc/kubernetes/pki/etcd-ca.pem "
        "--cert /etc/kubernetes/pki/etcd-health-check-client.pem "
        "--key /etc/kubernetes/pki/etcd-health-check-client-key.pem "
        "get /registry/secrets/default/proof --print-value-only | base64",
    ).stdout
    assert b64decode(stored).startswith(b"k8s:enc:aescbc:v1:key1:")
    assert plain.encode() not in b64decode(stored)
    assert get(cluster.lab, "secret", "proof")["data"]["word"] == secret["data"]["word"]  # type: ignore[index]


def test_anonymous_requests_and_foreign_certificates_are_refused(cluster: Controller) -> None:
    status = "curl -sk -o /dev/null -w '%{http_code}' https://127.0.0.1:6443/api"
    assert cluster.lab.run("m1", status).stdout == "401"


def test_kubelets_may_bootstrap_and_the_apiserver_may_ask_them(cluster: Controller) -> None:
    bindings = {
        item["metadata"]["name"]: (item["roleRef"]["name"], item.get("subjects", [{}])[0].get("name"))
        for item in get(cluster.lab, "clusterrolebindings")["items"]
    }
    assert bindings["kubelet-bootstrap"] == ("system:node-bootstrapper", "system:bootstrappers")
    assert bindings["kube-apiserver:kubelet-apis"] == (
        "system:kubelet-api-admin",
        "kube-apiserver-kubelet-client",
    )
    token = json.loads(
        (cluster.lab.folder / f"artifacts/{cluster.lab.facts.name}/bootstrap-token.json").read_text()
    )["token"]

    def status_of(path: str) -> str:
        return cluster.lab.run(
            "m3",
            f"curl -sk -H @- -o /dev/null -w '%{{http_code}}' https://127.0.0.1:6443{path}",
            input=f"Authorization: Bearer {token}\n",
        ).stdout

    assert status_of("/apis/certificates.k8s.io/v1/certificatesigningrequests") == "200"
    assert status_of("/api/v1/secrets") == "403"


def test_private_keys_are_roots_alone_and_differ_between_hosts(cluster: Controller) -> None:
    find = (
        r"find /etc/kubernetes /etc/etcd /etc/haproxy /root/.kube -name '*-key.pem' -printf '%m %u %f\n' -o "
    )
    find += r"-name '*.kubeconfig' -printf '%m %u %f\n' -o -name config -printf '%m %u %f\n'"
    for host, text in everywhere(cluster.lab, find).items():
        rows = [line.split() for line in text.splitlines()]
        assert len(rows) > 12, host
        assert {mode for mode, _, _ in rows} == {"600"}, host
        assert {user for _, user, _ in rows} == {"root", "etcd"}, host
    sums = everywhere(cluster.lab, "sha256sum /etc/kubernetes/pki/kube-apiserver-key.pem")
    assert len(set(sums.values())) == 3


def test_second_run_changes_nothing_with_two_exec_channels(cluster: Controller) -> None:
    log_ssh_sessions(cluster.lab)
    mark = everywhere(cluster.lab, "date +%s.%N")
    before, files = active_since(cluster.lab), snapshot(cluster.lab)
    ran = cluster.deploy()
    assert ran.status == 0
    assert "No changes." in ran.stdout
    assert active_since(cluster.lab) == before
    assert snapshot(cluster.lab) == files
    for host, since in mark.items():
        log = cluster.lab.run(host, f"journalctl -u ssh --since=@{since.strip()} -o cat").stdout
        controller = [line for line in log.splitlines() if "Starting session: command" in line]
        # The test's own commands use an exec channel each, too: two looks before, two after, and this one.
        own = 5
        assert 1 <= len(controller) - own <= 2, f"{host}: {len(controller)} exec channels"


def stored(cluster: Controller) -> dict[Path, int]:
    """Return when each file of keys, certificates and secrets was written; the journal of runs is left out."""
    files = (path for path in (cluster.lab.folder / "artifacts").rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files if path.parent.name != "runs"}


def test_dry_run_shows_diffs_without_secrets_and_touches_nothing(cluster: Controller, tmp_path: Path) -> None:
    config = cluster.inventory(
        tmp_path / "inventory",
        {
            "cluster.node_port_range": "31000-31999",
            "cluster.extra_sans": ["api.example.com"],
            "cluster.haproxy": {"statistics": {"username": "watcher", "password": "hunter2-not-shown"}},
        },
    )
    before, files = active_since(cluster.lab), snapshot(cluster.lab)
    artifacts = stored(cluster)
    ran = cluster.runbook("deploy", "--dry-run", config=config)
    assert ran.status == 0
    assert "-  --service-node-port-range=30000-32767" in ran.stdout
    assert "+  --service-node-port-range=31000-31999" in ran.stdout
    assert "restart unit kube-apiserver" in ran.stdout
    assert "hunter2" not in ran.text
    assert "PRIVATE KEY" not in ran.text
    assert active_since(cluster.lab) == before
    assert snapshot(cluster.lab) == files
    assert stored(cluster) == artifacts


def test_without_yes_and_without_a_terminal_nothing_is_changed(cluster: Controller, tmp_path: Path) -> None:
    config = cluster.inventory(tmp_path / "inventory", {"cluster.node_port_range": "31000-31999"})
    files = snapshot(cluster.lab)
    ran = cluster.runbook("deploy", config=config)
    assert ran.status == 2
    assert "--yes" in ran.stderr
    assert snapshot(cluster.lab) == files


def test_a_changed_setting_restarts_only_what_it_concerns(cluster: Controller, tmp_path: Path) -> None:
    changes = {"cluster.extra_arguments": {"kube-scheduler": {"v": "3"}}}
    config = cluster.inventory(tmp_path / "inventory", changes)
    before = active_since(cluster.lab)
    ran = cluster.deploy(config=config)
    assert ran.status == 0, ran.text
    after = active_since(cluster.lab)
    assert restarted(before, after) == {host.name: {"kube-scheduler"} for host in cluster.lab.hosts}
    for host, text in everywhere(cluster.lab, "tr '\\0' ' ' </proc/$(pidof kube-scheduler)/cmdline").items():
        assert "--v=3" in text, host
    assert cluster.deploy().status == 0  # and back


def test_load_balancer_settings_are_reloaded_and_the_vip_stays(cluster: Controller, tmp_path: Path) -> None:
    changes = {
        "cluster.haproxy": {"statistics": {"port": 10080, "username": "watcher", "password": "pass"}},
        "cluster.vrrp": {"router_id": 68, "advert_interval": 0.25},
    }
    config = cluster.inventory(tmp_path / "inventory", changes)
    before, holders = active_since(cluster.lab), vip_holders(cluster.lab)
    ran = cluster.deploy(config=config)
    assert ran.status == 0, ran.text
    assert "pass\n" not in ran.text
    assert restarted(before, active_since(cluster.lab)) == {}, "reload, not restart"
    assert vip_holders(cluster.lab) == holders
    page = "curl -s -o /dev/null -w '%{http_code}' -u watcher:pass http://127.0.0.1:10080/"
    assert set(everywhere(cluster.lab, page).values()) == {"200"}
    closed = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:10080/"
    assert set(everywhere(cluster.lab, closed).values()) == {"401"}
    again = cluster.deploy(config=config)
    assert "No changes." in again.stdout, "a reload is remembered as well as a restart"
    assert cluster.deploy().status == 0


def test_a_new_san_reissues_the_serving_certificates_alone(cluster: Controller, tmp_path: Path) -> None:
    config = cluster.inventory(tmp_path / "inventory", {"cluster.extra_sans": ["api.example.com"]})
    sums = everywhere(cluster.lab, "cd /etc/kubernetes/pki && sha256sum *.pem")
    ran = cluster.deploy(config=config)
    assert ran.status == 0, ran.text
    assert "SAN api.example.com missing" in ran.stdout
    for host in cluster.lab.hosts:
        assert "api.example.com" in names_of(served_certificate(host.address, 6443))
        now = cluster.lab.run(host.name, "cd /etc/kubernetes/pki && sha256sum *.pem").stdout
        changed = {line.split()[1] for line in set(now.splitlines()) - set(sums[host.name].splitlines())}
        assert changed == {"kube-apiserver.pem", "kube-apiserver-key.pem"}
    assert cluster.deploy().status == 0


def test_drift_is_found_and_mended(cluster: Controller) -> None:
    lab = cluster.lab
    lab.run("m1", "chmod 0644 /etc/kubernetes/pki/ca-key.pem")
    lab.run(
        "m2",
        "sed -i 's/--v=2//; s/--profiling=false/--profiling=true/' /etc/systemd/system/kube-scheduler.service",
    )
    lab.run("m3", "systemctl disable --now kube-controller-manager")
    lab.run("m1", "rm /etc/kubernetes/pki/front-proxy-client.pem")
    kubectl(lab, "delete", "clusterrolebinding", "kubelet-bootstrap")
    before = active_since(lab)
    ran = cluster.deploy()
    assert ran.status == 0, ran.text
    assert "is 0644 root:root, should be 0600 root:root" in ran.stdout
    assert restarted(before, active_since(lab)) == {
        "m1": {"kube-apiserver"},
        "m2": {"kube-scheduler"},
        "m3": {"kube-controller-manager"},
    }
    assert lab.run("m1", "stat -c %a /etc/kubernetes/pki/ca-key.pem").stdout.strip() == "600"
    assert lab.run("m3", "systemctl is-enabled kube-controller-manager").stdout.strip() == "enabled"
    assert "--profiling=false" in lab.run("m2", "cat /etc/systemd/system/kube-scheduler.service").stdout
    assert (
        get(lab, "clusterrolebinding", "kubelet-bootstrap")["roleRef"]["name"] == "system:node-bootstrapper"
    )
    assert "No changes." in cluster.deploy().stdout


def test_a_run_that_died_between_copy_and_restart_is_healed(cluster: Controller) -> None:
    # What such a run leaves: the right file, younger than the process that should have read it.
    cluster.lab.run("m2", "touch /etc/kubernetes/kube-scheduler.kubeconfig")
    before = active_since(cluster.lab)
    ran = cluster.deploy()
    assert ran.status == 0, ran.text
    assert "kube-scheduler.kubeconfig is younger than the running unit" in ran.stdout
    assert restarted(before, active_since(cluster.lab)) == {"m2": {"kube-scheduler"}}


def test_json_report_has_the_facts_and_no_secret(cluster: Controller, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert cluster.deploy("--only", "verify", "--json", str(report)).status == 0
    text = report.read_text()
    facts = json.loads(text)
    assert facts["ok"] is True
    assert facts["clusters"][cluster.lab.facts.name]["vip_holders"] == vip_holders(cluster.lab)
    assert {
        host: len(checks) > 10 for host, checks in facts["clusters"][cluster.lab.facts.name]["hosts"].items()
    } == {
        "m1": True,
        "m2": True,
        "m3": True,
    }
    assert "PRIVATE KEY" not in text


def test_verify_sees_what_is_wrong(cluster: Controller) -> None:
    lab = cluster.lab
    lab.run("m3", "systemctl stop kube-scheduler")
    try:
        ran = cluster.deploy("--only", "verify")
    finally:
        lab.run("m3", "systemctl start kube-scheduler")
    assert ran.status == 1
    assert re.search(r"✗ m3: services kube-scheduler: is inactive", ran.stdout)
    assert re.search(r"✗ m3: ports kube-scheduler 10259: nobody listens", ran.stdout)
    assert re.search(r"✗ m3: health kube-scheduler: .*Failed to connect", ran.stdout)
    assert "✗ m1" not in ran.stdout
