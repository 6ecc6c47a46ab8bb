from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from ruamel.yaml import YAML

from kubenorn.settings import ClusterSettings, SshSettings
from lab import inventory, keys
from lab.binaries import BUILT_VERSIONS, Versions
from lab.facts import DEFAULT_SUBNET, Facts, HostFacts
from lab.host import hosts_file, network_file
from lab.ssh import as_typed, ssh_command

FACTS = Facts("bench", DEFAULT_SUBNET, 2)


def test_the_inventory_is_one_kubenorn_accepts(tmp_path: Path) -> None:
    files = inventory.documents(FACTS, tmp_path, tmp_path / "binaries", BUILT_VERSIONS)
    data = files["groups.yaml"]["bench"]["data"]
    cluster = ClusterSettings.model_validate(data["cluster"])
    assert cluster.name == "bench"
    assert cluster.etcd_version == BUILT_VERSIONS.etcd
    assert SshSettings.model_validate(data["ssh"]).known_hosts == tmp_path / "known_hosts"
    assert files["hosts.yaml"]["m2"] == {
        "hostname": "198.18.80.12",
        "groups": ["bench"],
        "data": {"role": "master"},
    }


def test_edits_survive_until_the_labs_facts_change(tmp_path: Path) -> None:
    first = inventory.documents(FACTS, tmp_path, tmp_path, BUILT_VERSIONS)
    written = inventory.write(tmp_path, first, {})
    groups = tmp_path / "groups.yaml"
    groups.write_text(groups.read_text() + "# mine\n")
    assert inventory.write(tmp_path, first, written) == written
    assert "# mine" in groups.read_text()

    changed = inventory.documents(FACTS, tmp_path, tmp_path, Versions("1.21.0", "3.4.23"))
    assert inventory.write(tmp_path, changed, written) != written
    assert "# mine" not in groups.read_text()


def test_a_missing_file_is_written_again(tmp_path: Path) -> None:
    files = inventory.documents(FACTS, tmp_path, tmp_path, BUILT_VERSIONS)
    written = inventory.write(tmp_path, files, {})
    (tmp_path / "hosts.yaml").unlink()
    inventory.write(tmp_path, files, written)
    assert YAML(typ="safe").load(tmp_path / "hosts.yaml") == files["hosts.yaml"]


def test_versions_stay_text_in_yaml() -> None:
    text = inventory.as_yaml({"version": BUILT_VERSIONS.kubernetes})
    assert YAML(typ="safe").load(text) == {"version": "1.20.2"}


def test_keys_are_made_once_and_belong_together(tmp_path: Path) -> None:
    for name in ("id_ed25519", "ssh_host_ecdsa_key"):
        public = keys.make_key(tmp_path / name, "me")
        assert keys.make_key(tmp_path / name, "me") == public
        private = load_ssh_private_key((tmp_path / name).read_bytes(), None)
        assert private.public_key() == load_ssh_public_key(public.encode())
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_known_hosts_name_the_address_and_the_host() -> None:
    text = keys.known_hosts([(HostFacts("m1", "198.18.80.11"), ["ssh-ed25519 AAAA root@m1"])])
    assert text == "198.18.80.11,m1 ssh-ed25519 AAAA\n"


def test_hosts_know_each_other_and_no_gateway() -> None:
    assert "198.18.80.12 m2\n" in hosts_file(FACTS.hosts)
    assert "Gateway" not in network_file("198.18.80.11", 24)


def test_ssh_trusts_only_the_labs_known_hosts(tmp_path: Path) -> None:
    line = ssh_command(tmp_path / "a b", FACTS.hosts[0])
    assert f'UserKnownHostsFile="{tmp_path}/a b/known_hosts"' in line
    assert 'StrictHostKeyChecking="yes"' in line
    assert 'BatchMode="yes"' in line


def test_words_of_a_command_line_reach_the_host_as_they_are() -> None:
    assert as_typed(["echo a | wc -l"]) == "echo a | wc -l"
    assert as_typed(["sh", "-c", "exit 3"]) == "sh -c 'exit 3'"
