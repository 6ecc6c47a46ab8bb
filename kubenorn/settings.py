"""The cluster as the operator wrote it in the inventory: names, types, defaults and single-value checks.

What concerns several values at once (an address used twice, overlapping networks) is in `kubenorn.checks`.
"""

import re
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from kubenorn.pki.keys import KeyType
from kubenorn.setting_values import (
    Address,
    BinaryPlace,
    ControllerFile,
    Days,
    DnsName,
    HostPath,
    Network,
    Number,
    Password,
    Port,
    SubjectAlternativeName,
    Version,
    matches,
)


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
            match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", value)
            if not match:
                raise ValueError("is not a port range; write FIRST-LAST, such as 30000-32767")
            return {"first": int(match[1]), "last": int(match[2])}
        if not isinstance(value, dict | NodePortRange):
            raise ValueError("is not a port range; write FIRST-LAST, such as 30000-32767")  # noqa: TRY004
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
    version: (
        Annotated[
            str,
            matches(r"[0-9]+\.[0-9]+\.[0-9]+", "is not a version; write all three numbers, such as 3.4.13"),
        ]
        | None
    ) = None
    heartbeat_interval: Annotated[float, Field(ge=0.01, le=5)] = 0.05
    """Seconds between the leader's signs of life; about the time a message takes from member to member, or more."""
    election_timeout: Annotated[float, Field(ge=0.05, le=50)] = 0.4
    """Seconds without one until a member wants to lead; etcd waits up to twice as long (raft, 5.2)."""
    endpoints: list[
        Annotated[
            str, matches(r"https://[^/\s,]+:[0-9]+", "is not an endpoint, such as https://192.168.90.1:2379")
        ]
    ] = []
    ca_file: ControllerFile | None = None
    certificate_file: ControllerFile | None = None
    key_file: ControllerFile | None = None


class EncryptionSettings(_Settings):
    """How Secrets are encrypted in etcd."""

    provider: Literal["aescbc", "secretbox"] = "aescbc"


class VrrpSettings(_Settings):
    """keepalived: who holds the VIP."""

    router_id: Annotated[Number, Field(ge=1, le=255)]
    mode: Literal["unicast", "multicast"] = "unicast"
    version: Literal[2, 3] = 3
    advert_interval: Annotated[float, Field(ge=0.05, le=255)] = 0.2
    preempt: bool = False
    password: Password | None = None


class StatisticsSettings(_Settings):
    """haproxy's own statistics page; off unless both credentials are set."""

    port: Port = 10080
    username: Annotated[
        str,
        matches(r"[-A-Za-z0-9_.]+", "is not a user name haproxy reads; use letters, digits, dots, - and _"),
    ]
    password: Password


class HaproxySettings(_Settings):
    """haproxy in front of the kube-apiservers."""

    statistics: StatisticsSettings | None = None


class BinarySettings(_Settings):
    """Where the binaries come from: a folder, a release tarball or a mirror URL, with their checksums."""

    source: Annotated[BinaryPlace, Field(repr=False)]
    etcd_source: Annotated[BinaryPlace | None, Field(repr=False)] = None
    checksums: dict[
        str,
        Annotated[
            str, matches(r"sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})", "is not sha256:HEX or sha512:HEX")
        ],
    ] = {}
    ca_file: ControllerFile | None = None


ExtraArguments = dict[str, str | None]


def _flag_names(value: ExtraArguments) -> ExtraArguments:
    for name in value:
        if not re.fullmatch(r"[a-z0-9][-a-z0-9]*", name):
            raise ValueError(f"has {name!r}, which is no flag's name; write it without the leading dashes")
    for name, text in value.items():
        if text is not None and re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
            raise ValueError(
                f"has a line break or control character in {name}; a systemd unit cannot hold it"
            )
    return value


FlagOverrides = Annotated[ExtraArguments, AfterValidator(_flag_names)]


class ClusterSettings(_Settings):
    """One cluster: the `cluster` mapping of an inventory group's data."""

    name: Annotated[
        str,
        matches(
            r"[A-Za-z0-9][-A-Za-z0-9_.]{0,62}",
            "is not a name; use letters, digits, dots, - and _, 63 at most",
        ),
    ]
    vip: Address
    vip_port: Port = 8443
    apiserver_port: Port = 6443
    service_cidr: Network
    pod_cidr: Network
    cluster_domain: DnsName = "cluster.local"
    kubernetes_version: Version
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

    address: Address | None = None
    interface: (
        Annotated[
            str,
            matches(
                r"[A-Za-z0-9_][-A-Za-z0-9_.:@]{0,14}", "is not the name of a network interface, such as eth0"
            ),
        ]
        | None
    ) = None
    vrrp_priority: Annotated[Number, Field(ge=1, le=254)] | None = None


class SshSettings(_Settings):
    """How the controller logs in; `data.ssh` of a host, a group or the defaults."""

    key_file: ControllerFile | None = None
    use_agent: bool = False
    config_file: ControllerFile | None = None
    jump_host: (
        Annotated[str, matches(r"[^\s-]\S*", "is not a host, such as gate.example or user@gate.example:22")]
        | None
    ) = None
    known_hosts: Annotated[ControllerFile, Field(validate_default=True)] = Path("known_hosts")
    connect_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
