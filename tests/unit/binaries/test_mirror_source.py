import base64
import json
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenorn.binaries import connection
from kubenorn.binaries.resolve import resolve_binaries
from kubenorn.binaries.source import BinarySource, LocalBinary
from kubenorn.errors import InputWrongError

from .material import ETCD, KUBERNETES, WANTED, executable, sha256, sha512, write_list
from .server import Mirror, running

KUBECTL = f"v{KUBERNETES}/bin/linux/amd64/kubectl"
ARCHIVE = f"v{KUBERNETES}/kubernetes-server-linux-amd64.tar.gz"
ETCD_ARCHIVE = f"v{ETCD}/etcd-v{ETCD}-linux-amd64.tar.gz"
ONE = {"kubectl": KUBERNETES}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts, no proxies, no authorities (45 ms to load): nothing here speaks TLS."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(connection.Connection, "_tls", lambda _self: bare)
    monkeypatch.setattr(connection, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(connection, "_LONGEST_WAIT_SECONDS", 0.002)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with running(Mirror()) as one:
        yield one


def problems(source: BinarySource, cache: Path, wanted: dict[str, str] = ONE) -> list[str]:
    with pytest.raises(InputWrongError) as caught:
        resolve_binaries(wanted, source, "amd64", cache)
    return str(caught.value).split("\n")


def contents(found: dict[str, LocalBinary]) -> dict[str, bytes]:
    return {name: one.path.read_bytes() for name, one in found.items()}


@pytest.mark.parametrize("alone", [True, False])
def test_official_layout(mirror: Mirror, cache_folder: Path, alone: bool) -> None:
    mirror.put_official(alone=alone)
    source = BinarySource(f"{mirror.url}/", mirror.url)
    found = resolve_binaries(WANTED, source, "amd64", cache_folder)
    assert contents(found) == {name: executable(name) for name in WANTED}
    assert all(one.sha256 == sha256(executable(name)) for name, one in found.items())
    fetched = [path for path in mirror.paths() if path in mirror.files and "sha" not in path.lower()]
    assert len(fetched) == len(set(fetched)) == (5 if alone else 2)


def test_the_next_run_asks_nothing_and_reads_nothing(
    mirror: Mirror, cache_folder: Path, hashed: list[str]
) -> None:
    mirror.put_official(alone=False)
    source = BinarySource(mirror.url)
    first = resolve_binaries(WANTED, source, "amd64", cache_folder)
    mirror.asked.clear()
    hashed.clear()
    assert resolve_binaries(WANTED, source, "amd64", cache_folder) == first
    assert (mirror.asked, hashed) == ([], [])


def test_settings_vouch_where_the_mirror_does_not(mirror: Mirror, cache_folder: Path) -> None:
    mirror.files[KUBECTL] = executable("kubectl")
    (said,) = problems(BinarySource(mirror.url), cache_folder)
    assert f"no checksum vouches for {mirror.url}/{KUBECTL}" in said
    assert "cluster.binaries.checksums.kubectl" in said
    pins = {"amd64/kubectl": f"sha512:{sha512(executable('kubectl'))}"}
    for _ in range(2):
        found = resolve_binaries(ONE, BinarySource(mirror.url, checksums=pins), "amd64", cache_folder)
        assert contents(found) == {"kubectl": executable("kubectl")}
    assert mirror.paths().count(KUBECTL) == 1


def test_missing_files_are_told_and_not_asked_for_again(mirror: Mirror, cache_folder: Path) -> None:
    said = problems(BinarySource(mirror.url), cache_folder, WANTED)
    assert len(said) == len(WANTED)
    for name, version in WANTED.items():
        (line,) = [
            line for line in said if line.startswith(f"{name} {version} for amd64 is not on the mirror")
        ]
        assert f"cluster.binaries.source: {mirror.url}" in line
    assert mirror.paths().count(f"{KUBECTL}.sha512") == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_goes_on(mirror: Mirror, cache_folder: Path, ranges: bool) -> None:
    mirror.files[KUBECTL] = executable("kubectl", size=3_000_000)
    mirror.files[f"{KUBECTL}.sha256"] = sha256(mirror.files[KUBECTL]).encode()
    mirror.ranges = ranges
    mirror.faults[KUBECTL] = [40, 503, 40, 70, 429]
    seen: list[tuple[str, int, int | None]] = []
    found = resolve_binaries(
        ONE, BinarySource(mirror.url), "amd64", cache_folder, lambda *progress: seen.append(progress)
    )
    assert contents(found) == {"kubectl": mirror.files[KUBECTL]}
    assert seen[-1] == ("kubectl", 3_000_000, 3_000_000)
    starts = [headers.get("Range") for _, path, headers in mirror.asked if path == KUBECTL]
    assert len(starts) == 6
    assert starts[0] is None
    assert starts[1] == starts[2]
    if ranges:
        assert starts[3] == f"bytes={3_000_000 * 64 // 100}-"


def test_a_download_that_gets_on_is_not_given_up(mirror: Mirror, cache_folder: Path) -> None:
    mirror.files[KUBECTL] = executable("kubectl", size=100_000)
    mirror.files[f"{KUBECTL}.sha256"] = sha256(mirror.files[KUBECTL]).encode()
    mirror.faults[KUBECTL] = [10] * (2 * connection.ATTEMPTS)
    assert resolve_binaries(ONE, BinarySource(mirror.url), "amd64", cache_folder)["kubectl"].size == 100_000


def test_an_interrupted_download_is_gone_on_with_by_the_next_run(mirror: Mirror, cache_folder: Path) -> None:
    mirror.put_official()
    mirror.faults[KUBECTL] = [50] + [0] * 20
    (said,) = problems(BinarySource(mirror.url), cache_folder)
    assert said.startswith(f"{mirror.url} fails (peer closed connection")
    assert not list(cache_folder.glob("downloads/*/kubectl"))
    mirror.faults.clear()
    mirror.asked.clear()
    found = resolve_binaries(ONE, BinarySource(mirror.url), "amd64", cache_folder)
    assert contents(found) == {"kubectl": executable("kubectl")}
    assert [headers.get("Range") for _, path, headers in mirror.asked if path == KUBECTL] == ["bytes=2048-"]


@pytest.mark.parametrize(
    "left", [b"of another file", executable("kubectl") + b"too long", executable("kubectl")]
)
@pytest.mark.parametrize("false_range", [True, False])
def test_what_an_interrupted_run_left_is_not_believed(
    mirror: Mirror, cache_folder: Path, left: bytes, false_range: bool
) -> None:
    mirror.put_official()
    mirror.false_range = false_range
    folder = cache_folder / "downloads" / f"sha256-{sha256(executable('kubectl'))}"
    folder.mkdir(parents=True)
    (folder / "kubectl.part").write_bytes(left)
    found = resolve_binaries(ONE, BinarySource(mirror.url), "amd64", cache_folder)
    assert contents(found) == {"kubectl": executable("kubectl")}


def test_a_lying_mirror_is_caught(mirror: Mirror, cache_folder: Path) -> None:
    mirror.put_official()
    mirror.files[KUBECTL] = b"<!doctype html>Please log in"
    (said,) = problems(BinarySource(mirror.url), cache_folder)
    for part in (
        f"{mirror.url}/{KUBECTL} has sha256 {sha256(mirror.files[KUBECTL])}",
        f"{mirror.url}/{KUBECTL}.sha256 says {sha256(executable('kubectl'))}",
        "it is an HTML page",
        f"cluster.binaries.source: {mirror.url}",
    ):
        assert part in said
    assert mirror.paths().count(KUBECTL) == 1
    assert not [path for path in (cache_folder / "downloads").rglob("*") if path.is_file()]


def test_a_checksum_file_that_is_a_web_page_is_told(mirror: Mirror, cache_folder: Path) -> None:
    mirror.put_official()
    mirror.files[f"{KUBECTL}.sha512"] = b"<html>\nnot found, but 200\n</html>"
    (said,) = problems(BinarySource(mirror.url), cache_folder)
    assert said.startswith(f"{mirror.url}/{KUBECTL}.sha512, line 1: '<html>' is not a digest")
    mirror.files[f"{KUBECTL}.sha512"] = b"\xff\xfe" * 10
    assert "is no text" in problems(BinarySource(mirror.url), cache_folder)[0]
    mirror.files[f"{KUBECTL}.sha512"] = bytes(3 << 20)
    assert "too large" in problems(BinarySource(mirror.url), cache_folder)[0]


def test_an_object_store_that_hides_what_is_missing(mirror: Mirror, cache_folder: Path) -> None:
    mirror.put_official()
    mirror.faults[f"{KUBECTL}.sha512"] = [403]
    assert resolve_binaries(ONE, BinarySource(mirror.url), "amd64", cache_folder)


def test_trouble_that_does_not_pass(mirror: Mirror, cache_folder: Path) -> None:
    mirror.put_official()
    mirror.faults[KUBECTL] = [500] * 20
    (said,) = problems(BinarySource(mirror.url), cache_folder)
    assert said.startswith(f"{mirror.url}/{KUBECTL} answers HTTP 500, again and again")
    assert mirror.paths().count(KUBECTL) == connection.ATTEMPTS


def test_a_mirror_that_is_down_is_told_once(cache_folder: Path) -> None:
    with running(Mirror()) as gone:
        pass
    (said,) = problems(BinarySource(gone.url), cache_folder, WANTED)
    assert said.startswith(f"{gone.url} fails ([Errno 111] Connection refused)")
    assert "cluster.binaries.source" in said


def test_a_mirror_that_fails_one_fails_all_at_once(mirror: Mirror, cache_folder: Path) -> None:
    mirror.put_official()
    mirror.files |= {
        f"{path}.sha512": b"x" * 100 for path in list(mirror.files) if path.endswith("amd64.tar.gz")
    }
    mirror.files |= {f"v{KUBERNETES}/bin/linux/amd64/{name}.sha512": b"x" * 100 for name in WANTED}
    mirror.faults = {path: [0] * 50 for path in mirror.files}
    (said,) = problems(BinarySource(mirror.url), cache_folder, WANTED)
    assert said.startswith(f"{mirror.url} fails (")
    # Four ask at the same time; the other two find that the mirror was given up.
    assert len(mirror.asked) <= 4 * connection.ATTEMPTS


def test_damaged_download_is_fetched_again(mirror: Mirror, cache_folder: Path) -> None:
    mirror.put_official()
    source = BinarySource(mirror.url)
    path = resolve_binaries(ONE, source, "amd64", cache_folder)["kubectl"].path
    path.write_bytes(executable("evil"))
    assert contents(resolve_binaries(ONE, source, "amd64", cache_folder)) == {
        "kubectl": executable("kubectl")
    }


def test_login_is_used_and_never_shown(
    mirror: Mirror, cache_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mirror.put_official()
    mirror.login = "Basic " + base64.b64encode(b"ann:s3cr/t@x").decode()
    shown: list[str] = []

    def source(password: str) -> BinarySource:
        one = BinarySource(mirror.url.replace("//", f"//ann:{password}@"))
        shown.append(repr(one))
        return one

    resolve_binaries(ONE, source("s3cr%2Ft%40x"), "amd64", cache_folder, lambda name, *_: shown.append(name))
    (refused,) = problems(source("wr0ng-s3cr"), cache_folder / "other")
    assert "HTTP 401" in refused
    assert refused.startswith("http://***@127.0.0.1:")
    mirror.files[KUBECTL] = b"lie"
    shown += [refused, *problems(source("s3cr%2Ft%40x"), cache_folder / "third")]
    mirror.files.clear()
    shown += [*problems(source("s3cr%2Ft%40x"), cache_folder / "fourth"), caplog.text]
    shown += [path.read_text(errors="replace") for path in cache_folder.rglob("*.json")]
    assert len(shown) > 8
    assert not [text for text in shown if "s3cr" in text or "ann" in text]
    assert json.loads((cache_folder / "digests.json").read_text())["urls"]


def test_login_is_not_sent_where_a_redirect_leads(mirror: Mirror, cache_folder: Path) -> None:
    with running(Mirror()) as other:
        other.put_official()
        mirror.redirects = {path: f"{other.url}/{path}" for path in other.files}
        source = BinarySource(mirror.url.replace("//", "//ann:s3cr@"))
        assert contents(resolve_binaries(ONE, source, "amd64", cache_folder))
    assert all("Authorization" in headers for _, _, headers in mirror.asked)
    assert not [headers for _, _, headers in other.asked if "Authorization" in headers]


@pytest.mark.parametrize(
    "value",
    [
        "https://ann:s3cr/t@mirror.example/k8s",
        "https://ann:12/s3cr@mirror.example",
        "https://ann:s3cr?t@mirror.example/k8s",
        "https://ann:s3cr#t@mirror.example/k8s",
        "https://ann:s3cr@mirror.example:port/",
        "https://ann:s3cr@/",
        "https://ann:s3cr@[::1/",
        "https://mirror.example/k8s?token=s3cr",
        "ftp://ann:s3cr@mirror.example/",
    ],
)
def test_addresses_that_are_none_do_not_leak(cache_folder: Path, value: str) -> None:
    (said,) = problems(BinarySource(value), cache_folder)
    assert said.startswith("cluster.binaries.source: ")
    assert not [part for part in ("s3cr", "ann", "t@") if part in said]


def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    mirror: Mirror, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://ann:s3cr@proxy.example:1")
    (said,) = problems(BinarySource(mirror.url), cache_folder)
    assert "a proxy in the environment" in said
    assert "s3cr" not in said


def test_a_copy_of_a_mirror_in_a_folder(mirror: Mirror, cache_folder: Path, tmp_path: Path) -> None:
    mirror.put_official()
    for path, content in mirror.files.items():
        target = tmp_path / "copy" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    write_list(tmp_path / "copy" / f"v{ETCD}")
    found = resolve_binaries(WANTED, BinarySource(str(tmp_path / "copy")), "amd64", cache_folder)
    assert contents(found) == {name: executable(name) for name in WANTED}
