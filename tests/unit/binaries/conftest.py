import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from kubenorn.binaries import digests


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were really read to be hashed, in that order.

    Files count as settled at once: the tests have just made them.
    """
    names: list[str] = []
    real = digests.hash_file

    def noting(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
        names.append(path.name)
        return real(path, algorithms)

    monkeypatch.setattr(digests, "hash_file", noting)
    monkeypatch.setattr(digests, "_SETTLED_NS", 0)
    return names


@pytest.fixture(autouse=True)
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Inodes that were forced to the disk, in that order: only noted, for a busy disk takes its time."""
    inodes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: inodes.append(os.fstat(descriptor).st_ino))
    return inodes
