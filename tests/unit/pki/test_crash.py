"""A run killed anywhere, with SIGKILL in a process of its own: the next one heals it and loses nothing."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from kubenorn.cluster_secrets import ensure_cluster_secrets
from kubenorn.pki.material import PkiResult
from kubenorn.pki.store import PkiStore

from . import crashing
from .crashing import Order
from .material import NOW, REQUEST, openssl_accepts

RENAMES = 2 + 3 * 2 + 2 + 14 * 2  # secrets, authorities, service account, certificates: each file is one
VIP = "192.168.80.13"
Killed = Callable[[Order], bool]


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    """Return a function that obeys an order and returns whether the process was killed (or was done)."""
    command = [sys.executable, crashing.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        orders, answers = program.stdin, program.stdout
        assert orders is not None
        assert answers is not None

        def obey(order: Order) -> bool:
            orders.write(json.dumps(asdict(order)) + "\n")
            orders.flush()
            answer = answers.readline().strip()
            assert answer in {"killed", "done"}, answer
            return answer == "killed"

        yield obey
        orders.close()


def order(folder: Path, vip: str = VIP) -> Order:
    return Order(folder=str(folder), now=NOW.isoformat(), vip=vip)


def run(folder: Path, vip: str, *, dry_run: bool = False) -> PkiResult:
    request = replace(REQUEST, masters={"m1": "192.168.80.7"}, vip=vip)
    ensure_cluster_secrets(folder, dry_run=dry_run)
    return PkiStore(folder).ensure(request, now=NOW, dry_run=dry_run)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]


def without_key(folder: Path) -> list[Path]:
    """Return certificates whose key was not written before them."""
    certificates = [
        path for path in files(folder) if path.suffix == ".pem" and not path.stem.endswith("-key")
    ]
    return [path for path in certificates if not path.with_name(f"{path.stem}-key.pem").exists()]


def precious(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in files(folder) if "hosts" not in path.parts}


def heal(folder: Path, vip: str = VIP) -> None:
    """Run again and see that all is there, nothing precious changed and nothing is left to do."""
    seen = precious(folder)
    planned = run(folder, vip, dry_run=True)
    assert planned.changes == run(folder, vip).changes
    after = precious(folder)
    assert {path: after[path] for path in seen} == seen
    assert run(folder, vip, dry_run=True).changes == ()
    assert not list(folder.rglob("*.kubenorn-tmp"))
    assert len(files(folder)) == RENAMES


def test_killed_at_renames_of_a_first_run(tmp_path: Path, killed: Killed) -> None:
    for number in (*range(1, 15), 21, 30, RENAMES):  # from 11 on all are alike, a key or a certificate
        folder = tmp_path / str(number)
        assert killed(replace(order(folder), at_rename=number)), number
        assert len(files(folder)) == number - 1
        assert without_key(folder) == []
        heal(folder)
    assert not killed(order(tmp_path / "all"))
    assert len(files(tmp_path / "all")) == RENAMES


def test_killed_at_every_rename_of_a_reissue(tmp_path: Path, killed: Killed) -> None:
    run(tmp_path, VIP)
    for number in (1, 2):  # the key, then the certificate
        vip = f"192.168.80.{20 + number}"
        assert killed(replace(order(tmp_path, vip), at_rename=number))
        heal(tmp_path, vip)
    assert not killed(replace(order(tmp_path, vip), at_rename=1))


def test_killed_at_random_moments(tmp_path: Path, killed: Killed) -> None:
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    cut = 0
    for number in range(15):
        folder = tmp_path / str(number)
        seen: dict[str, bytes] = {}
        for _ in range(3):
            cut += killed(replace(order(folder), after_seconds=moments.uniform(0, 0.06)))
            now_there = precious(folder)
            assert {path: now_there.get(path) for path in seen} == seen, f"seed {seed}"
            seen = now_there
        heal(folder)
    assert cut > 3, "the moments were too late to cut anything"
    ca, leaf = tmp_path / "0/pki/ca.pem", tmp_path / "0/hosts/m1/kube-apiserver.pem"
    assert openssl_accepts(ca, leaf, "sslserver", "-verify_ip", VIP)
