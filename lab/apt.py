"""Debian's archive as this machine is set up to reach it, without touching the machine's own apt."""

import re
import shutil
from pathlib import Path

from kubenorn.errors import InputWrongError
from lab.tools import run

SUITE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def debian_mirror() -> str:
    """Return the address of the Debian archive: this machine's own mirror, else debootstrap's default.

    Raises InputWrongError when neither is known.
    """
    if shutil.which("apt-get"):
        targets = run(["apt-get", "indextargets"], check=False).stdout
        if mirror := mirror_in(targets):
            return mirror
    program = shutil.which("debootstrap")
    if program and (default := re.search(r'^DEF_MIRROR="([^"$]+)"', Path(program).read_text(), re.MULTILINE)):
        return default[1]
    raise InputWrongError(
        "No Debian archive is known here: install debootstrap, or add Debian to apt's sources."
    )


def proxy() -> dict[str, str]:
    """Return the environment variable for the proxy apt is set up to use, if it is; debootstrap needs it so."""
    answer = run(["apt-config", "dump", "--format", "%v", "Acquire::http::Proxy"], check=False).stdout.strip()
    return {"http_proxy": answer} if answer.startswith("http") else {}


def mirror_in(index_targets: str) -> str | None:
    """Return the main Debian archive named in the output of `apt-get indextargets`, if there is one.

    The security archive (Label Debian-Security) holds only updates and cannot be bootstrapped from.
    """
    for stanza in index_targets.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        if (
            fields.get("Origin") == "Debian"
            and fields.get("Label") == "Debian"
            and fields.get("Component") == "main"
        ):
            return fields["Repo-URI"].rstrip("/")
    return None


class PrivateApt:
    """An apt with sources, lists and cache of its own below folder; the machine's apt never hears of it.

    Signatures are checked against Debian's own keyring, as the machine's apt does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("lists/partial", "cache/archives/partial", "etc"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        sources = "".join(
            f"{kind} [signed-by={KEYRING}] {debian_mirror()} {SUITE} main\n" for kind in ("deb", "deb-src")
        )
        (folder / "etc" / "sources.list").write_text(sources)
        (folder / "apt.conf").write_text(
            # Only the sources: proxies and the like stay as the machine has them.
            f'Dir::Etc::sourcelist "{folder / "etc" / "sources.list"}";\n'
            'Dir::Etc::sourceparts "-";\n'
            f'Dir::State "{folder}";\n'
            f'Dir::State::lists "{folder / "lists"}";\n'
            f'Dir::State::status "{folder / "status"}";\n'
            f'Dir::Cache "{folder / "cache"}";\n'
            'APT::Sandbox::User "root";\n'
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
        )
        self._environment = {"APT_CONFIG": str(folder / "apt.conf")}

    def update(self) -> None:
        """Fetch the package lists."""
        run(["apt-get", "update", "-q"], env=self._environment)

    def source(self, package: str, into: Path) -> Path:
        """Download a source package into a folder, verified, and return its .dsc file."""
        into.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "source", "-q", "--download-only", package], env=self._environment, cwd=into)
        return next(into.glob("*.dsc"))

    def unpack(self, packages: list[str], into: Path) -> None:
        """Download binary packages, verified, and unpack their files below into; nothing is installed."""
        downloads = self.folder / "packages"
        downloads.mkdir(exist_ok=True)
        run(["apt-get", "download", "-q", *packages], env=self._environment, cwd=downloads)
        for package in packages:
            run(["dpkg-deb", "-x", next(downloads.glob(f"{package}_*.deb")), into])
