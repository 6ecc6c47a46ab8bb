"""Single values of the inventory as types: what pydantic accepts for a port, a name, an address or a path."""

import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from kubenorn.versions import KubernetesVersion


def _no_boolean(value: Any) -> Any:
    # pydantic takes true for 1
    if isinstance(value, bool):
        raise ValueError("is not a whole number")  # noqa: TRY004  # pydantic wants ValueError
    return value


Number = Annotated[int, BeforeValidator(_no_boolean)]
Port = Annotated[Number, Field(ge=1, le=65535)]
Days = Annotated[Number, Field(ge=1, le=36500)]


def matches(pattern: str, wrong: str) -> AfterValidator:
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
Version = Annotated[KubernetesVersion, BeforeValidator(_version)]
BinaryPlace = Annotated[str, AfterValidator(_source)]
"""A mirror's URL, or a folder on the controller like a ControllerFile."""
