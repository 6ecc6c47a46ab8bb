import subprocess
from pathlib import Path

import pytest

from kubenorn.errors import InputWrongError
from kubenorn.known_hosts import HostKey, KeyState, KnownHosts, known_name, record_keys


def make_key(folder: Path, name: str = "key", kind: str = "ed25519") -> HostKey:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(folder / name)], check=True)
    kind_word, data = (folder / f"{name}.pub").read_text().split()[:2]
    return HostKey(kind_word, data)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HostKey]:
    folder = tmp_path_factory.mktemp("keys")
    names = {"a": "ed25519", "b": "ed25519", "ecdsa": "ecdsa", "rsa": "rsa"}
    return {name: make_key(folder, name, kind) for name, kind in names.items()}


def line(names: str, key: HostKey) -> bytes:
    return f"{names} {key.type} {key.base64}\n".encode()


def test_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        key = make_key(tmp_path, kind, kind)
        told = subprocess.run(
            ["ssh-keygen", "-lf", str(tmp_path / f"{kind}.pub")], capture_output=True, text=True, check=True
        ).stdout
        assert key.fingerprint == told.split()[1]


def test_known_name_has_the_port_unless_it_is_22() -> None:
    assert known_name("M1.Example", 22) == "m1.example"
    assert known_name("10.0.0.1", 2222) == "[10.0.0.1]:2222"


def test_ssh_keygen_finds_what_was_recorded(tmp_path: Path, keys: dict[str, HostKey]) -> None:
    path = tmp_path / "known_hosts"
    record_keys(path, {"[10.0.0.1]:2222": [keys["a"]]}, replace=())
    assert path.stat().st_mode & 0o777 == 0o644
    found = subprocess.run(
        ["ssh-keygen", "-f", str(path), "-F", "[10.0.0.1]:2222"], capture_output=True, text=True, check=True
    )
    assert keys["a"].base64 in found.stdout


def test_names_hashed_by_ssh_keygen_are_understood(tmp_path: Path, keys: dict[str, HostKey]) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(line("m1,10.0.0.1", keys["a"]) + line("[m2]:2222", keys["b"]))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert b"m1," not in path.read_bytes()
    known = KnownHosts.read(path)
    assert known.state("10.0.0.1", keys["a"]) is KeyState.KNOWN
    assert known.state("m1", keys["b"]) is KeyState.CHANGED
    assert known.state("[m2]:2222", keys["b"]) is KeyState.KNOWN
    assert known.state("m2", keys["b"]) is KeyState.NEW


def test_patterns_negations_and_case(keys: dict[str, HostKey]) -> None:
    known = KnownHosts(line("*.example,!bad.example", keys["a"]))
    assert known.state("m1.example", keys["a"]) is KeyState.KNOWN
    assert known.state("M1.EXAMPLE", keys["a"]) is KeyState.KNOWN
    assert known.state("bad.example", keys["a"]) is KeyState.NEW


def test_a_revoked_key_is_never_known(keys: dict[str, HostKey]) -> None:
    known = KnownHosts(line("m1", keys["a"]) + b"@revoked " + line("*", keys["a"]))
    assert known.state("m1", keys["a"]) is KeyState.REVOKED


def test_a_certificate_authority_is_no_host_key(keys: dict[str, HostKey]) -> None:
    known = KnownHosts(b"@cert-authority " + line("*", keys["a"]))
    assert known.state("m1", keys["a"]) is KeyState.NEW


def test_another_type_is_new_only_beside_a_known_key(keys: dict[str, HostKey]) -> None:
    known = KnownHosts(line("m1", keys["a"]))
    beside = known.states("m1", [keys["a"], keys["rsa"]])
    assert beside == {keys["a"]: KeyState.KNOWN, keys["rsa"]: KeyState.NEW}
    assert known.states("m1", [keys["rsa"]]) == {keys["rsa"]: KeyState.CHANGED}
    assert known.states("m1", [keys["b"], keys["rsa"]]) == {
        keys["b"]: KeyState.CHANGED,
        keys["rsa"]: KeyState.CHANGED,
    }


ODD = b"# comment\r\n\n  \nnot a line\nm9 ssh-ed25519 !!!\n|1|bad|hash ssh-rsa AAAA\n\xff\xfe 1 2\nlast ssh"


def test_every_other_byte_stays(tmp_path: Path, keys: dict[str, HostKey]) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(ODD)
    record_keys(path, {"m1": [keys["a"], keys["ecdsa"]], "m2": [keys["b"]]}, replace=())
    added = line("m1", keys["a"]) + line("m1", keys["ecdsa"]) + line("m2", keys["b"])
    assert path.read_bytes() == ODD + b"\n" + added
    record_keys(path, {"m1": [keys["b"]]}, replace={"m1"})
    assert path.read_bytes() == ODD + b"\n" + line("m2", keys["b"]) + line("m1", keys["b"])


def test_recording_twice_adds_nothing(tmp_path: Path, keys: dict[str, HostKey]) -> None:
    path = tmp_path / "known_hosts"
    for _ in range(2):
        record_keys(path, {"m1": [keys["a"]]}, replace=())
    assert path.read_bytes() == line("m1", keys["a"])


def test_replacing_keeps_the_other_names_of_a_line(keys: dict[str, HostKey]) -> None:
    known = KnownHosts(line("10.0.0.1,m1", keys["a"]) + line("10.0.0.1", keys["ecdsa"]))
    assert known.without("10.0.0.1").content == line("m1", keys["a"])


def test_a_key_held_by_a_pattern_is_not_replaced(keys: dict[str, HostKey]) -> None:
    for names in ("*.example", "m1.example,*.example", "*.example,!bad.example"):
        with pytest.raises(InputWrongError, match=r"line 1 of known_hosts .*by hand"):
            KnownHosts(line(names, keys["a"])).without("m1.example")


def test_a_link_stays_a_link(tmp_path: Path, keys: dict[str, HostKey]) -> None:
    real, link = tmp_path / "real", tmp_path / "known_hosts"
    link.symlink_to(real)
    record_keys(link, {"m1": [keys["a"]]}, replace=())
    assert link.is_symlink()
    assert real.read_bytes() == line("m1", keys["a"])


def test_an_unreadable_file_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InputWrongError, match="cannot read"):
        KnownHosts.read(tmp_path)
