"""Kubernetes versions: which are supported, and what else depends on the version as a whole.

Flags by version stand in `kubenorn.flags`.
"""

import re
from typing import NamedTuple

OLDEST = (1, 8)
NEWEST = (1, 34)


class KubernetesVersion(NamedTuple):
    """A release such as 1.20.2; compares like its numbers."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "KubernetesVersion":
        """Return the version in `text`, `1.20.2` or `v1.20.2`; a ValueError says what would be right."""
        match = re.fullmatch(r"v?([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", text)
        if not match:
            raise ValueError("is not a version; write all three numbers, such as 1.20.2")
        version = cls(*(int(number) for number in match.groups()))
        if not OLDEST <= version.release <= NEWEST:
            oldest, newest = (".".join(map(str, release)) for release in (OLDEST, NEWEST))
            raise ValueError(f"is not supported; supported are {oldest} to {newest}")
        return version

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor number, what flags and formats depend on."""
        return self.major, self.minor

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def liveness_path(self) -> str:
        """kube-apiserver's path for "is the process alive": /livez since 1.16 (KEP-1693)."""
        return "/livez" if self.release >= (1, 16) else "/healthz"

    @property
    def readiness_path(self) -> str:
        """kube-apiserver's path for "may it get requests": /readyz since 1.16 (KEP-1693)."""
        return "/readyz" if self.release >= (1, 16) else "/healthz"

    @property
    def leaders_in_leases(self) -> bool:
        """Whether leader election writes Lease objects.

        endpointsleases (both) since 1.17, leases alone since 1.20; before, an annotation of Endpoints.
        """
        return self.release >= (1, 17)

    @property
    def bootstrap_token_file(self) -> bool:
        """Whether kubelets bootstrap with a static token file; bootstrap token Secrets left alpha in 1.9."""
        return self.release < (1, 9)

    @property
    def etcd_version(self) -> str:
        """The etcd release this Kubernetes release was published with (cluster/images/etcd, CHANGELOG)."""
        for release, etcd in _ETCD_VERSIONS:
            if self.release >= release:
                return etcd
        raise AssertionError(self)


_ETCD_VERSIONS = (
    ((1, 34), "3.6.4"),
    ((1, 33), "3.5.21"),
    ((1, 30), "3.5.12"),
    ((1, 26), "3.5.6"),
    ((1, 22), "3.5.0"),
    ((1, 17), "3.4.3"),
    ((1, 14), "3.3.10"),
    ((1, 12), "3.2.24"),
    ((1, 8), "3.0.17"),
)
