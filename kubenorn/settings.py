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


def _no_boolean(value: Any) -> Any:
    # pydantic takes true for 1
    if isinstance(value, bool):
        raise ValueError("is not a whole number")  # noqa: TRY004  # pydantic wants ValueError
    return value


Number = Annotated[int, BeforeValidator(_no_boolean)]
Port = Annotated[Number, Field(ge=1, le=65535)]
Days = Annotated[Number, Field(ge=1, le=36500)]


def _text(pattern: str, wrong: str) -> AfterValidator:
    """Return a check of the whole text against `pattern`; `wrong` says what would be right."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(wrong)
        return value

    return AfterValidator(check)


def dns_name(value: str) -> str:
    """Return `value` if it is a DNS name by RFC 1123; a ValueError says what is wrong with it."""
    if value.endswith("."):
        raise ValueError("ends in a dot; X.509 DNS names have no trailing dot, remove it")
    label = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
    if len(value) > 253 or not re.fullmatch(rf"{label}(\.{label})*", value, re.IGNORECASE):
        raise ValueError(
            "is not a DNS name (letters, digits and - in labels of 1 to 63 characters, RFC 1123)"
        )
    if value.rpartition(".")[2].isdigit():
        raise ValueError("is neither an IPv4 address nor a DNS name, whose last label is no number")
    return value


def _subject_alternative_name(value: str) -> str:
    try:
        return str(IPv4Address(value))
    except ValueError:
        dns_name(value.removeprefix("*."))
        return value


def _ipv4_address(value: Any) -> IPv4Address:
    # pydantic takes a number for an address, and so would a YAML file with a forgotten dot
    try:
        return value if isinstance(value, IPv4Address) else IPv4Address(_as_text(value))
    except ValueError:
        raise ValueError("is not an IPv4 address, such as 192.168.80.13") from None


def _ipv4_network(value: Any) -> IPv4Network:
    try:
        return value if isinstance(value, IPv4Network) else IPv4Network(_as_text(value))
    except ValueError:
        pass
    try:
        network = IPv4Network(_as_text(value), strict=False)
    except ValueError:
        raise ValueError("is not an IPv4 network, such as 10.254.0.0/16") from None
    raise ValueError(f"is an address within a network; did you mean {network}?")


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text")  # noqa: TRY004  # pydantic wants ValueError
    return value


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


def _password(value: SecretStr) -> SecretStr:
    # Both keepalived and haproxy split, unescape or cut what is not plain.
    if not re.fullmatch(r"[-A-Za-z0-9_.:+/=,%^*@~]+", value.get_secret_value()):
        raise ValueError(
            "is empty or has characters that need quotes; use letters, digits and - _ . : + / = , % ^ * @ ~"
        )
    return value


Password = Annotated[SecretStr, AfterValidator(_password)]
ControllerFile = Annotated[Path, AfterValidator(_on_controller)]
"""A file on the controller; relative to the folder of config.yaml (validation context `folder`)."""
DnsName = Annotated[str, AfterValidator(dns_name)]
Address = Annotated[IPv4Address, BeforeValidator(_ipv4_address)]
Network = Annotated[IPv4Network, BeforeValidator(_ipv4_network)]
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
            str, _text(r"[0-9]+\.[0-9]+\.[0-9]+", "is not a version; write all three numbers, such as 3.4.13")
        ]
        | None
    ) = None
    heartbeat_interval: Annotated[float, Field(ge=0.01, le=5)] = 0.05
    """Seconds between the leader's signs of life; about the time a message takes from member to member, or more."""
    election_timeout: Annotated[float, Field(ge=0.05, le=50)] = 0.4
    """Seconds without one until a member wants to lead; etcd waits up to twice as long (raft, 5.2)."""
    endpoints: list[
        Annotated[
            str, _text(r"https://[^/\s,]+:[0-9]+", "is not an endpoint, such as https://192.168.90.1:2379")
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
        str, _text(r"[-A-Za-z0-9_.]+", "is not a user name haproxy reads; use letters, digits, dots, - and _")
    ]
    password: Password


class HaproxySettings(_Settings):
    """haproxy in front of the kube-apiservers."""

    statistics: StatisticsSettings | None = None


class BinarySettings(_Settings):
    """Where the binaries come from: a folder, a release tarball or a mirror URL, with their checksums."""

    source: Annotated[str, AfterValidator(_source), Field(repr=False)]
    etcd_source: Annotated[Annotated[str, AfterValidator(_source)] | None, Field(repr=False)] = None
    checksums: dict[
        str,
        Annotated[str, _text(r"sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})", "is not sha256:HEX or sha512:HEX")],
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
        _text(
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

    address: Address | None = None
    interface: (
        Annotated[
            str,
            _text(
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
        Annotated[str, _text(r"[^\s-]\S*", "is not a host, such as gate.example or user@gate.example:22")]
        | None
    ) = None
    known_hosts: Annotated[ControllerFile, Field(validate_default=True)] = Path("known_hosts")
    connect_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
