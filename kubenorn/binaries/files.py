"""Files that two processes may write at once and that a crash must not leave half done."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; wait while another process or thread holds it.

    The kernel lets go of it when its holder dies, so a lock is never left behind. The file stays: removing
    it would let a third process lock a new file of that name beside a waiting second one.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def rename_durably(source: Path, target: Path) -> None:
    """Move `source` over `target` in the same folder, so that after a power cut either is whole."""
    with source.open("rb") as handle:
        os.fsync(handle.fileno())
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader finds the old content or the new, never a part.

    The caller holds a lock: the temporary name is always the same, so that a crash leaves one at most.
    """
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_bytes(content)
    rename_durably(temporary, path)
