from ipaddress import IPv4Network
from pathlib import Path

import pytest

from kubenorn.errors import InputWrongError
from lab.facts import (
    DEFAULT_SUBNET,
    Facts,
    HostFacts,
    checked_count,
    checked_name,
    checked_subnet,
    first_free,
    lab_folder,
)


def facts(name: str = "lab", count: int = 3) -> Facts:
    return Facts(name, DEFAULT_SUBNET, count)


def test_addresses_follow_from_the_subnet() -> None:
    assert facts(count=2).hosts == [HostFacts("m1", "198.18.80.11"), HostFacts("m2", "198.18.80.12")]
    assert facts().gateway == "198.18.80.1"
    assert facts().vip == "198.18.80.100"


def test_the_largest_lab_leaves_the_vip_alone() -> None:
    largest = facts(count=checked_count(89))
    assert largest.vip not in {host.address for host in largest.hosts}


@pytest.mark.parametrize("name", ["lab", "labtest", "x", "a-name-of-thirty-two-characters-"[:-1] + "1"])
def test_interface_names_fit_the_kernel(name: str) -> None:
    one = facts(checked_name(name))
    assert len(one.bridge) <= 15
    assert len(f"vb-{one.machine('m89')}") <= 15


def test_long_names_with_the_same_start_get_different_bridges() -> None:
    assert facts("benchmark-one").bridge != facts("benchmark-two").bridge


def test_state_survives_saving(tmp_path: Path) -> None:
    saved = facts().with_written({"config.yaml": "abc"})
    saved.save(tmp_path)
    assert Facts.load(tmp_path) == saved


def test_no_state_is_no_lab(tmp_path: Path) -> None:
    assert Facts.load(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{", '{"name": "lab"}', '{"name": 1, "subnet": "x", "hosts": 1, "written": {}}']
)
def test_damaged_state_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(InputWrongError, match="down"):
        Facts.load(tmp_path)


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "a/b", "..", "x" * 33])
def test_names_that_cannot_be_folders_and_interfaces_are_refused(name: str) -> None:
    with pytest.raises(InputWrongError, match="--name"):
        checked_name(name)


@pytest.mark.parametrize("count", [0, -1, 90])
def test_impossible_numbers_of_hosts_are_refused(count: int) -> None:
    with pytest.raises(InputWrongError, match="--hosts"):
        checked_count(count)


@pytest.mark.parametrize("text", ["", "198.18.80.1/24", "198.18.80.0/26", "198.0.0.0/8", "fd00::/64", "m1"])
def test_subnets_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(InputWrongError, match="--subnet"):
        checked_subnet(text)


def test_a_named_lab_takes_the_first_subnet_nobody_has() -> None:
    assert first_free([]) == IPv4Network("198.18.81.0/24")
    taken = [IPv4Network("198.18.81.0/24"), IPv4Network("198.18.82.7/32"), DEFAULT_SUBNET]
    assert first_free(taken) == IPv4Network("198.18.83.0/24")
    assert first_free([IPv4Network("198.18.0.0/16")]) == IPv4Network("198.19.0.0/24")


def test_no_free_subnet_says_so() -> None:
    with pytest.raises(InputWrongError, match="--subnet"):
        first_free([IPv4Network("198.18.0.0/15")])


def test_the_folder_is_in_the_checkout_wherever_one_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    below = tmp_path / "docs" / "decisions"
    below.mkdir(parents=True)
    assert lab_folder(below, "lab") == tmp_path / ".lab"
    assert lab_folder(below, "bench") == tmp_path / ".lab-bench"


def test_paths_overlayfs_cannot_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputWrongError, match="comma"):
        lab_folder(tmp_path / "a,b", "lab")
