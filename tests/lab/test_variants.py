"""Two clusters in one inventory, from bare hosts in one run, with everything set otherwise than by default.

`alpha` on m1 and m2: user ops with sudo, packages missing, binaries from a mirror, ECDSA, the operator's own
CA, secretbox, multicast VRRP 2 with a password and preemption, an own interface, haproxy's statistics.
`beta` on m3: an external etcd.
"""

import functools
import http.server
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_pem_x509_certificate
from ruamel.yaml import YAML

from lab.binaries import binaries_folder
from lab.lab import Lab
from tests.lab.controller import Controller, Ran
from tests.lab.hosts import names_of, served_certificate

ALPHA_VIP, BETA_VIP = 201, 202
"""Last numbers of the VIPs in the lab's subnet."""
ETCD_PORT = 12379


def address(lab: Lab, last: int) -> str:
    return lab.vip.rsplit(".", 1)[0] + f".{last}"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A mirror with the layout of the official download sites, on loopback."""
    root = tmp_path_factory.mktemp("mirror")
    built = binaries_folder()
    listed = (line.split() for line in (built / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, name in listed}
    plain = root / "v1.20.2" / "bin" / "linux" / "amd64"
    plain.mkdir(parents=True)
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"):
        (plain / name).symlink_to(built / name)
        (plain / f"{name}.sha256").write_text(sums[name])
    etcd = root / "v3.4.23"
    etcd.mkdir()
    archive = etcd / "etcd-v3.4.23-linux-amd64.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name in ("etcd", "etcdctl"):
            tar.add(built / name, f"etcd-v3.4.23-linux-amd64/{name}")
    checksum = subprocess.run(
        ["sha256sum", archive.name], cwd=etcd, capture_output=True, text=True, check=True
    )
    (etcd / "SHA256SUMS").write_text(checksum.stdout)
    handler = functools.partial(_Quiet, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An operator's CA, made with openssl."""
    folder = tmp_path_factory.mktemp("ca")
    certificate, key = folder / "ca.pem", folder / "ca-key.pem"
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Example Root",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", str(key), "-out", str(certificate),
    )  # fmt: skip
    return certificate, key


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def start_external_etcd(lab: Lab, folder: Path) -> dict[str, str]:
    """Start an etcd on m3 that is not the project's, and return what the settings need to know of it."""
    ca, ca_key, certificate, key = (folder / n for n in ("ca.pem", "ca.key", "etcd.pem", "etcd.key"))
    host = next(each for each in lab.hosts if each.name == "m3").address
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=their etcd",
        "-keyout", str(ca_key), "-out", str(ca),
    )  # fmt: skip
    request, extensions = folder / "etcd.csr", folder / "extensions"
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=etcd", "-keyout", str(key), "-out", str(request)
    )
    extensions.write_text(f"subjectAltName=IP:{host},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    openssl(
        "x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key), "-days", "9",
        "-extfile", str(extensions), "-out", str(certificate),
    )  # fmt: skip
    lab.run("m3", "mkdir -p /opt/etcd")
    for file in (ca, certificate, key):
        lab.run("m3", f"cat > /opt/etcd/{file.name}", input=file.read_text())
    copy = subprocess.run(
        ["ssh", "-F", "none", "-i", str(lab.folder / "id_ed25519"), "-o", "BatchMode=yes",
         "-o", f"UserKnownHostsFile={lab.folder / 'known_hosts'}", f"root@{host}",
         "cat > /opt/etcd/etcd && chmod 755 /opt/etcd/etcd"],
        stdin=(binaries_folder() / "etcd").open("rb"), check=False,
    )  # fmt: skip
    assert copy.returncode == 0
    url = f"https://{host}:{ETCD_PORT}"
    lab.run(
        "m3",
        f"systemd-run --unit=their-etcd /opt/etcd/etcd --data-dir /opt/etcd/data --listen-client-urls {url} "
        f"--advertise-client-urls {url} --listen-peer-urls http://127.0.0.1:12380 --client-cert-auth "
        "--cert-file /opt/etcd/etcd.pem --key-file /opt/etcd/etcd.key --trusted-ca-file /opt/etcd/ca.pem",
    )
    return {"ca_file": str(ca), "certificate_file": str(certificate), "key_file": str(key)}


@pytest.fixture(scope="module")
def ran(
    controller: Controller,
    mirror: str,
    own_ca: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Controller, Path, Ran]:
    """Bare hosts, and one deployment of both clusters on them."""
    lab = controller.lab
    lab.reset()
    for host in ("m1", "m2"):
        lab.run(host, "DEBIAN_FRONTEND=noninteractive apt-get -q -y purge haproxy keepalived", timeout=120)
    folder = tmp_path_factory.mktemp("variants")
    external = start_external_etcd(lab, folder)
    m3 = next(each for each in lab.hosts if each.name == "m3").address
    group = YAML(typ="safe").load((lab.folder / "groups.yaml").read_text())[lab.facts.name]
    common = {
        "service_cidr": "10.32.0.0/16",
        "pod_cidr": "10.48.0.0/16",
        "kubernetes_version": "1.20.2",
    }
    alpha = {
        **common,
        "vip": address(lab, ALPHA_VIP),
        "vip_port": 9443,
        "apiserver_port": 7443,
        "cluster_domain": "alpha.example",
        "etcd": {"version": "3.4.23"},
        "binaries": {"source": mirror},
        "pki": {
            "key_type": "ecdsa-p256",
            "certificate_days": 20,
            "renew_before_days": 5,
            "authorities": {"ca": {"certificate": str(own_ca[0]), "key": str(own_ca[1])}},
        },
        "encryption": {"provider": "secretbox"},
        "vrrp": {
            "router_id": 71,
            "mode": "multicast",
            "version": 2,
            "advert_interval": 1,
            "password": "s3cr3t-8",
            "preempt": True,
        },
        "haproxy": {"statistics": {"port": 10081, "username": "watcher", "password": "page-password"}},
    }
    beta = {
        **common,
        "vip": address(lab, BETA_VIP),
        "vrrp": {"router_id": 72},
        "etcd": {
            "mode": "external",
            "version": "3.4.23",
            "endpoints": [f"https://{m3}:{ETCD_PORT}"],
            **external,
        },
        "binaries": {"source": str(binaries_folder())},
    }
    config = controller.inventory(
        folder / "inventory",
        {
            "config.user_defined": {"artifacts": "artifacts"},
            "groups": {
                "alpha": {"username": "ops", "data": {"cluster": alpha, "ssh": group["data"]["ssh"]}},
                "beta": {"username": "root", "data": {"cluster": beta, "ssh": group["data"]["ssh"]}},
            },
            "hosts.m1.groups": ["alpha"],
            "hosts.m2.groups": ["alpha"],
            "hosts.m2.data.master": {"vrrp_priority": 254, "interface": "host0"},
            "hosts.m3.groups": ["beta"],
        },
    )
    return controller, config, controller.deploy("--verbose", config=config)


def test_both_clusters_are_deployed_in_one_run(ran: tuple[Controller, Path, Ran]) -> None:
    controller, config, done = ran
    assert done.status == 0, done.text[-4000:]
    assert "even number" in done.stderr or "2 members" in done.stderr
    for cluster, host, url in (
        ("alpha", "m2", f"https://{address(controller.lab, ALPHA_VIP)}:9443"),
        ("beta", "m3", f"https://{address(controller.lab, BETA_VIP)}:8443"),
    ):
        kubeconfig = config.parent / "artifacts" / cluster / "admin.kubeconfig"
        answer = subprocess.run(
            [str(binaries_folder() / "kubectl"), "--kubeconfig", str(kubeconfig), "get", "--raw", "/readyz"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert answer.stdout == "ok", answer.stderr
        assert url in kubeconfig.read_text()
        assert url.split("/")[2].split(":")[0] in controller.lab.run(host, "ip -o -4 addr show").stdout


def test_no_password_is_printed_even_with_verbose(ran: tuple[Controller, Path, Ran]) -> None:
    text = ran[2].text
    for secret in ("s3cr3t-8", "page-password", "PRIVATE KEY"):
        assert secret not in text
    token = json.loads((ran[1].parent / "artifacts/alpha/bootstrap-token.json").read_text())["token"]
    assert token.split(".")[1] not in text


def test_packages_were_installed_with_apt(ran: tuple[Controller, Path, Ran]) -> None:
    status = (
        ran[0].lab.run("m1", "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' haproxy keepalived").stdout
    )
    assert status.split() == ["haproxy", "ii", "keepalived", "ii"]


def test_own_ca_and_ecdsa_keys_are_used(ran: tuple[Controller, Path, Ran], own_ca: tuple[Path, Path]) -> None:
    lab = ran[0].lab
    served = served_certificate(address(lab, ALPHA_VIP), 9443)
    assert "Example Root" in served.issuer.rfc4514_string()
    served.verify_directly_issued_by(load_pem_x509_certificate(own_ca[0].read_bytes()))
    assert isinstance(served.public_key(), ec.EllipticCurvePublicKey)
    assert "kubernetes.default.svc.alpha.example" in names_of(served)


def test_vrrp_and_statistics_are_as_set(ran: tuple[Controller, Path, Ran]) -> None:
    lab = ran[0].lab
    configuration = lab.run("m2", "cat /etc/keepalived/keepalived.conf").stdout
    assert "unicast" not in configuration
    assert "priority 254" in configuration
    seen = lab.run("m2", "ip -o maddr show dev host0").stdout
    assert "224.0.0.18" in seen, "keepalived has joined VRRP's multicast group"
    status = "curl -s -o /dev/null -w '%{http_code}' -u watcher:page-password http://127.0.0.1:10081/"
    assert lab.run("m1", status).stdout == "200"


def test_secrets_are_encrypted_in_both_etcds(ran: tuple[Controller, Path, Ran]) -> None:
    lab = ran[0].lab
    pki = "/etc/kubernetes/pki"
    for host, client, endpoint, prefix in (
        ("m1", "etcd-health-check-client", "https://127.0.0.1:2379", "k8s:enc:secretbox:v1:"),
        ("m3", "kube-apiserver-etcd-client", f"https://127.0.0.1:{ETCD_PORT}", "k8s:enc:aescbc:v1:"),
    ):
        etcdctl = (
            f"ETCDCTL_API=3 etcdctl --endpoints {endpoint} --cacert {pki}/etcd-ca.pem "
            f"--cert {pki}/{client}.pem --key {pki}/{client}-key.pem"
        )
        if host == "m3":
            etcdctl = etcdctl.replace("127.0.0.1", next(h for h in lab.hosts if h.name == host).address)
        found = lab.run(
            host, f"{etcdctl} get /registry/secrets/kube-system --prefix --print-value-only | grep -a k8s:"
        )
        assert found.stdout
        assert all(line.startswith(prefix) for line in found.stdout.splitlines() if "k8s:enc" in line)


def test_only_the_external_etcd_runs_on_its_host(ran: tuple[Controller, Path, Ran]) -> None:
    lab = ran[0].lab
    assert lab.run("m3", "ls /etc/systemd/system/etcd.service /etc/etcd", check=False).returncode != 0


def test_second_run_over_both_clusters_changes_nothing(ran: tuple[Controller, Path, Ran]) -> None:
    controller, config, _ = ran
    again = controller.deploy(config=config)
    assert again.status == 0, again.text
    assert "No changes." in again.stdout


def test_a_filter_selects_one_cluster(ran: tuple[Controller, Path, Ran]) -> None:
    controller, config, _ = ran
    done = controller.runbook("deploy", "--filter", "group=beta", "--only", "verify", config=config)
    assert done.status == 0, done.text
    assert "Hosts of beta" in done.stdout
    assert "alpha" not in done.stdout
