"""What a lab is: its name, subnet and hosts, and everything that follows from them. Kept in lab.json."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path

from kubenorn.errors import InputWrongError
from lab.tools import write_atomically

DEFAULT_NAME = "lab"
DEFAULT_HOSTS = 3
# RFC 2544 keeps 198.18.0.0/15 for benchmarks on closed networks: nobody's LAN.
DEFAULT_SUBNET = IPv4Network("198.18.80.0/24")
STATE_FILE = "lab.json"

FIRST_HOST = 11
VIP = 100
MOST_HOSTS = VIP - FIRST_HOST
# vb- and the machine's name must fit in the 15 characters of an interface, or nspawn invents another name.
TAG_LENGTH = 15 - len("vb-") - len("-m99")


@dataclass(frozen=True)
class HostFacts:
    """A host's name and IPv4 address."""

    name: str
    address: str


@dataclass(frozen=True)
class Facts:
    """A lab's name, subnet and number of hosts; written tells what the lab last wrote into its inventory."""

    name: str
    subnet: IPv4Network
    count: int
    written: dict[str, str] = field(default_factory=dict)

    @property
    def hosts(self) -> list[HostFacts]:
        """The hosts: m1 at .11, m2 at .12 and so on."""
        return [HostFacts(f"m{n + 1}", str(self.subnet[FIRST_HOST + n])) for n in range(self.count)]

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge (it forwards nothing)."""
        return str(self.subnet[1])

    @property
    def vip(self) -> str:
        """The virtual address meant for the control plane's load balancer."""
        return str(self.subnet[VIP])

    @property
    def tag(self) -> str:
        """A short form of the name, unique enough for interfaces and cgroups."""
        if len(self.name) <= TAG_LENGTH:
            return self.name
        return self.name[: TAG_LENGTH - 4] + hashlib.sha256(self.name.encode()).hexdigest()[:4]

    @property
    def bridge(self) -> str:
        """The bridge's interface name."""
        return f"kn-{self.tag}"

    def machine(self, host: str) -> str:
        """Return what systemd-nspawn calls the host, unique on this machine."""
        return f"{self.tag}-{host}"

    def save(self, folder: Path) -> None:
        """Write the state file into the lab's folder."""
        document = {
            "name": self.name,
            "subnet": str(self.subnet),
            "hosts": self.count,
            "written": self.written,
        }
        write_atomically(folder / STATE_FILE, json.dumps(document, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Facts | None":
        """Return the facts kept in the lab's folder, or None when there is no lab."""
        path = folder / STATE_FILE
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                document["name"],
                IPv4Network(document["subnet"]),
                int(document["hosts"]),
                dict(document["written"]),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise InputWrongError(f"{path} is damaged ({error}): run down, then up again.") from error

    def with_written(self, written: dict[str, str]) -> "Facts":
        """Return the same facts with another record of what was written."""
        return replace(self, written=written)


def checked_name(name: str) -> str:
    """Return name if it can name a lab. Raises InputWrongError if not."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise InputWrongError(f"--name {name!r}: use up to 32 small letters, digits and inner hyphens.")
    return name


def checked_count(count: int) -> int:
    """Return count if a lab can have that many hosts. Raises InputWrongError if not."""
    if not 1 <= count <= MOST_HOSTS:
        raise InputWrongError(f"--hosts {count}: a lab has 1 to {MOST_HOSTS} hosts.")
    return count


def checked_subnet(text: str) -> IPv4Network:
    """Return the subnet written as text. Raises InputWrongError when it is none, too small or too large."""
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise InputWrongError(f"--subnet {text}: {error}; write it like {DEFAULT_SUBNET}.") from error
    if not 16 <= subnet.prefixlen <= 25:
        raise InputWrongError(f"--subnet {text}: use a prefix from /16 to /25, like {DEFAULT_SUBNET}.")
    return subnet


def candidate_subnets() -> Iterator[IPv4Network]:
    """Yield the subnets a named lab may take, in the order they are tried."""
    for number in range(81, 256):
        yield IPv4Network(f"198.18.{number}.0/24")
    for number in range(256):
        yield IPv4Network(f"198.19.{number}.0/24")


def first_free(taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return the first candidate that overlaps none of taken. Raises InputWrongError if all do."""
    known = list(taken)
    for candidate in candidate_subnets():
        if not any(candidate.overlaps(network) for network in known):
            return candidate
    raise InputWrongError("No subnet is free from 198.18.81.0/24 up: name one with --subnet.")


def lab_folder(start: Path, name: str) -> Path:
    """Return the lab's folder in the checkout that start is in (start itself when it is in none)."""
    here = start.absolute()
    checkout = next((place for place in (here, *here.parents) if (place / ".git").exists()), here)
    folder = checkout / (".lab" if name == DEFAULT_NAME else f".lab-{name}")
    if any(sign in str(folder) for sign in ",:\\"):
        raise InputWrongError(
            f"{folder}: overlayfs cannot use a path with a comma, colon or backslash; move it."
        )
    return folder
