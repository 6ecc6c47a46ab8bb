"""What must never be made anew in silence: authorities and the service-account key."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from kubenorn.errors import InputWrongError
from kubenorn.pki.material import OwnAuthority, PkiPolicy, PkiResult
from kubenorn.pki.store import PkiStore

from .material import DAY, NOW, REQUEST, a_key, an_authority, key_pem, write_authority


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a cluster's folder that has everything."""
    PkiStore(tmp_path / "cluster").ensure(REQUEST, now=NOW)
    return tmp_path / "cluster"


def ensure(folder: Path, policy: PkiPolicy | None = None, *, dry_run: bool = False) -> PkiResult:
    return PkiStore(folder).ensure(REQUEST, policy, now=NOW, dry_run=dry_run)


def refused(folder: Path, policy: PkiPolicy | None = None) -> str:
    """Return the error of a run, having seen that it and a dry run changed nothing."""
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    with pytest.raises(InputWrongError) as dry:
        ensure(folder, policy, dry_run=True)
    with pytest.raises(InputWrongError) as raised:
        ensure(folder, policy)
    assert str(dry.value) == str(raised.value)
    assert {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()} == before
    return str(raised.value)


def remove(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).unlink()


@pytest.mark.parametrize("name", ["ca", "etcd-ca", "front-proxy-ca"])
@pytest.mark.parametrize("key_too", [False, True])
def test_a_lost_ca_certificate_is_an_error(folder: Path, name: str, key_too: bool) -> None:
    remove(folder, [f"pki/{name}.pem", *([f"pki/{name}-key.pem"] if key_too else [])])
    text = refused(folder)
    assert text.startswith(f"the CA certificate {folder}/pki/{name}.pem is missing, but certificates")
    assert text.endswith("restore it from a backup")


def test_a_lost_ca_key_matters_only_when_something_must_be_signed(folder: Path) -> None:
    remove(folder, ["pki/etcd-ca-key.pem"])
    result = ensure(folder)
    assert result.changes == ()
    assert result.authorities["etcd-ca"].key_pem is None
    remove(folder, ["hosts/m1/etcd-peer.pem", "hosts/m2/admin.pem"])
    text = refused(folder)
    assert text.startswith(f"{folder}/pki/etcd-ca.pem cannot sign, as its key {folder}/pki/etcd-ca-key.pem")
    assert "m1/etcd-peer must be made (certificate file is missing), 1 in all; restore the key" in text


def test_lost_service_account_keys_are_an_error(folder: Path) -> None:
    private = folder / "pki/service-account-key.pem"
    remove(folder, ["pki/service-account-key.pem"])
    assert f"{private} is missing, but the cluster has used it ({folder}/pki/service-account.pub" in refused(
        folder
    )
    remove(folder, ["pki/service-account.pub"])
    assert f"({folder}/hosts/_controller/admin-key.pem exists)" in refused(folder)


def test_the_public_half_of_the_service_account_key_heals(folder: Path) -> None:
    public = folder / "pki/service-account.pub"
    content = public.read_bytes()
    public.unlink()
    changes = ensure(folder).changes
    assert [(each.path, each.reason) for each in changes] == [
        ("pki/service-account.pub", "public half is missing")
    ]
    assert public.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_service_account_pair_that_does_not_belong_together_is_an_error(
    folder: Path, content: bytes
) -> None:
    (folder / "pki/service-account.pub").write_bytes(content)
    assert "is not the public half of" in refused(folder)


def test_anothers_key_beside_a_ca_is_an_error(folder: Path) -> None:
    (folder / "pki/ca-key.pem").write_bytes(key_pem(a_key()))
    assert refused(folder).startswith(f"{folder}/pki/ca-key.pem: not the private key of {folder}/pki/ca.pem")


def test_every_fault_is_told_at_once(folder: Path) -> None:
    remove(folder, ["pki/ca.pem", "pki/etcd-ca.pem", "pki/service-account-key.pem"])
    assert len(refused(folder).splitlines()) == 3


def test_an_expired_ca_is_an_error(folder: Path) -> None:
    with pytest.raises(InputWrongError, match=r"pki/ca\.pem: the CA expired on"):
        PkiStore(folder).ensure(REQUEST, now=NOW + 3651 * DAY)


def test_a_first_run_cut_off_after_the_ca_key_goes_on_with_that_key(folder: Path) -> None:
    key = (folder / "pki/ca-key.pem").read_bytes()
    for path in [*folder.glob("hosts/*/*.pem"), folder / "pki/ca.pem"]:
        path.unlink()
    result = ensure(folder)
    assert (result.changes[0].path, result.changes[0].reason) == ("pki/ca.pem", "certificate file is missing")
    assert (folder / "pki/ca-key.pem").read_bytes() == key == result.authorities["ca"].key_pem


@pytest.fixture
def own(tmp_path: Path) -> PkiPolicy:
    """Return a policy with an operator's own `ca`."""
    return PkiPolicy(own_authorities={"ca": OwnAuthority(*write_authority(tmp_path, an_authority(1)))})


def test_an_own_authority_signs_and_stays_where_it_is(tmp_path: Path, own: PkiPolicy) -> None:
    folder = tmp_path / "cluster"
    result = ensure(folder, own)
    assert result.authorities["ca"].certificate_pem == an_authority(1).certificate_pem
    assert [each.path for each in result.changes[:3]] == [
        "pki/etcd-ca.pem",
        "pki/front-proxy-ca.pem",
        "pki/service-account-key.pem",
    ]
    assert not (folder / "pki/ca.pem").exists()
    assert not (folder / "pki/ca-key.pem").exists()
    assert an_authority(1).fingerprint in (folder / "pki/own-authorities.json").read_text()
    assert ensure(folder, own).changes == ()


def test_another_own_authority_is_noticed(tmp_path: Path, own: PkiPolicy) -> None:
    ensure(tmp_path / "cluster", own)
    write_authority(tmp_path, an_authority(2))
    text = refused(tmp_path / "cluster", own)
    assert text.startswith(f"{tmp_path}/own.pem (SHA-256 ")
    assert "is not the ca that the cluster began with" in text
    assert text.endswith("changing a cluster's CA is an explicit rotation, never part of another run")


def test_an_own_authority_taken_out_of_the_settings_is_noticed(tmp_path: Path, own: PkiPolicy) -> None:
    ensure(tmp_path / "cluster", own)
    assert "settings no longer name its files" in refused(tmp_path / "cluster")


def test_an_own_authority_put_in_later_is_noticed(folder: Path, own: PkiPolicy) -> None:
    assert f"the cluster has one of its own in {folder}/pki/ca.pem" in refused(folder, own)


def test_a_lost_fingerprint_is_noticed(tmp_path: Path, own: PkiPolicy) -> None:
    ensure(tmp_path / "cluster", own)
    record = tmp_path / "cluster/pki/own-authorities.json"
    record.write_text("[")
    assert f"{record} is damaged; restore it" in refused(tmp_path / "cluster", own)
    record.unlink()
    assert f"the fingerprint of ca in {record} is missing" in refused(tmp_path / "cluster", own)


def test_an_own_authority_that_is_not_there_is_named(tmp_path: Path, own: PkiPolicy) -> None:
    (tmp_path / "own-key.pem").unlink()
    with pytest.raises(InputWrongError, match=r"own-key\.pem, named as a file of .* own ca, does not exist"):
        ensure(tmp_path / "cluster", own)
    assert not list((tmp_path / "cluster").rglob("*.pem"))


def test_relative_paths_of_an_own_authority_are_those_of_the_operator(
    tmp_path: Path, own: PkiPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = replace(own, own_authorities={"ca": OwnAuthority(Path("own.pem"), Path("own-key.pem"))})
    assert ensure(tmp_path / "cluster", relative).authorities["ca"].fingerprint == an_authority(1).fingerprint
