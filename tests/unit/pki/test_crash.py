"""A run killed anywhere, with SIGKILL in a process of its own: the next one heals it and loses nothing."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kubenorn.cluster_secrets import ensure_cluster_secrets
from kubenorn.pki.material import PkiResult
from kubenorn.pki.store import PkiStore

from .material import NOW, REQUEST, openssl_accepts

SMALL = replace(REQUEST, masters={"m1": "192.168.80.7"})
RENAMES = 2 + 3 * 2 + 2 + 14 * 2  # secrets, authorities, service account, certificates: each file is one


def run(folder: Path, vip: str = "192.168.80.13") -> PkiResult:
    ensure_cluster_secrets(folder)
    return PkiStore(folder).ensure(replace(SMALL, vip=vip), now=NOW)


def killed(action: Callable[[], object], after_seconds: float | None = None) -> bool:
    """Return whether a process that runs `action` ended by SIGKILL: its own, or ours after a while."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    if after_seconds is not None:
        time.sleep(after_seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the run failed by itself"
    return os.WIFSIGNALED(status)


def die_at_rename(number: int) -> None:
    """Kill this process right before its rename `number` (from 1), when the new content is beside the old."""
    original, count, lock = Path.replace, [0], threading.Lock()  # certificates are written by threads

    def replace_or_die(self: Path, target: Path) -> Path:
        with lock:
            count[0] += 1
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, target)

    Path.replace = replace_or_die  # type: ignore[method-assign,assignment]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]


def precious(folder: Path) -> dict[str, bytes]:
    paths = [*folder.glob("pki/*.pem"), *folder.glob("pki/*.pub"), *folder.glob("*.json")]
    return {str(path): path.read_bytes() for path in paths if not path.name.startswith(".")}


def heal(folder: Path, vip: str = "192.168.80.13") -> None:
    """Run again and see that all is there, nothing precious changed and nothing is left to do."""
    seen = precious(folder)
    planned = PkiStore(folder).ensure(replace(SMALL, vip=vip), now=NOW, dry_run=True)
    result = run(folder, vip)
    assert planned.changes == result.changes
    after = precious(folder)
    assert {path: after[path] for path in seen} == seen
    assert run(folder, vip).changes == ()
    assert not list(folder.rglob("*.kubenorn-tmp"))
    assert len(list(folder.glob("hosts/*/*.pem"))) == 28


def test_killed_at_every_rename_of_a_first_run(tmp_path: Path) -> None:
    for number in range(1, RENAMES + 1):
        folder = tmp_path / str(number)

        def action(folder: Path = folder, number: int = number) -> None:
            die_at_rename(number)
            run(folder)

        assert killed(action), number
        assert len(files(folder)) == number - 1
        heal(folder)
    assert not killed(lambda: run(tmp_path / "all"))
    assert len(files(tmp_path / "all")) == RENAMES


def test_killed_at_every_rename_of_a_reissue(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    run(folder)
    for number in (1, 2):

        def action(vip: str = f"192.168.80.{20 + number}", number: int = number) -> None:
            die_at_rename(number)
            run(folder, vip)

        assert killed(action)
        heal(folder, f"192.168.80.{20 + number}")
    assert not killed(lambda: run(folder, "192.168.80.22"))


def test_killed_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    cut = 0
    for number in range(15):
        folder = tmp_path / str(number)
        seen: dict[str, bytes] = {}
        for _ in range(3):
            cut += killed(lambda folder=folder: run(folder), moments.uniform(0, 0.06))  # type: ignore[misc]
            now_there = precious(folder)
            assert {path: now_there.get(path) for path in seen} == seen, f"seed {seed}"
            seen = now_there
        heal(folder)
    assert cut > 3, "the moments were too late to cut anything"
    ca, leaf = tmp_path / "0/pki/ca.pem", tmp_path / "0/hosts/m1/kube-apiserver.pem"
    assert openssl_accepts(ca, leaf, "sslserver", "-verify_ip", "192.168.80.13")
