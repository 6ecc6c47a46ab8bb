import os
import shutil
import tarfile
from pathlib import Path

import pytest

from kubenorn.binaries import digests
from kubenorn.binaries.resolve import resolve_binaries
from kubenorn.binaries.source import BinarySource
from kubenorn.errors import InputWrongError

from .material import (
    ETCD,
    KUBERNETES,
    WANTED,
    etcd_members,
    executable,
    kubernetes_members,
    link,
    plain_folder,
    sha256,
    sha512,
    tarball,
    write_list,
)

KUBERNETES_ARCHIVE = "kubernetes-server-linux-amd64.tar.gz"
ETCD_ARCHIVE = f"etcd-v{ETCD}-linux-amd64.tar.gz"


def problems(source: BinarySource, cache: Path, arch: str = "amd64") -> list[str]:
    with pytest.raises(InputWrongError) as caught:
        resolve_binaries(WANTED, source, arch, cache)
    return str(caught.value).split("\n")


def archive_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / KUBERNETES_ARCHIVE).write_bytes(tarball(kubernetes_members()))
    (folder / ETCD_ARCHIVE).write_bytes(tarball(etcd_members()))
    write_list(folder)
    return folder


def test_folder_of_plain_binaries(tmp_path: Path, cache_folder: Path) -> None:
    folder = plain_folder(tmp_path / "bin")
    found = resolve_binaries(WANTED, BinarySource(str(folder)), "amd64", cache_folder)
    assert sorted(found) == sorted(WANTED)
    for name, binary in found.items():
        content = executable(name)
        assert (binary.name, binary.path, binary.size) == (name, folder / name, len(content))
        assert (binary.sha256, binary.arch) == (sha256(content), "amd64")


def test_versions_may_have_a_v_and_a_source_may_be_relative(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_folder(tmp_path / "releases")
    monkeypatch.chdir(tmp_path)
    found = resolve_binaries({"etcd": f"v{ETCD}"}, BinarySource("releases"), "amd64", cache_folder)
    assert found["etcd"].path.read_bytes() == executable("etcd")
    assert found["etcd"].path.is_absolute()


@pytest.mark.parametrize("kubernetes", ["kubernetes/server/bin", f"v{KUBERNETES}/bin/linux/amd64"])
@pytest.mark.parametrize("etcd", [".", f"etcd-v{ETCD}-linux-amd64"])
def test_folder_with_a_releases_layout(
    tmp_path: Path, cache_folder: Path, kubernetes: str, etcd: str
) -> None:
    for name, version in WANTED.items():
        path = tmp_path / "source" / (kubernetes if version == KUBERNETES else etcd) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(executable(name))
        write_list(path.parent)
    found = resolve_binaries(WANTED, BinarySource(str(tmp_path / "source")), "amd64", cache_folder)
    assert {name: one.path.read_bytes() for name, one in found.items()} == {n: executable(n) for n in WANTED}


def test_one_list_at_the_top_covers_what_is_below(tmp_path: Path, cache_folder: Path) -> None:
    path = tmp_path / "kubernetes/server/bin/kubectl"
    path.parent.mkdir(parents=True)
    path.write_bytes(executable("kubectl"))
    (tmp_path / "SHA512SUMS").write_text(f"{sha512(path.read_bytes())}  ./kubernetes/server/bin/kubectl\n")
    found = resolve_binaries({"kubectl": KUBERNETES}, BinarySource(str(tmp_path)), "amd64", cache_folder)
    assert found["kubectl"].path == path


def test_folder_of_archives(tmp_path: Path, cache_folder: Path) -> None:
    folder = archive_folder(tmp_path / "releases")
    found = resolve_binaries(WANTED, BinarySource(str(folder)), "amd64", cache_folder)
    for name, binary in found.items():
        assert binary.path.read_bytes() == executable(name)
        assert binary.sha256 == sha256(executable(name))
        assert binary.path.is_relative_to(cache_folder)


def test_two_archives_by_name(tmp_path: Path, cache_folder: Path) -> None:
    folder = archive_folder(tmp_path / "releases")
    source = BinarySource(str(folder / KUBERNETES_ARCHIVE), str(folder / ETCD_ARCHIVE))
    found = resolve_binaries(WANTED, source, "amd64", cache_folder)
    assert found["etcdctl"].path.read_bytes() == executable("etcdctl")


def test_archive_without_etcd_says_where_to_name_it(tmp_path: Path, cache_folder: Path) -> None:
    folder = archive_folder(tmp_path / "releases")
    (said,) = problems(BinarySource(str(folder / KUBERNETES_ARCHIVE)), cache_folder)
    assert f"has no regular file etcd-v{ETCD}-linux-amd64/etcd, etcd-v{ETCD}-linux-amd64/etcdctl" in said
    assert "cluster.binaries.etcd_source" in said


@pytest.mark.parametrize("suffix", [".sha256", ".sha512"])
def test_digest_beside_the_file(tmp_path: Path, cache_folder: Path, suffix: str) -> None:
    content = executable("kubectl")
    (tmp_path / "kubectl").write_bytes(content)
    digest = tmp_path / f"kubectl{suffix}"
    source = BinarySource(str(tmp_path))
    digest.write_text({".sha256": sha256, ".sha512": sha512}[suffix](content))
    assert resolve_binaries({"kubectl": KUBERNETES}, source, "amd64", cache_folder)["kubectl"].size == 4096
    digest.write_text({".sha256": sha256, ".sha512": sha512}[suffix](b"other"))
    with pytest.raises(InputWrongError, match=f"but .*kubectl{suffix} says"):
        resolve_binaries({"kubectl": KUBERNETES}, source, "amd64", cache_folder)


def test_settings_are_stronger_than_what_lies_beside(tmp_path: Path, cache_folder: Path) -> None:
    folder = plain_folder(tmp_path / "bin")
    good = {
        "etcd": f"sha256:{sha256(executable('etcd'))}",
        "kubectl": f"sha512:{sha512(executable('kubectl'))}",
    }
    (folder / "etcd.sha256").write_text(sha256(b"other"))
    assert resolve_binaries(WANTED, BinarySource(str(folder), checksums=good), "amd64", cache_folder)
    bad = good | {"kube-scheduler": f"sha256:{sha256(b'other')}"}
    (said,) = problems(BinarySource(str(folder), checksums=bad), cache_folder)
    assert str(folder / "kube-scheduler") in said
    assert f"{sha256(executable('kube-scheduler'))}, but cluster.binaries.checksums.kube-scheduler" in said
    assert sha256(b"other") in said


def test_settings_check_a_binary_inside_an_archive_too(tmp_path: Path, cache_folder: Path) -> None:
    folder = archive_folder(tmp_path / "releases")
    pins = {"kubectl": f"sha512:{sha512(b'other')}"}
    (said,) = problems(BinarySource(str(folder), checksums=pins), cache_folder)
    assert "kubectl from " in said
    assert sha512(executable("kubectl")) in said


def test_all_problems_at_once(tmp_path: Path, cache_folder: Path) -> None:
    folder = plain_folder(tmp_path / "bin")
    (folder / "kube-scheduler").unlink()
    (folder / "kubectl").write_bytes(b"<html>log in</html>")
    (folder / "etcd").write_bytes(executable("etcd", "arm64"))
    write_list(folder)
    (folder / "kube-apiserver").write_bytes(executable("kube-apiserver", size=5000))
    (folder / "SHA256SUMS").write_text(
        "".join(li for li in (folder / "SHA256SUMS").read_text().splitlines(True) if "etcdctl" not in li)
    )
    said = problems(BinarySource(str(folder)), cache_folder)
    assert len(said) == 5
    for part in (
        f"kube-scheduler 1.20.2 for amd64 is not in cluster.binaries.source: '{folder}'",
        "is an HTML page",
        "is made for arm64, the hosts are amd64: take the files for linux-amd64",
        f"{folder}/kube-apiserver has sha256 {sha256(executable('kube-apiserver', size=5000))}, but",
        f"no checksum vouches for {folder}/etcdctl",
    ):
        assert [line for line in said if part in line], part
    assert all("cluster.binaries" in line for line in said)


def test_missing_checksums_say_how_to_make_them(tmp_path: Path, cache_folder: Path) -> None:
    folder = plain_folder(tmp_path / "bin")
    (folder / "SHA256SUMS").unlink()
    said = problems(BinarySource(str(folder)), cache_folder)
    assert len(said) == len(WANTED)
    assert all(f"`sha256sum * > SHA256SUMS` in {folder}" in line for line in said)


def test_wrong_settings(tmp_path: Path, cache_folder: Path) -> None:
    (said,) = problems(BinarySource(str(tmp_path / "none"), str(plain_folder(tmp_path / "b"))), cache_folder)
    assert said.startswith(f"cluster.binaries.source: '{tmp_path}/none' is no file and no folder")
    (said,) = problems(BinarySource(str(tmp_path), checksums={"etcd": "md5:1"}, key="k"), cache_folder)
    assert said.startswith("k.checksums.etcd: 'md5:1' is no checksum")


def test_archive_of_another_version_is_told(tmp_path: Path, cache_folder: Path) -> None:
    folder = archive_folder(tmp_path / "releases")
    with pytest.raises(InputWrongError, match=rf"etcd 3\.5\.0 .*there is only {ETCD_ARCHIVE}"):
        resolve_binaries({"etcd": "3.5.0"}, BinarySource(str(folder)), "amd64", cache_folder)


@pytest.mark.parametrize(
    "member",
    [
        link(f"etcd-v{ETCD}-linux-amd64/etcd", "/bin/sh"),
        link(f"etcd-v{ETCD}-linux-amd64/etcd", "/bin/sh", tarfile.LNKTYPE),
        link(f"etcd-v{ETCD}-linux-amd64/etcd", "", tarfile.CHRTYPE),
        link(f"etcd-v{ETCD}-linux-amd64/etcd", "", tarfile.DIRTYPE),
    ],
)
def test_only_regular_members_are_taken(tmp_path: Path, cache_folder: Path, member: tarfile.TarInfo) -> None:
    (tmp_path / ETCD_ARCHIVE).write_bytes(tarball({member.name: member}))
    write_list(tmp_path)
    with pytest.raises(InputWrongError, match="has no regular file"):
        resolve_binaries({"etcd": ETCD}, BinarySource(str(tmp_path)), "amd64", cache_folder)


def test_members_with_evil_names_touch_nothing(tmp_path: Path, cache_folder: Path) -> None:
    evil = executable("evil")
    inside = f"etcd-v{ETCD}-linux-amd64/etcd"
    names = [
        f"../{inside}",
        f"/{inside}",
        f"../../{ETCD}/etcd",
        f"x/{inside}",
        f"x/../{inside}",
        f"{tmp_path}/evil",
    ]
    source = tmp_path / "source"
    source.mkdir()
    (source / ETCD_ARCHIVE).write_bytes(tarball(dict.fromkeys(names, evil) | {inside: executable("etcd")}))
    write_list(source)
    found = resolve_binaries({"etcd": ETCD}, BinarySource(str(source)), "amd64", cache_folder)
    assert found["etcd"].path.read_bytes() == executable("etcd")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == evil]


@pytest.mark.parametrize("broken", [b"<html></html>", b"", b"cut"])
def test_archive_that_is_none(tmp_path: Path, cache_folder: Path, broken: bytes) -> None:
    content = tarball(etcd_members())[:-3000] if broken == b"cut" else broken
    (tmp_path / ETCD_ARCHIVE).write_bytes(content)
    write_list(tmp_path)
    with pytest.raises(InputWrongError, match="cannot be unpacked"):
        resolve_binaries({"etcd": ETCD, "etcdctl": ETCD}, BinarySource(str(tmp_path)), "amd64", cache_folder)
    assert not list(cache_folder.glob("unpacked/*/etcdctl*"))
    assert not list(cache_folder.glob("unpacked/*/*.part"))


def test_nothing_is_read_twice(tmp_path: Path, cache_folder: Path, hashed: list[str]) -> None:
    folder = archive_folder(tmp_path / "releases")
    for name in ("kubectl", "kube-scheduler"):
        (folder / name).write_bytes(executable(name))
        (folder / f"{name}.sha512").write_text(sha512(executable(name)))
    source = BinarySource(str(folder))
    first = resolve_binaries(WANTED, source, "amd64", cache_folder)
    assert sorted(hashed) == [ETCD_ARCHIVE, "kube-scheduler", "kubectl", KUBERNETES_ARCHIVE]
    inodes = {name: one.path.stat().st_ino for name, one in first.items()}
    assert resolve_binaries(WANTED, source, "amd64", cache_folder) == first
    assert {name: one.path.stat().st_ino for name, one in first.items()} == inodes
    assert len(hashed) == 4


def test_a_change_that_keeps_size_and_time_is_seen(
    tmp_path: Path, cache_folder: Path, hashed: list[str]
) -> None:
    folder = plain_folder(tmp_path / "bin")
    source = BinarySource(str(folder))
    resolve_binaries(WANTED, source, "amd64", cache_folder)
    kubectl, before = folder / "kubectl", (folder / "kubectl").stat()
    with kubectl.open("r+b") as handle:  # in place: same inode, same size
        handle.seek(-1, os.SEEK_END)
        handle.write(b"\0" if kubectl.read_bytes()[-1] else b"\1")
    os.utime(kubectl, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kubectl.stat().st_mtime_ns == before.st_mtime_ns
    (said,) = problems(source, cache_folder)
    assert f"{kubectl} has sha256" in said


def test_damaged_cache_is_made_again(tmp_path: Path, cache_folder: Path) -> None:
    source = BinarySource(str(archive_folder(tmp_path / "releases")))
    path = resolve_binaries(WANTED, source, "amd64", cache_folder)["etcd"].path

    def resolved() -> bytes:
        return resolve_binaries(WANTED, source, "amd64", cache_folder)["etcd"].path.read_bytes()

    path.write_bytes(executable("evil"))
    assert resolved() == executable("etcd")
    path.with_name("etcd.sha256").write_text("")
    assert resolved() == executable("etcd")
    path.unlink()
    assert resolved() == executable("etcd")
    for content in (b"", b"{", b"[]", b'{"files": {"x": 1}, "urls": {}}', b'{"files": {}, "urls": []}'):
        (cache_folder / "digests.json").write_bytes(content)
        assert resolved() == executable("etcd")
    shutil.rmtree(cache_folder)
    assert resolved() == executable("etcd")


def test_cache_anybody_may_write_to_is_refused(tmp_path: Path, cache_folder: Path) -> None:
    cache_folder.mkdir()
    cache_folder.chmod(0o777)
    (said,) = problems(BinarySource(str(plain_folder(tmp_path / "bin"))), cache_folder)
    assert "anybody may write" in said


def test_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (said,) = problems(BinarySource(str(plain_folder(tmp_path / "bin"))), tmp_path / "file" / "cache")
    assert "KUBENORN_CACHE" in said


def test_a_file_just_changed_is_read_once_a_run_but_not_trusted_by_the_next(
    tmp_path: Path, cache_folder: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", 3600 * 10**9)
    source = BinarySource(str(plain_folder(tmp_path / "bin")))
    for _ in range(2):
        resolve_binaries(WANTED, source, "amd64", cache_folder)
        assert sorted(hashed) == sorted(WANTED)
        hashed.clear()
