"""The root file system all hosts share, read-only, made once with debootstrap and cached."""

import hashlib
from pathlib import Path

from lab.apt import KEYRING, SUITE, debian_mirror, proxy
from lab.progress import Steps
from lab.tools import built_folder, cache_folder, locked, run

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "haproxy", "keepalived", "iproute2", "net-tools"),
    *("curl", "psmisc", "procps", "python3", "zstd", "iputils-ping"),
    *("ca-certificates", "sudo", "nftables", "iptables"),
)
SETUP = Path(__file__).with_name("rootfs.sh")


def rootfs_name() -> str:
    """Return the cache entry's name: it changes with the package list and the setup script."""
    recipe = "\n".join((SUITE, *PACKAGES, SETUP.read_text(encoding="utf-8")))
    return f"{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def rootfs_folder(name: str) -> Path:
    """Return where the root file system with that name is, whether it is built yet or not."""
    return cache_folder() / "rootfs" / name


def rootfs(steps: Steps) -> Path:
    """Return the folder of the root file system, building it first (about a minute) if needed."""
    folder = rootfs_folder(rootfs_name())
    if folder.exists():
        return folder
    with locked(
        folder.with_name(f".{folder.name}.lock"),
        waiting=lambda: steps.say("Root file system: somebody else builds it already; waiting for that"),
    ):
        if not folder.exists():
            with steps.step("Root file system: built") as show, built_folder(folder) as building:
                show("Root file system: debootstrap")
                # Mounts and processes of a build that is killed must vanish with it: hence the namespaces.
                isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
                variant = ["--variant=minbase", f"--keyring={KEYRING}", f"--include={','.join(PACKAGES)}"]
                run([*isolated, "debootstrap", *variant, SUITE, building, debian_mirror()], env=proxy())
                show("Root file system: packages and users")
                setup = SETUP.read_text(encoding="utf-8")
                run([*isolated, "chroot", building, "/bin/sh", "-s"], input=setup, env=proxy())
    return folder
