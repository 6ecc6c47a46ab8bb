"""A cluster after the door: validated settings and its masters, in inventory order."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from kubenorn.settings import ClusterSettings, SshSettings


@dataclass(frozen=True)
class Master:
    """One control-plane host as the inventory has it."""

    name: str
    address: IPv4Address
    vrrp_priority: int
    interface: str | None
    """The interface of the VIP; None: the one that carries `address`, found by the probe."""


@dataclass(frozen=True)
class Cluster:
    """Everything the operator said of one cluster. Nobody validates it again."""

    settings: ClusterSettings
    masters: tuple[Master, ...]

    @property
    def name(self) -> str:
        """The cluster's name, which is its folder's under `artifacts/` too."""
        return self.settings.name

    def master(self, name: str) -> Master:
        """Return the master called `name`. Raises KeyError when there is none."""
        for master in self.masters:
            if master.name == name:
                return master
        raise KeyError(name)

    @property
    def etcd_endpoints(self) -> list[str]:
        """Client URLs of every etcd member."""
        if self.settings.etcd.mode == "external":
            return list(self.settings.etcd.endpoints)
        return [f"https://{master.address}:2379" for master in self.masters]


@dataclass(frozen=True)
class Fleet:
    """The clusters of an inventory by name, and how to log in to each host by its name."""

    clusters: dict[str, Cluster]
    ssh: dict[str, SshSettings]
    warnings: tuple[str, ...] = ()

    def cluster_of(self, host: str) -> Cluster:
        """Return the cluster whose master `host` is. Raises KeyError when it is no master."""
        for cluster in self.clusters.values():
            if any(master.name == host for master in cluster.masters):
                return cluster
        raise KeyError(host)
