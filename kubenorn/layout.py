"""Where everything stands on a host: the one place that knows paths."""

from pathlib import PurePosixPath

from kubenorn.cluster import Cluster

ETCD_USER = "etcd"
ETCD_CONFIGURATION = PurePosixPath("/etc/etcd")
HAPROXY_CONFIGURATION = PurePosixPath("/etc/haproxy")
KEEPALIVED_CONFIGURATION = PurePosixPath("/etc/keepalived")
UNITS = PurePosixPath("/etc/systemd/system")
TMPFILES = PurePosixPath("/etc/tmpfiles.d/kubenorn.conf")
ADMIN_KUBECONFIG = PurePosixPath("/root/.kube/config")
STATE = PurePosixPath("/var/lib/kubenorn")
"""What the project itself keeps on a host: staging and change sets."""
DIGESTS = STATE / "digests"
"""Which file each binary was when it was put in place, and its digest; see templates/probe.sh.j2."""
HAPROXY_STATISTICS_SOCKET = PurePosixPath("/run/haproxy-statistics.sock")
"""Where haproxy tells root on its own host how it sees the kube-apiservers."""
CHANGE_SETS = STATE / "change-sets"
"""What each run replaced, for roll-back; a folder a run."""
UNJUDGED_FILE = PurePosixPath("/run/kubenorn-unjudged")
"""Which change set was applied and not yet found ready by its controller: gone after a reboot."""
HAPROXY_DOWN_FILE = PurePosixPath("/run/kubenorn/haproxy-down")
"""0 while haproxy runs, 1 after it stopped: written by haproxy's unit, watched by keepalived."""

KUBERNETES_BINARIES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
ETCD_PORTS = (2379, 2380)


class Layout:
    """Paths of one cluster's hosts, from its directory settings."""

    def __init__(self, cluster: Cluster) -> None:
        directories = cluster.settings.directories
        self.binaries = directories.binaries
        self.configuration = directories.configuration
        self.pki = directories.configuration / "pki"
        self.logs = directories.logs
        self.etcd_data = directories.etcd_data
        self.etcd_pki = ETCD_CONFIGURATION / "pki"
        self.encryption_configuration = self.configuration / "encryption-configuration.yaml"
        self.audit_policy = self.configuration / "audit-policy.yaml"
        self.token_file = self.configuration / "token.csv"

    def binary(self, name: str) -> PurePosixPath:
        """Return where the binary called `name` stands."""
        return self.binaries / name

    def certificate(self, name: str) -> PurePosixPath:
        """Return the path of a certificate in the control plane's folder, by its name in `kubenorn.pki`."""
        return self.pki / f"{name}.pem"

    def key(self, name: str) -> PurePosixPath:
        """Return the path of a private key in the control plane's folder."""
        return self.pki / f"{name}-key.pem"

    def kubeconfig(self, component: str) -> PurePosixPath:
        """Return the path of a component's kubeconfig."""
        return self.configuration / f"{component}.kubeconfig"


def unit_file(unit: str) -> PurePosixPath:
    """Return the path of a systemd unit of the project's own."""
    return UNITS / f"{unit}.service"


def drop_in(unit: str) -> PurePosixPath:
    """Return the path of the project's drop-in for a unit that a package ships."""
    return UNITS / f"{unit}.service.d" / "50-kubenorn.conf"
