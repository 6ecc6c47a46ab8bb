"""Names in certificates: what may be a DNS or an address SAN, in one canonical form and order."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from kubenorn.errors import InputWrongError

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def dns_name(text: str) -> str:
    """Return a DNS SAN in lower case; raises InputWrongError unless it is one by RFC 1123 2.1.

    A leading `*.` is allowed, as kubeadm allows it in certSANs. Go's x509 refuses the whole certificate
    for a name with a trailing dot.
    """
    name = text.lower()
    if name.endswith("."):
        raise InputWrongError(
            f"the DNS name {text!r} ends with a dot; certificates name it without: remove the dot"
        )
    if len(name) > 253 or not _DNS_NAME.fullmatch(name):
        raise InputWrongError(
            f"{text!r} is not a DNS name; use labels of a-z, 0-9 and - "
            "(63 at most, 253 in all), joined by dots"
        )
    if name.rpartition(".")[2].isdigit():
        raise InputWrongError(f"{text!r} reads as an address but is none; correct it or use a name")
    return name


def address(text: str) -> str:
    """Return an IP SAN in canonical text; raises InputWrongError when it is no address."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise InputWrongError(f"{text!r} is not an IP address; give one such as 192.168.80.13") from None


def is_address(text: str) -> bool:
    """Return whether `text` is an IPv4 or IPv6 address rather than a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def canonical_dns_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names checked, each once, sorted."""
    return tuple(sorted({dns_name(name) for name in names}))


def canonical_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses checked, each once, IPv4 before IPv6, in numerical order."""
    return tuple(sorted({address(each) for each in addresses}, key=_numerical))


def _numerical(text: str) -> tuple[int, int]:
    value = ip_address(text)
    return value.version, int(value)
