"""Files on the controller that must survive a crash: written by rename, private, one writer at a time.

Everything under artifacts/ goes through here, because it holds the only copy of a cluster's keys.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from kubenorn.errors import InputWrongError

_TEMPORARY_SUFFIX = ".kubenorn-tmp"
_LOCK_NAME = ".lock"


def write_atomically(path: Path, content: bytes, mode: int = 0o600, *, only_new: bool = False) -> None:
    """Write `content` so that `path` holds either what it held before or all of it, even after a power cut.

    A temporary file in the same folder (a rename is atomic only within one file system) is created with
    `mode`, synced and renamed; then the folder is synced, since the rename itself lives there.
    Raises InputWrongError with the system's reason when the folder cannot be written, and with `only_new`
    FileExistsError when there is a file already.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY_SUFFIX}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)  # the umask may have taken bits away
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            if only_new:
                os.link(temporary, path)
                temporary.unlink()
            else:
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise InputWrongError(f"cannot write {path}: {error.strerror}; mend that and run again") from error


def check_can_be_written(path: Path | None, option: str) -> None:
    """Raise InputWrongError, naming the option, when a file could not be written later; no path is all right."""
    if path is None:
        return
    if path.is_dir():
        raise InputWrongError(f"{option} {path}: is a folder; name a file.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputWrongError(f"{option} {path}: there is no folder {path.parent} to write into.")


def read_if_exists(path: Path) -> bytes | None:
    """Return the content, or None when there is no such file; any other trouble is an InputWrongError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputWrongError(f"cannot read {path}: {error.strerror}; mend that and run again") from error


def make_private_folder(path: Path) -> None:
    """Make `path` and its missing parents, each 0700; an existing `path` is narrowed to 0700.

    Raises InputWrongError when that is not possible, or when `path` is something other than a folder.
    """
    try:
        _make_missing(path)
        if path.stat().st_mode & 0o777 != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise InputWrongError(f"cannot make the private folder {path}: {error.strerror}") from error


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of a run that was killed. Only for one who holds the folder's lock."""
    for leftover in folder.glob(f".*{_TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_lock(path: Path) -> Iterator[None]:
    """Hold `path` for this process; raises InputWrongError naming the holder's pid when another has it.

    The lock is the kernel's (flock), so it ends with its process however that ends: there are no stale
    locks to clear. The file stays, as deleting it would let two processes lock two different files.
    """
    make_private_folder(path)
    lock = path / _LOCK_NAME
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InputWrongError(f"cannot open the lock {lock}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputWrongError(_held_by_another(path, os.pread(descriptor, 32, 0))) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)  # releases the lock


def _held_by_another(path: Path, content: bytes) -> str:
    pid = content.strip().decode("ascii", "replace")
    who = f"process {pid}" if pid.isdigit() else "another process"
    return f"{who} is working in {path}: wait until it has ended, or end it, and run again"


def _make_missing(path: Path) -> None:
    if path.is_dir():
        return
    _make_missing(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not path.is_dir():
        raise NotADirectoryError(20, "something other than a folder has this name")
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
