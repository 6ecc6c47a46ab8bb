"""What /proc says of a process; every function answers for a process that is gone, too."""

import os
import time
from pathlib import Path


def _status(process: int) -> dict[str, list[str]]:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def namespace_pids(process: int) -> list[str]:
    """Return the process's ids, from this machine's view inwards through its PID namespaces."""
    return _status(process).get("NSpid", [])


def parent(process: int) -> int:
    """Return the process's parent, 0 when the process is gone."""
    return int(_status(process).get("PPid", ["0"])[0])


def is_nspawn(process: int) -> bool:
    """Return whether the process is systemd-nspawn."""
    return _status(process).get("Name") == ["systemd-nspawn"]


def pss(process: int) -> int:
    """Return the process's share of memory in KiB: pages shared by several processes are counted once in all."""
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def age(process: int) -> float:
    """Return for how many seconds the process has run."""
    try:
        ticks = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except OSError:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
