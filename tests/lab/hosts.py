"""What tests read from the lab's hosts and the API, by other means than the program's own."""

import json
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cryptography import x509

from lab.binaries import binaries_folder
from lab.lab import Lab

UNITS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "haproxy", "keepalived")


def everywhere(lab: Lab, command: str, *, check: bool = True) -> dict[str, str]:
    """Return what `command` printed on every host."""
    with ThreadPoolExecutor() as pool:
        texts = pool.map(lambda host: lab.run(host.name, command, check=check).stdout, lab.hosts)
        return {host.name: text for host, text in zip(lab.hosts, texts, strict=True)}


def log_ssh_sessions(lab: Lab) -> None:
    """Have every sshd log each login and each exec channel.

    Restarted, not reloaded: a reload returns before sshd executes itself anew, which then refuses connections for a
    moment. A restart returns when it listens again, and leaves open sessions alone.
    """
    everywhere(lab, "echo 'LogLevel VERBOSE' > /etc/ssh/sshd_config.d/log.conf; systemctl restart ssh")


def active_since(lab: Lab) -> dict[str, dict[str, str]]:
    """Return by host and unit when each became active, its main process, and its restarts by systemd."""
    properties = "-p Id -p ActiveEnterTimestamp -p MainPID -p NRestarts"
    shown = everywhere(lab, f"systemctl show --timestamp=us {properties} {' '.join(UNITS)}")
    return {
        host: {
            block.partition("Id=")[2].partition(".service")[0]: block for block in text.strip().split("\n\n")
        }
        for host, text in shown.items()
    }


def restarted(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> dict[str, set[str]]:
    """Return which units of which hosts were started anew, as `active_since` saw them before and after.

    A leader that lost its lease because its kube-apiserver restarted ends by itself and is restarted by
    systemd, which NRestarts shows: nobody asked for that, so it does not count.
    """
    moved = {
        host: {
            unit
            for unit in UNITS
            if before[host][unit] != after[host][unit]
            and not _by_itself(before[host][unit], after[host][unit])
        }
        for host in before
    }
    return {host: units for host, units in moved.items() if units}


def _by_itself(before: str, after: str) -> bool:
    def count(block: str) -> int:
        return int(block.partition("NRestarts=")[2].split()[0])

    return count(after) > count(before)


def vip_holders(lab: Lab) -> list[str]:
    """Return the hosts whose kernel has the VIP."""
    addresses = everywhere(lab, "ip -o -4 addr show")
    return [host for host, text in addresses.items() if f" {lab.vip}/" in text]


def admin_kubeconfig(lab: Lab) -> Path:
    """Return the administrator's kubeconfig on this machine."""
    return lab.folder / "artifacts" / lab.facts.name / "admin.kubeconfig"


def kubectl(lab: Lab, *arguments: str, stdin: str = "", check: bool = True) -> str:
    """Run the real kubectl on this machine, through the VIP, and return what it printed."""
    done = subprocess.run(
        [str(binaries_folder() / "kubectl"), "--kubeconfig", str(admin_kubeconfig(lab)), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def all_ready(lab: Lab) -> bool:
    """Return whether every master's own kube-apiserver is ready.

    One whose etcd was away asks again only every so often: gRPC backs off, up to two minutes.
    """
    servers = [f"https://{host.address}:6443" for host in lab.hosts]
    return all(
        kubectl(lab, "--server", server, "get", "--raw", "/readyz", check=False) == "ok" for server in servers
    )


def all_used(lab: Lab) -> bool:
    """Return whether every host's haproxy sends connections to every kube-apiserver; it looks every 2 s, twice."""
    asked = "curl -s --unix-socket /run/haproxy-statistics.sock 'http://localhost/;csv'"
    lines = [line for text in everywhere(lab, asked, check=False).values() for line in text.splitlines()]
    states = [line.split(",")[17] for line in lines if line.startswith("kube-apiserver,m")]
    return len(states) == len(lab.hosts) ** 2 and set(states) == {"UP"}


def get(lab: Lab, *arguments: str) -> dict[str, Any]:
    """Return an object of the API as JSON."""
    loaded: dict[str, Any] = json.loads(kubectl(lab, "get", *arguments, "-o", "json"))
    return loaded


def served_certificate(address: str, port: int) -> x509.Certificate:
    """Return the certificate a TLS server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=5) as plain, context.wrap_socket(plain) as tls:
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def names_of(certificate: x509.Certificate) -> set[str]:
    """Return the DNS names and addresses a certificate is for."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name) for kind in (x509.DNSName, x509.IPAddress) for name in names.get_values_for_type(kind)}


def snapshot(lab: Lab) -> set[str]:
    """Return host, path, mode, owner, size and time of every file a deployment may write.

    What runs writes as well (logs, etcd's data, kubectl's cache) and is left out.
    """
    find = (
        "find /etc /usr/local /root /var/lib/kubenorn /usr/sbin /run/kubenorn -xdev "
        r"-name cache -prune -o -type f -printf '%p %m %u %g %s %T@\n' 2>/dev/null"
    )
    found = everywhere(lab, find, check=False)
    return {f"{host} {line}" for host, text in found.items() for line in text.splitlines()}
