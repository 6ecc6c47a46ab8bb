"""Who started a run: the user, the machine, and whether that process still lives."""

import os
import pwd
import socket
from dataclasses import dataclass
from pathlib import Path

from kubenorn.run_text import one_sentence


@dataclass(frozen=True)
class Operator:
    """Who started a run, and from where. `process` tells a process from a later one with the same pid."""

    user: str
    controller: str
    pid: int
    sudo_user: str = ""
    process: str = ""


def current_operator() -> Operator:
    """Return who runs this process, and where."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user of a directory service that does not answer
        user = os.environ.get("LOGNAME") or str(os.getuid())
    pid = os.getpid()
    sudo_user = one_sentence(os.environ.get("SUDO_USER", ""))
    return Operator(one_sentence(user), socket.gethostname(), pid, sudo_user, process_identity(pid))


def process_identity(pid: int) -> str:
    """Return boot and start of a process that runs on this machine; empty when it does not, or without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # proc(5): state and then start time, counted behind the program's name, which may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else f"{boot}/{fields[19]}"


def is_gone(who: Operator) -> bool:
    """Return whether the process is known to have ended: only this machine's processes can be looked at."""
    if who.controller != socket.gethostname():
        return False
    if who.process:
        return process_identity(who.pid) != who.process
    try:
        os.kill(who.pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
