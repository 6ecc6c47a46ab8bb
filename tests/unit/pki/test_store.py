from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from kubenorn.errors import InputWrongError
from kubenorn.files import folder_lock
from kubenorn.pki.keys import KeyType, describe_key_type, load_private_key
from kubenorn.pki.layout import controller_certificate_specs, host_certificate_specs
from kubenorn.pki.material import PkiChange, PkiPolicy, PkiResult
from kubenorn.pki.store import PkiStore

from .material import DAY, NOW, REQUEST, a_key, key_pem, openssl_accepts

SPECS = {host: host_certificate_specs(REQUEST, host) for host in REQUEST.masters} | {
    "_controller": controller_certificate_specs(REQUEST)
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a cluster's folder that has everything."""
    PkiStore(tmp_path / "cluster").ensure(REQUEST, now=NOW)
    return tmp_path / "cluster"


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def ensure(folder: Path, **more: object) -> PkiResult:
    return PkiStore(folder).ensure(REQUEST, **({"now": NOW} | more))  # type: ignore[arg-type]


def whys(result: PkiResult) -> dict[str, tuple[str, str]]:
    return {change.path: (change.action, change.reason) for change in result.changes}


def test_a_first_run_makes_everything_and_says_so(tmp_path: Path) -> None:
    result = ensure(tmp_path / "cluster")
    assert [change.path for change in result.changes[:4]] == [
        "pki/ca.pem",
        "pki/etcd-ca.pem",
        "pki/front-proxy-ca.pem",
        "pki/service-account-key.pem",
    ]
    assert result.changes[4] == PkiChange(
        "hosts/m1/kube-apiserver.pem", "m1", "created", "does not exist yet"
    )
    assert result.changes[-1].path == "hosts/_controller/admin.pem"
    assert result.changes[-1].host is None
    assert len(result.changes) == 3 + 1 + 3 * 13 + 1
    assert {host: list(pairs) for host, pairs in result.hosts.items()} == {
        host: [spec.name for spec in SPECS[host]] for host in REQUEST.masters
    }
    assert list(result.controller) == ["admin"]


def test_openssl_accepts_every_certificate_for_its_purpose_only(folder: Path) -> None:
    for host, specs in SPECS.items():
        for spec in specs if host in {"m1", "_controller"} else []:
            ca, leaf = folder / f"pki/{spec.authority}.pem", folder / f"hosts/{host}/{spec.name}.pem"
            for usage in ("server", "client"):
                assert openssl_accepts(ca, leaf, f"ssl{usage}") == (usage in spec.usages), spec.name
            other = folder / ("pki/ca.pem" if spec.authority != "ca" else "pki/etcd-ca.pem")
            assert not openssl_accepts(other, leaf, "any")


def test_what_is_handed_out_is_what_was_written_and_belongs_together(folder: Path) -> None:
    result = ensure(folder)
    for host, pairs in (*result.hosts.items(), ("_controller", result.controller)):
        for name, pair in pairs.items():
            assert pair.certificate_pem == (folder / f"hosts/{host}/{name}.pem").read_bytes()
            assert pair.key_pem == (folder / f"hosts/{host}/{name}-key.pem").read_bytes()
            certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
            assert certificate.public_key() == load_private_key(pair.key_pem, name).public_key()
            assert certificate.not_valid_after_utc == pair.not_after
    for name, authority in result.authorities.items():
        assert authority.certificate_pem == (folder / f"pki/{name}.pem").read_bytes()
        assert authority.key_pem == (folder / f"pki/{name}-key.pem").read_bytes()
    assert result.service_account.public_pem == (folder / "pki/service-account.pub").read_bytes()
    assert result.service_account.key_pem == (folder / "pki/service-account-key.pem").read_bytes()


def test_no_two_things_share_a_key(folder: Path) -> None:
    keys = [path.read_bytes() for path in folder.rglob("*-key.pem")]
    assert len(keys) == 44
    assert len(set(keys)) == 44


def test_everything_is_private(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_nothing_to_do_changes_nothing(folder: Path) -> None:
    before = snapshot(folder)
    steps: list[object] = []
    result = ensure(folder, progress=lambda *step: steps.append(step))
    assert result.changes == ()
    assert result.notices == ()
    assert snapshot(folder) == before
    assert steps == []


def test_secrets_are_in_no_repr(folder: Path) -> None:
    text = repr(ensure(folder))
    assert "PRIVATE KEY" not in text
    assert "BEGIN CERTIFICATE" in text


def test_progress_counts_everything_made(tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    ensure(tmp_path, progress=lambda *step: steps.append(step))
    assert [done for done, _, _ in steps] == list(range(1, 45))
    assert {total for _, total, _ in steps} == {44}
    assert {name for _, _, name in steps} >= {
        "etcd-ca",
        "service-account",
        "m3/etcd-peer",
        "_controller/admin",
    }


def test_a_dry_run_writes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    planned = ensure(tmp_path / "cluster", dry_run=True)
    assert list(tmp_path.iterdir()) == []
    assert planned.hosts["m1"]["etcd-peer"].certificate_pem.startswith(b"-----BEGIN CERTIFICATE")
    assert planned.changes == ensure(tmp_path / "cluster").changes


def test_a_dry_run_over_something_tells_the_same(folder: Path) -> None:
    (folder / "hosts/m2/admin-key.pem").unlink()
    before = snapshot(folder)
    later = NOW + 336 * DAY
    planned = ensure(folder, dry_run=True, now=later)
    assert snapshot(folder) == before
    assert len(planned.changes) == 40
    assert planned.changes == ensure(folder, now=later).changes


def test_a_new_vip_reissues_kube_apiserver_on_every_host_and_nothing_else(folder: Path) -> None:
    result = PkiStore(folder).ensure(replace(REQUEST, vip="192.168.80.14"), now=NOW)
    reason = "SAN 192.168.80.14 missing; SAN 192.168.80.13 no longer wanted"
    assert whys(result) == {
        f"hosts/{host}/kube-apiserver.pem": ("reissued", reason) for host in REQUEST.masters
    }
    again = PkiStore(folder).ensure(replace(REQUEST, vip="192.168.80.14"), now=NOW)
    assert again.changes == ()


def test_a_new_host_gets_its_own_and_the_old_ones_keep_theirs(folder: Path) -> None:
    request = replace(REQUEST, masters={**REQUEST.masters, "m4": "192.168.80.10"})
    result = PkiStore(folder).ensure(request, now=NOW)
    by_action = {
        action: {c.host for c in result.changes if c.action == action} for action in ("created", "reissued")
    }
    assert by_action == {"created": {"m4"}, "reissued": {"m1", "m2", "m3"}}
    assert {c.path.split("/")[-1] for c in result.changes if c.action == "reissued"} == {"kube-apiserver.pem"}


def test_certificates_near_their_end_are_renewed_with_new_keys(folder: Path) -> None:
    old_key = (folder / "hosts/m1/admin-key.pem").read_bytes()
    authorities = {path: path.read_bytes() for path in (folder / "pki").glob("*.pem")}
    result = ensure(folder, now=NOW + 353 * DAY)
    assert set(whys(result).values()) == {("reissued", "expires in 12 days")}
    assert len(result.changes) == 40
    assert (folder / "hosts/m1/admin-key.pem").read_bytes() != old_key
    assert {path: path.read_bytes() for path in authorities} == authorities
    assert ensure(folder, now=NOW + 353 * DAY).changes == ()


def test_another_key_type_changes_hosts_but_no_authority(folder: Path) -> None:
    authority = (folder / "pki/ca.pem").read_bytes()
    request = replace(REQUEST, masters={"m1": "192.168.80.7"}, key_type=KeyType.RSA_2048)
    result = PkiStore(folder).ensure(request, now=NOW)
    assert all("key type is ecdsa-p256, should be rsa-2048" in change.reason for change in result.changes)
    assert len(result.changes) == 14
    key = load_private_key(result.hosts["m1"]["admin"].key_pem, "admin")
    assert describe_key_type(key) == "rsa-2048"
    assert (folder / "pki/ca.pem").read_bytes() == authority


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("hosts/m1/admin-key.pem", ("reissued", "key file is missing")),
        ("hosts/m1/admin.pem", ("created", "certificate file is missing")),
    ],
)
def test_half_a_pair_heals(folder: Path, damage: str, expected: tuple[str, str]) -> None:
    (folder / damage).unlink()
    assert whys(ensure(folder)) == {"hosts/m1/admin.pem": expected}
    assert ensure(folder).changes == ()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("admin.pem", b"", "certificate file cannot be read"),
        ("admin-key.pem", b"garbage", "key file cannot be read"),
        ("admin-key.pem", key_pem(a_key()), "key does not match the certificate"),
    ],
)
def test_a_damaged_pair_heals(folder: Path, name: str, content: bytes, reason: str) -> None:
    (folder / "hosts/m1" / name).write_bytes(content)
    assert whys(ensure(folder)) == {"hosts/m1/admin.pem": ("reissued", reason)}


def test_etcd_may_become_managed_later(tmp_path: Path) -> None:
    external = replace(REQUEST, etcd_managed=False)
    first = PkiStore(tmp_path).ensure(external, now=NOW)
    assert set(first.authorities) == {"ca", "front-proxy-ca"}
    assert not (tmp_path / "pki/etcd-ca.pem").exists()
    second = ensure(tmp_path)
    assert len(second.changes) == 1 + 3 * 4
    assert (tmp_path / "pki/etcd-ca.pem").exists()


def test_two_at_once_are_refused(folder: Path) -> None:
    with folder_lock(folder / "pki"), pytest.raises(InputWrongError, match="is working in"):
        ensure(folder)


def test_leftovers_of_a_killed_run_are_removed(folder: Path) -> None:
    leftover = folder / "hosts/m1/.admin-key.pem.1234abcd.kubenorn-tmp"
    leftover.write_bytes(b"half a key")
    ensure(folder, dry_run=True)
    assert leftover.exists()
    ensure(folder)
    assert not leftover.exists()


def test_a_ca_near_its_end_is_spoken_of_and_not_renewed_over_and_over(folder: Path) -> None:
    near = NOW + 3500 * DAY
    assert len(ensure(folder, now=near).changes) == 40
    result = ensure(folder, now=near + 130 * DAY)
    assert result.changes == ()
    assert all("in 20 days" in notice and "plan its rotation" in notice for notice in result.notices)
    assert len(result.notices) == 3


def test_renewing_on_every_run_is_refused() -> None:
    with pytest.raises(InputWrongError, match="would live 30 days and be renewed 30 days before"):
        PkiPolicy(certificate_days=30, renew_before_days=30)


def test_the_clock_is_read_only_when_no_time_is_given(tmp_path: Path) -> None:
    result = PkiStore(tmp_path).ensure(REQUEST, dry_run=True)
    end = result.hosts["m1"]["admin"].not_after
    # not NOW, which was taken when the tests were collected: those on real hosts ran in between
    assert abs(end - (datetime.now(UTC) + 365 * DAY)) < timedelta(minutes=5)
