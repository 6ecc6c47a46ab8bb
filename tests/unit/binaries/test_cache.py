import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenorn.binaries.cache import Cache, default_cache
from kubenorn.binaries.digests import DigestMemory
from kubenorn.binaries.files import locked
from kubenorn.binaries.resolve import resolve_binaries
from kubenorn.binaries.source import BinarySource

from .material import KUBERNETES, WANTED, executable, sha256, tarball, write_list
from .server import Mirror, running

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with running(Mirror()) as one:
        one.put_official(alone=False)
        yield one


def resolve_all(url: str, cache: str) -> None:
    found = resolve_binaries(WANTED, BinarySource(url), "amd64", Path(cache))
    assert {name: one.sha256 for name, one in found.items()} == {n: sha256(executable(n)) for n in WANTED}


def hang_in_download(url: str, cache: str) -> None:
    resolve_binaries(WANTED, BinarySource(url), "amd64", Path(cache), lambda *_: time.sleep(60))


def note_files(file: str, folder: str, prefix: str) -> None:
    memory = DigestMemory(Path(file))
    for number in range(20):
        path = Path(folder) / f"{prefix}{number}"
        path.write_text(prefix)
        memory.remember_file(path, {"sha256": sha256(prefix.encode())})


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBENORN_CACHE", raising=False)
    assert default_cache() == tmp_path / ".cache/kubenorn"
    monkeypatch.setenv("KUBENORN_CACHE", "~/elsewhere")
    assert default_cache() == tmp_path / "elsewhere"


def test_the_folder_is_the_operators_own(cache_folder: Path) -> None:
    Cache(cache_folder)
    assert cache_folder.stat().st_mode & 0o777 == 0o700


def test_two_processes_at_once_download_once(mirror: Mirror, cache_folder: Path) -> None:
    processes = [SPAWN.Process(target=resolve_all, args=(mirror.url, str(cache_folder))) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    archives = [path for path in mirror.paths() if path.endswith(".tar.gz")]
    assert len(archives) == len(set(archives)) == 2


def test_a_killed_download_leaves_no_file_and_no_lock(mirror: Mirror, cache_folder: Path) -> None:
    process = SPAWN.Process(target=hang_in_download, args=(mirror.url, str(cache_folder)))
    process.start()
    deadline = time.monotonic() + 20
    while not list(cache_folder.glob("downloads/*/*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert list(cache_folder.glob("downloads/*/*.part"))
    assert not list(cache_folder.glob("downloads/*/*.tar.gz"))
    resolve_all(mirror.url, str(cache_folder))


def test_two_processes_keep_each_others_notes(tmp_path: Path) -> None:
    file = tmp_path / "digests.json"
    processes = [SPAWN.Process(target=note_files, args=(str(file), str(tmp_path), name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    memory = DigestMemory(file)
    assert len(memory._read()[0]) == 40


def test_notes_are_written_under_a_lock(tmp_path: Path) -> None:
    memory = DigestMemory(tmp_path / "digests.json")
    thread = threading.Thread(target=memory.remember_file, args=(tmp_path, {"sha256": sha256(b"")}))
    with locked(tmp_path / "digests.lock"):
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
    thread.join(5)
    assert memory._read()[0]


def test_notes_of_files_that_are_gone_are_dropped(tmp_path: Path) -> None:
    memory = DigestMemory(tmp_path / "digests.json")
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        memory.remember_file(tmp_path / name, {"sha256": sha256(name.encode())})
        (tmp_path / "a").unlink(missing_ok=True)
    assert [Path(path).name for path in memory._read()[0]] == ["b"]


def test_a_lock_is_for_threads_too(cache_folder: Path) -> None:
    cache = Cache(cache_folder)
    path = cache.compressed("x")
    got = threading.Event()

    def second() -> None:
        with cache.lock(path):
            got.set()

    with cache.lock(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert not got.wait(0.1)
    assert got.wait(5)
    thread.join()


def test_what_fails_half_way_is_not_there(cache_folder: Path) -> None:
    cache = Cache(cache_folder)
    path = cache.compressed("x")
    with cache.writing(path) as writer:
        writer.write(b"first")
    with contextlib.suppress(ZeroDivisionError), cache.writing(path) as writer:
        writer.write(b"second")
        raise ZeroDivisionError
    assert path.read_bytes() == b"first"
    assert cache.sha256(path) == sha256(b"first")
    assert not cache.part(path).exists()


def test_a_file_is_on_the_disk_before_it_gets_its_name(
    cache_folder: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[tuple[bool, str]] = []
    real = Path.replace

    def noting(source: Path, target: Path) -> Path:
        renamed.append((source.stat().st_ino in synced, target.name))
        return real(source, target)

    monkeypatch.setattr(Path, "replace", noting)
    cache = Cache(cache_folder)
    path = cache.compressed("x")
    with cache.writing(path) as writer:
        writer.write(b"content")
    assert renamed == [(True, "x.sha256"), (True, "x"), (True, "digests.json")]
    assert path.parent.stat().st_ino in synced


@pytest.mark.parametrize("unpacking", [True, False])
def test_an_interrupted_run_does_not_wait_for_its_threads(
    mirror: Mirror, cache_folder: Path, tmp_path: Path, unpacking: bool
) -> None:
    archive = tmp_path / "archive.tar.gz"
    if unpacking:
        archive.write_bytes(tarball({"kubernetes/server/bin/kubectl": executable("kubectl", size=8 << 20)}))
        write_list(tmp_path)
    mirror.put_official()
    mirror.files[f"v{KUBERNETES}/bin/linux/amd64/kubectl"] = executable("kubectl", size=3_000_000)
    source = BinarySource(str(archive) if unpacking else mirror.url)
    reported: list[str] = []

    def slow(name: str, _done: int, _total: int | None) -> None:
        if not reported:
            os.kill(os.getpid(), signal.SIGINT)  # to the process, as Ctrl-C is
        reported.append(name)
        time.sleep(0.1)

    # A shell's background job ignores the signal, and so would tests run as one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            resolve_binaries({"kubectl": KUBERNETES}, source, "amd64", cache_folder, progress=slow)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 1 <= len(reported) < 5  # of eight pieces and about fifty
