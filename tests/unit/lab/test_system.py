"""What the lab reads from the machine: mounts, cgroups, routes, apt."""

from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lab.apt import mirror_in
from lab.cgroup import group_name, hierarchies
from lab.mounts import mounted_below
from lab.network import Route, mac_address, parse_routes

HYBRID = """\
/dev/vda / ext4 rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


def test_only_the_hierarchies_the_lab_needs_are_used() -> None:
    used = hierarchies(HYBRID)
    assert [place.mount.name for place in used] == ["freezer", "systemd", "unified"]
    assert [place.unified for place in used] == [False, False, True]


def test_a_machine_with_cgroup_v2_alone_has_one_hierarchy() -> None:
    (only,) = hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n")
    assert only.unified


def test_two_checkouts_never_share_groups() -> None:
    assert group_name("lab", Path("/a/.lab")) != group_name("lab", Path("/b/.lab"))


def test_mounts_below_a_folder_come_innermost_first() -> None:
    mountinfo = (
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "30 27 0:40 / /x/.lab/hosts/m1/merged rw - overlay overlay rw\n"
        "31 30 0:41 / /x/.lab/hosts/m1/merged/proc rw - proc proc rw\n"
        "32 27 0:42 / /x/.lab/hosts/m11/merged rw - overlay overlay rw\n"
    )
    place = Path("/x/.lab/hosts/m1")
    assert mounted_below(place, mountinfo) == [place / "merged" / "proc", place / "merged"]


def test_mount_points_with_blanks_are_understood() -> None:
    mountinfo = "30 27 0:40 / /my\\040code/.lab/hosts/m1/merged rw - overlay overlay rw\n"
    assert mounted_below(Path("/my code/.lab"), mountinfo) == [Path("/my code/.lab/hosts/m1/merged")]


def test_routes_without_an_interface_and_single_addresses_are_read() -> None:
    entries: list[dict[str, Any]] = [
        {"dst": "default", "dev": "eth0"},
        {"type": "blackhole", "dst": "198.18.80.0/24", "metric": 4096},
        {"type": "local", "dst": "192.0.2.2", "dev": "eth0", "table": "local"},
    ]
    assert parse_routes(entries) == [
        Route(IPv4Network("198.18.80.0/24"), ""),
        Route(IPv4Network("192.0.2.2/32"), "eth0"),
    ]


def test_a_bridge_keeps_its_address_which_is_nobodys() -> None:
    first = mac_address("/a/.lab")
    assert first == mac_address("/a/.lab") != mac_address("/b/.lab")
    assert int(first[:2], 16) & 0b11 == 0b10  # locally administered, unicast


def test_the_mirror_is_the_machines_own_and_never_the_security_archive() -> None:
    def stanza(label: str, address: str, origin: str = "Debian") -> str:
        return f"Label: {label}\nOrigin: {origin}\nComponent: main\nRepo-URI: {address}\n"

    security = stanza("Debian-Security", "http://mirror.example/debian-security/")
    other = stanza("nodistro", "https://other.example/", origin="Somebody")
    debian = stanza("Debian", "http://mirror.example/debian/")
    assert mirror_in("\n".join([security, other, debian])) == "http://mirror.example/debian"
    assert mirror_in("\n".join([security, other])) is None
    assert mirror_in("") is None
