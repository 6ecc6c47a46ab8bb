"""What the binaries are called inside releases, folders and mirrors.

Kubernetes: `kubernetes-server-linux-ARCH.tar.gz` holds `kubernetes/server/bin/NAME`; the official download
site has it as `vVERSION/…` and each binary alone as `vVERSION/bin/linux/ARCH/NAME`. etcd: its release page
has `vVERSION/etcd-vVERSION-linux-ARCH.tar.gz`, which holds `etcd-vVERSION-linux-ARCH/NAME`.
"""

from dataclasses import dataclass
from typing import Final

ETCD_BINARIES: Final = frozenset({"etcd", "etcdctl", "etcdutl"})


@dataclass(frozen=True)
class Place:
    """A file relative to the source (slashes), and where it is an archive, the member that is wanted."""

    path: str
    member: str | None = None


@dataclass(frozen=True)
class Wanted:
    """One binary that is wanted: its name, its version without the `v`, Kubernetes' name of the machine."""

    name: str
    version: str
    arch: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} for {self.arch}"

    @property
    def is_etcd(self) -> bool:
        """Whether it comes with etcd's release and not with Kubernetes'."""
        return self.name in ETCD_BINARIES

    @property
    def archive(self) -> str:
        """File name of the release archive that holds it."""
        if self.is_etcd:
            return f"etcd-v{self.version}-linux-{self.arch}.tar.gz"
        return f"kubernetes-server-linux-{self.arch}.tar.gz"

    @property
    def member(self) -> str:
        """Its path inside the release archive."""
        if self.is_etcd:
            return f"{self.archive.removesuffix('.tar.gz')}/{self.name}"
        return f"kubernetes/server/bin/{self.name}"

    def places_on_mirror(self) -> list[Place]:
        """Return where a mirror may have it, the smaller download first."""
        folder = f"v{self.version}"
        alone = [] if self.is_etcd else [Place(f"{folder}/bin/linux/{self.arch}/{self.name}")]
        return [*alone, Place(f"{folder}/{self.archive}", self.member)]

    def places_in_folder(self) -> list[Place]:
        """Return where a folder may have it: first the places whose path tells the version."""
        plain = [Place(self.name), Place(self.member)]
        if self.is_etcd:
            return [*self.places_on_mirror(), Place(self.member), Place(self.archive, self.member), plain[0]]
        return [*self.places_on_mirror(), *plain, Place(self.archive, self.member)]
