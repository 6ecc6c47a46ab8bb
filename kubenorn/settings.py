"""The cluster as the operator wrote it in the inventory: names, types, defaults and single-value checks.

What concerns several values at once (an address used twice, overlapping networks) is in `kubenorn.checks`.
"""

import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from kubenorn.pki.keys import KeyType
from kubenorn.versions import KubernetesVersion

Port = Annotated[int, Field(ge=1, le=65535)]
Days = Annotated[int, Field(ge=1, le=36500)]


def _dns_name(value: str) -> str:
    if value.endswith("."):
        raise ValueError("ends in a dot; X.509 DNS names have no trailing dot, remove it")
    label = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
    if len(value) > 253 or not re.fullmatch(rf"(\*\.)?{label}(\.{label})*", value, re.IGNORECASE):
        raise ValueError(
            "is not a DNS name (letters, digits and - in labels of 1 to 63 characters, RFC 1123)"
        )
    return value


def _subject_alternative_name(value: str) -> str:
    try:
        return str(IPv4Address(value))
    except ValueError:
        if re.fullmatch(r"[0-9.]+", value):
            raise ValueError("is neither an IPv4 address nor a DNS name") from None
        return _dns_name(value)


def _version(value: Any) -> KubernetesVersion:
    if isinstance(value, KubernetesVersion):
        return value
    if not isinstance(value, str):
        raise ValueError('is not text; put the version in quotes, such as "1.20.2"')  # noqa: TRY004  # pydantic wants ValueError
    return KubernetesVersion.parse(value)


def _absolute(value: PurePosixPath) -> PurePosixPath:
    if not value.is_absolute() or ".." in value.parts or not re.fullmatch(r"[-/._a-zA-Z0-9]+", str(value)):
        raise ValueError("is not a plain absolute path on the host, such as /etc/kubernetes")
    return value


def _on_controller(value: Path, info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", ".")) / value.expanduser()


def _source(value: str, info: ValidationInfo) -> str:
    return value if "://" in value else str(_on_controller(Path(value), info))


ControllerFile = Annotated[Path, AfterValidator(_on_controller)]
"""A file on the controller; relative to the folder of config.yaml (validation context `folder`)."""
DnsName = Annotated[str, AfterValidator(_dns_name)]
SubjectAlternativeName = Annotated[str, AfterValidator(_subject_alternative_name)]
HostPath = Annotated[PurePosixPath, AfterValidator(_absolute)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class NodePortRange(_Settings):
    """First and last NodePort, both included; written `30000-32767`."""

    first: Port
    last: Port

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            match = re.fullmatch(r"(\d+)-(\d+)", value)
            if not match:
                raise ValueError("is not a port range; write FIRST-LAST, such as 30000-32767")
            value = {"first": int(match[1]), "last": int(match[2])}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "NodePortRange":
        if self.first > self.last:
            raise ValueError("ends before it begins; write FIRST-LAST, such as 30000-32767")
        return self

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class AuthoritySettings(_Settings):
    """An operator's own certificate authority: files on the controller."""

    certificate: ControllerFile
    key: ControllerFile


class PkiSettings(_Settings):
    """Lifetimes in days, key type, and the operator's own authorities where given."""

    key_type: KeyType = KeyType.RSA_2048
    authority_days: Days = 3650
    certificate_days: Days = 365
    renew_before_days: Days = 30
    authorities: dict[Literal["ca", "etcd-ca", "front-proxy-ca"], AuthoritySettings] = {}


class DirectorySettings(_Settings):
    """Where things stand on the hosts."""

    binaries: HostPath = PurePosixPath("/usr/local/bin")
    configuration: HostPath = PurePosixPath("/etc/kubernetes")
    logs: HostPath = PurePosixPath("/var/log/kubernetes")
    etcd_data: HostPath = PurePosixPath("/var/lib/etcd")


class EtcdSettings(_Settings):
    """etcd on the masters (`managed`), or somebody else's by its endpoints (`external`)."""

    mode: Literal["managed", "external"] = "managed"
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] | None = None
    endpoints: list[Annotated[str, Field(pattern=r"^https://[^/\s]+:\d+$")]] = []
    ca_file: ControllerFile | None = None
    certificate_file: ControllerFile | None = None
    key_file: ControllerFile | None = None


class EncryptionSettings(_Settings):
    """How Secrets are encrypted in etcd."""

    provider: Literal["aescbc", "secretbox"] = "aescbc"


class VrrpSettings(_Settings):
    """keepalived: who holds the VIP."""

    router_id: Annotated[int, Field(ge=1, le=255)]
    mode: Literal["unicast", "multicast"] = "unicast"
    version: Literal[2, 3] = 3
    advert_interval: Annotated[float, Field(ge=0.05, le=255)] = 0.2
    preempt: bool = False
    password: SecretStr | None = None


class StatisticsSettings(_Settings):
    """haproxy's own statistics page; off unless both credentials are set."""

    port: Port = 10080
    username: Annotated[str, Field(pattern=r"^[^\s:]+$")]
    password: SecretStr


class HaproxySettings(_Settings):
    """haproxy in front of the kube-apiservers."""

    statistics: StatisticsSettings | None = None


class BinarySettings(_Settings):
    """Where the binaries come from: a folder, a release tarball or a mirror URL, with their checksums."""

    source: Annotated[str, AfterValidator(_source), Field(repr=False)]
    etcd_source: Annotated[Annotated[str, AfterValidator(_source)] | None, Field(repr=False)] = None
    checksums: dict[str, Annotated[str, Field(pattern=r"^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$")]] = {}
    ca_file: ControllerFile | None = None


ExtraArguments = dict[str, str | None]


def _flag_names(value: ExtraArguments) -> ExtraArguments:
    for name in value:
        if not re.fullmatch(r"[a-z0-9][-a-z0-9]*", name):
            raise ValueError(f"{name!r} is not a flag name; write it without the leading dashes")
    for text in value.values():
        if text is not None and re.search(r"[\n\r\x00]", text):
            raise ValueError("has a line break in a flag's value; a systemd unit cannot hold it")
    return value


FlagOverrides = Annotated[ExtraArguments, AfterValidator(_flag_names)]


class ClusterSettings(_Settings):
    """One cluster: the `cluster` mapping of an inventory group's data."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$")]
    vip: IPv4Address
    vip_port: Port = 8443
    apiserver_port: Port = 6443
    service_cidr: IPv4Network
    pod_cidr: IPv4Network
    cluster_domain: DnsName = "cluster.local"
    kubernetes_version: Annotated[KubernetesVersion, BeforeValidator(_version)]
    node_port_range: NodePortRange = NodePortRange(first=30000, last=32767)
    extra_sans: list[SubjectAlternativeName] = []
    pki: PkiSettings = PkiSettings()
    directories: DirectorySettings = DirectorySettings()
    etcd: EtcdSettings = EtcdSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    vrrp: VrrpSettings
    haproxy: HaproxySettings = HaproxySettings()
    binaries: BinarySettings
    extra_arguments: dict[
        Literal["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"], FlagOverrides
    ] = {}

    @property
    def etcd_version(self) -> str:
        """The etcd release to run: the one given, or the one published with this Kubernetes release."""
        return self.etcd.version or self.kubernetes_version.etcd_version

    @property
    def service_address(self) -> IPv4Address:
        """The address of the `kubernetes` service: the first of the service network."""
        return self.service_cidr[1]

    @property
    def endpoint(self) -> str:
        """The URL clients use: the VIP and its port."""
        return f"https://{self.vip}:{self.vip_port}"


class MasterSettings(_Settings):
    """What a host says of itself as a master: the `master` mapping of its data (or a group's)."""

    address: IPv4Address | None = None
    interface: Annotated[str, Field(pattern=r"^[^\s/]{1,15}$")] | None = None
    vrrp_priority: Annotated[int, Field(ge=1, le=254)] | None = None


class SshSettings(_Settings):
    """How the controller logs in; `data.ssh` of a host, a group or the defaults."""

    key_file: ControllerFile | None = None
    use_agent: bool = False
    config_file: ControllerFile | None = None
    jump_host: Annotated[str, Field(pattern=r"^[^\s-][^\s]*$")] | None = None
    known_hosts: Annotated[ControllerFile, Field(validate_default=True)] = Path("known_hosts")
    connect_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
