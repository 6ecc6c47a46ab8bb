"""Running programs, locking, and where things are kept: what every other file of the lab uses."""

import errno
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kubenorn.errors import HostsWrongError, InputWrongError

T = TypeVar("T")
R = TypeVar("R")

# Programs that run now: an interrupted command ends them, or they would go on building into a dead folder.
_running: set[subprocess.Popen[str]] = set()
_running_lock = threading.Lock()
_stopping = threading.Event()


def run(
    command: Sequence[str | Path],
    *,
    input: str | None = None,
    check: bool = True,
    timeout: float = 900.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program and return its exit code, stdout and stderr as text.

    timeout is in seconds. env is added to this process's environment.
    Raises HostsWrongError with the last lines of output when check is set and the program fails, when it
    takes longer than timeout, and when it is not installed.
    """
    _refuse_when_stopping()
    argv = [str(part) for part in command]
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **env} if env else None,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise HostsWrongError(f"{error.filename} was not found: install it and try again.") from error
    with _running_lock:
        _running.add(process)
    try:
        stdout, stderr = process.communicate(input, timeout=timeout)
    except BaseException as error:
        process.kill()
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise HostsWrongError(
                f"`{shorten(shlex.join(argv))}` took longer than {timeout:g} s and was ended."
            ) from error
        raise
    finally:
        with _running_lock:
            _running.discard(process)
    if check and process.returncode != 0:
        tail = "\n".join((stderr.strip() or stdout.strip()).splitlines()[-8:])
        raise HostsWrongError(f"`{shorten(shlex.join(argv))}` failed with {process.returncode}: {tail}")
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def stop_running() -> None:
    """Terminate every program started by run(), and let no more start: this command was interrupted."""
    _stopping.set()
    with _running_lock:
        for process in _running:
            process.send_signal(signal.SIGTERM)


def _refuse_when_stopping() -> None:
    if _stopping.is_set():
        raise HostsWrongError("Interrupted.")


def shorten(text: str, length: int = 160) -> str:
    """Return text on one line, cut to length characters, for use inside an error's sentence."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Call work on every item in threads of its own; return the results in the items' order.

    Every call is waited for. When some fail, raises HostsWrongError naming each failure; a single failure is
    raised as it is.
    """
    todo = list(items)
    if not todo:
        return []
    with ThreadPoolExecutor(max_workers=len(todo)) as pool:
        futures = [pool.submit(work, item) for item in todo]
    errors = [error for future in futures if (error := future.exception())]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise HostsWrongError("\n".join(str(error) for error in errors)) from errors[0]
    return [future.result() for future in futures]


def wait_for(check: Callable[[], bool], *, seconds: float, interval: float = 0.05) -> bool:
    """Call check until it returns True (then True) or seconds have passed (then False)."""
    deadline = time.monotonic() + seconds
    while not check():
        _refuse_when_stopping()
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
    return True


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on the file path for the length of the block; the file is gone afterwards.

    waiting is called once if somebody else holds the lock. The kernel drops the lock when its holder dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                os.close(descriptor)
                raise
            if waiting and not told:
                waiting()
            told = True
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # The last holder removed the file while we waited: what we hold is not what the next one opens.
        if _is_open_file_at(descriptor, path):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _is_open_file_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


@contextmanager
def built_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside target that becomes target when the block ends well, and is removed if not.

    Leftovers of builds that were killed are removed first: call it only while holding target's lock.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}.building-*"):
        shutil.rmtree(stale)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}.building-", dir=target.parent))
    building.chmod(0o755)
    try:
        yield building
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write text to path so that a reader sees either the old file or the whole new one."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.chmod(mode)
    beside.replace(path)


def cache_folder() -> Path:
    """Return the folder for what all labs share: KUBENORN_CACHE, or ~/.cache/kubenorn."""
    named = os.environ.get("KUBENORN_CACHE")
    return Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "kubenorn"


def lock_folder() -> Path:
    """Return the machine's folder for lock files of programs that run now."""
    folder = Path("/run/lock")
    return folder if folder.is_dir() else Path(tempfile.gettempdir())


def install_missing_packages(packages: Iterable[str], say: Callable[[str], None]) -> None:
    """Install those Debian packages that this machine lacks; say is told which before it happens.

    Raises InputWrongError where there is no apt-get.
    """
    wanted = list(packages)
    known = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted], check=False).stdout
    installed = {line.split()[0] for line in known.splitlines() if line.endswith(" installed")}
    missing = [package for package in wanted if package not in installed]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise InputWrongError(f"Install {', '.join(missing)} with your package manager, then try again.")
    say(f"Installing on this machine: {' '.join(missing)}")
    run(["apt-get", "update", "-q"])
    run(
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
        env={"DEBIAN_FRONTEND": "noninteractive"},
    )
