"""Overlay mounts of the hosts' root file systems."""

import os
import re
from pathlib import Path

from kubenorn.errors import HostsWrongError
from lab.tools import run


def mounted_below(folder: Path, mountinfo: str | None = None) -> list[Path]:
    """Return the mount points at and below folder, the innermost and newest first.

    mountinfo is the text of /proc/self/mountinfo, which is read when None.
    """
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    # The kernel writes blanks, tabs, newlines and backslashes as octal numbers, proc(5).
    places = [
        re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4]) for line in text.splitlines()
    ]
    inside = [Path(place) for place in places if Path(place) == folder or folder in Path(place).parents]
    return inside[::-1]


def mount_overlay(lower: Path, host: Path) -> Path:
    """Mount lower below the host folder's upper and return the mount point."""
    upper, work, merged = (host / name for name in ("upper", "work", "merged"))
    for folder in (upper, work, merged):
        folder.mkdir(exist_ok=True)
    # The root folder of the merged tree takes its mode from here: a host's / must be readable by all.
    upper.chmod(0o755)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    answer = run(["mount", "-t", "overlay", "-o", options, "overlay", merged], check=False)
    if answer.returncode != 0:
        raise HostsWrongError(
            f"overlayfs cannot be mounted with its upper folder in {host} ({answer.stderr.strip()}): "
            "use a checkout on ext4, xfs or btrfs, outside a container's own overlay."
        )
    return merged


def unmount_below(folder: Path) -> None:
    """Unmount everything at and below folder; what is busy is detached and goes when its last user does."""
    for place in mounted_below(folder):
        if os.path.ismount(place) and run(["umount", place], check=False).returncode != 0:
            run(["umount", "--lazy", place], check=False)
