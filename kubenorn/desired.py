"""The desired state of one host: files, directories, binaries, packages and units.

A pure function of settings, PKI material and version: no SSH, no Nornir, no clock.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath

from kubenorn.cluster import Cluster, Master
from kubenorn.components import components
from kubenorn.encryption import encryption_configuration
from kubenorn.flags import FlagContext, command_line
from kubenorn.kubeconfig import kubeconfig
from kubenorn.layout import (
    ADMIN_KUBECONFIG,
    ETCD_CONFIGURATION,
    ETCD_USER,
    HAPROXY_CONFIGURATION,
    HAPROXY_DOWN_FILE,
    HAPROXY_STATISTICS_SOCKET,
    KEEPALIVED_CONFIGURATION,
    KUBERNETES_BINARIES,
    TMPFILES,
    Layout,
    drop_in,
    unit_file,
)
from kubenorn.material import Material
from kubenorn.render import Render

PACKAGES = ("haproxy", "keepalived", "curl")
"""Installed with the host's package manager; curl asks the components for their health."""


class Part(StrEnum):
    """What `--only` and `--skip` choose among."""

    PACKAGES = "packages"
    PKI = "pki"
    BINARIES = "binaries"
    CONFIGURATION = "configuration"
    SERVICES = "services"
    OBJECTS = "objects"
    VERIFY = "verify"


@dataclass(frozen=True)
class ManagedFile:
    """A file the project answers for. `units` must take the file anew when it changes."""

    path: PurePosixPath
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    """Never shown and never read back: only its digest leaves the host."""
    units: tuple[str, ...] = ()
    part: Part = Part.CONFIGURATION

    @property
    def sha256(self) -> str:
        """Digest of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class ManagedDirectory:
    """A directory with its mode and owner."""

    path: PurePosixPath
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True)
class ManagedBinary:
    """An executable by its digest; `version` must appear in what `--version` prints."""

    name: str
    path: PurePosixPath
    sha256: str
    version: str
    units: tuple[str, ...] = ()
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True)
class ManagedUnit:
    """A unit that is to be enabled and running."""

    name: str
    reloads: bool = False


@dataclass(frozen=True)
class DesiredHost:
    """Everything one host should be."""

    name: str
    packages: tuple[str, ...]
    users: tuple[str, ...]
    directories: tuple[ManagedDirectory, ...]
    files: tuple[ManagedFile, ...]
    binaries: tuple[ManagedBinary, ...]
    units: tuple[ManagedUnit, ...]

    def limited_to(self, parts: frozenset[Part]) -> "DesiredHost":
        """Return the desired state of these parts only; what is left out is left as it is on the host."""
        writes = parts & {Part.PKI, Part.CONFIGURATION}
        return replace(
            self,
            users=self.users if writes else (),
            directories=self.directories if writes else (),
            packages=self.packages if Part.PACKAGES in parts else (),
            files=tuple(file for file in self.files if file.part in parts),
            binaries=self.binaries if Part.BINARIES in parts else (),
            units=self.units if Part.SERVICES in parts else (),
        )


def desired_host(
    cluster: Cluster,
    master: Master,
    *,
    interface: str,
    material: Material,
    digests: dict[str, str],
    render: Render,
) -> DesiredHost:
    """Return what `master` should be.

    `interface` is the one that gets the VIP, `digests` the sha256 of every binary by its name.
    """
    builder = _Builder(cluster, master, interface, material, render)
    managed_etcd = cluster.settings.etcd.mode == "managed"
    return DesiredHost(
        name=master.name,
        packages=PACKAGES,
        users=(ETCD_USER,) if managed_etcd else (),
        directories=tuple(builder.directories()),
        files=tuple(builder.files()),
        binaries=tuple(_binaries(cluster, digests)),
        units=tuple(ManagedUnit(c.name, c.reloads) for c in components(cluster)),
    )


def binary_versions(cluster: Cluster) -> dict[str, str]:
    """Return the version wanted of every binary of the cluster's masters, by name."""
    kubernetes, etcd = str(cluster.settings.kubernetes_version), cluster.settings.etcd_version
    names = {"etcd": etcd} if cluster.settings.etcd.mode == "managed" else {}
    return {**dict.fromkeys(KUBERNETES_BINARIES, kubernetes), **names, "etcdctl": etcd}


def _binaries(cluster: Cluster, digests: dict[str, str]) -> Iterator[ManagedBinary]:
    layout = Layout(cluster)
    for name, version in binary_versions(cluster).items():
        units = () if name in {"kubectl", "etcdctl"} else (name,)
        yield ManagedBinary(name, layout.binary(name), digests[name], version, units)


def _pki(path: PurePosixPath, content: bytes, units: tuple[str, ...]) -> ManagedFile:
    return ManagedFile(path, content, units=units, part=Part.PKI)


def _pki_key(path: PurePosixPath, content: bytes, units: tuple[str, ...], owner: str = "root") -> ManagedFile:
    return ManagedFile(path, content, 0o600, owner, owner, secret=True, units=units, part=Part.PKI)


class _Builder:
    """Builds one host's files; a class only so that what every file needs is named once."""

    def __init__(
        self, cluster: Cluster, master: Master, interface: str, material: Material, render: Render
    ) -> None:
        self.cluster = cluster
        self.settings = cluster.settings
        self.master = master
        self.interface = interface
        self.material = material
        self.render = render
        self.layout = Layout(cluster)

    @property
    def managed_etcd(self) -> bool:
        return self.settings.etcd.mode == "managed"

    def directories(self) -> Iterator[ManagedDirectory]:
        yield ManagedDirectory(self.layout.configuration)
        yield ManagedDirectory(self.layout.pki, 0o700)
        yield ManagedDirectory(self.layout.logs, 0o700)
        yield ManagedDirectory(ADMIN_KUBECONFIG.parent, 0o700)
        yield ManagedDirectory(HAPROXY_CONFIGURATION)
        yield ManagedDirectory(KEEPALIVED_CONFIGURATION)
        if self.managed_etcd:
            yield ManagedDirectory(ETCD_CONFIGURATION)
            yield ManagedDirectory(self.layout.etcd_pki, 0o700, ETCD_USER, ETCD_USER)
            yield ManagedDirectory(self.layout.etcd_data, 0o700, ETCD_USER, ETCD_USER)

    def files(self) -> Iterator[ManagedFile]:
        yield from self._control_plane_pki()
        if self.managed_etcd:
            yield from self._etcd_pki()
        yield from self._kubernetes_configuration()
        yield from self._kubeconfigs()
        yield from self._load_balancer()
        yield from self._units()

    def _pair(self, name: str, *units: str) -> Iterator[ManagedFile]:
        pair = self.material.certificates[name]
        yield _pki(self.layout.certificate(name), pair.certificate, units)
        yield _pki_key(self.layout.key(name), pair.key, units)

    def _control_plane_pki(self) -> Iterator[ManagedFile]:
        api, manager, scheduler = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
        material, layout = self.material, self.layout
        yield _pki(layout.certificate("ca"), material.ca, (api, manager, scheduler))
        yield _pki_key(layout.key("ca"), material.ca_key, (manager,))
        yield _pki(layout.certificate("etcd-ca"), material.etcd_ca, (api,))
        yield _pki(layout.certificate("front-proxy-ca"), material.front_proxy_ca, (api,))
        yield _pki(layout.pki / "service-account.pub", material.service_account_public_key, (api,))
        yield _pki_key(layout.key("service-account"), material.service_account_key, (api, manager))
        yield from self._pair("kube-apiserver", api)
        yield from self._pair("kube-apiserver-kubelet-client", api)
        yield from self._pair("kube-apiserver-etcd-client", api)
        yield from self._pair("front-proxy-client", api)
        yield from self._pair("kube-controller-manager-serving", manager)
        yield from self._pair("kube-scheduler-serving", scheduler)

    def _etcd_pki(self) -> Iterator[ManagedFile]:
        folder = self.layout.etcd_pki
        yield ManagedFile(folder / "ca.pem", self.material.etcd_ca, units=("etcd",))
        for name in ("server", "peer"):
            pair = self.material.certificates[f"etcd-{name}"]
            yield ManagedFile(folder / f"{name}.pem", pair.certificate, units=("etcd",))
            yield ManagedFile(
                folder / f"{name}-key.pem",
                pair.key,
                0o600,
                ETCD_USER,
                ETCD_USER,
                secret=True,
                units=("etcd",),
            )
        yield from self._pair("etcd-health-check-client")

    def _kubernetes_configuration(self) -> Iterator[ManagedFile]:
        version = self.settings.kubernetes_version
        yield ManagedFile(
            self.layout.encryption_configuration,
            encryption_configuration(
                version.release,
                self.settings.encryption.provider,
                self.material.encryption_key_name,
                self.material.encryption_key,
            ),
            0o600,
            secret=True,
            units=("kube-apiserver",),
        )
        yield self._rendered(
            self.layout.audit_policy, "audit-policy.yaml.j2", {"settings": self.settings}, "kube-apiserver"
        )
        if version.bootstrap_token_file:
            line = f'{self.material.bootstrap_token},kubelet-bootstrap,10001,"system:bootstrappers"\n'
            yield ManagedFile(
                self.layout.token_file, line.encode(), 0o600, secret=True, units=("kube-apiserver",)
            )

    def _kubeconfigs(self) -> Iterator[ManagedFile]:
        # Controller-manager and scheduler ask the kube-apiserver of their own host, as kubeadm's do: their
        # lease then moves with the host's health, and no failover of the VIP cuts the leader's connection.
        local = f"https://{self.master.address}:{self.settings.apiserver_port}"
        for component in ("kube-controller-manager", "kube-scheduler"):
            content = self._kubeconfig(local, f"system:{component}", component)
            yield _pki_key(self.layout.kubeconfig(component), content, (component,))
        yield _pki_key(ADMIN_KUBECONFIG, self._kubeconfig(self.settings.endpoint, "admin", "admin"), ())

    def _kubeconfig(self, server: str, user: str, certificate: str) -> bytes:
        pair = self.material.certificates[certificate]
        return kubeconfig(
            cluster_name=self.cluster.name,
            server=server,
            ca_pem=self.material.ca,
            user=user,
            client_certificate_pem=pair.certificate,
            client_key_pem=pair.key,
        )

    def _load_balancer(self) -> Iterator[ManagedFile]:
        ca_file = HAPROXY_CONFIGURATION / "kube-apiserver-ca.pem"
        health_check_file = HAPROXY_CONFIGURATION / "health-check.pem"
        health_check = self.material.certificates["haproxy-health-check"]
        variables = {"cluster": self.cluster, "settings": self.settings, "master": self.master}
        yield _pki(ca_file, self.material.ca, ("haproxy",))
        yield _pki_key(health_check_file, health_check.certificate + health_check.key, ("haproxy",))
        yield self._rendered(
            HAPROXY_CONFIGURATION / "haproxy.cfg",
            "haproxy.cfg.j2",
            variables
            | {
                "ca_file": ca_file,
                "health_check_file": health_check_file,
                "statistics_socket": HAPROXY_STATISTICS_SOCKET,
            },
            "haproxy",
            mode=0o600,
        )
        yield self._rendered(
            KEEPALIVED_CONFIGURATION / "keepalived.conf",
            "keepalived.conf.j2",
            variables | {"interface": self.interface, "down_file": HAPROXY_DOWN_FILE},
            "keepalived",
            mode=0o600,
        )
        yield self._rendered(
            TMPFILES,
            "tmpfiles.conf.j2",
            {"down_file": HAPROXY_DOWN_FILE},
        )

    def _units(self) -> Iterator[ManagedFile]:
        context = FlagContext(self.cluster, self.master, self.layout)
        names = ("etcd",) if self.managed_etcd else ()
        for unit in (*names, "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            variables = {
                "master": self.master,
                "layout": self.layout,
                "flags": command_line(unit, context),
                "etcd_user": ETCD_USER,
            }
            yield self._rendered(unit_file(unit), f"{unit}.service.j2", variables, unit)
        for unit in ("haproxy", "keepalived"):
            yield self._rendered(
                drop_in(unit), f"{unit}-drop-in.conf.j2", {"down_file": HAPROXY_DOWN_FILE}, unit
            )

    def _rendered(
        self, path: PurePosixPath, template: str, variables: dict[str, object], *units: str, mode: int = 0o644
    ) -> ManagedFile:
        return ManagedFile(path, self.render(template, variables).encode(), mode, units=units)
