"""Small executables, checksum lists and release archives, as releases have them."""

import hashlib
import io
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

KUBERNETES = "1.20.2"
ETCD = "3.4.23"
WANTED = {
    "kube-apiserver": KUBERNETES,
    "kube-controller-manager": KUBERNETES,
    "kube-scheduler": KUBERNETES,
    "kubectl": KUBERNETES,
    "etcd": ETCD,
    "etcdctl": ETCD,
}
# e_machine, EI_CLASS, EI_DATA as elf.h has them
HEADERS = {
    "amd64": (62, 2, 1),
    "arm64": (183, 2, 1),
    "arm": (40, 1, 1),
    "386": (3, 1, 1),
    "ppc64le": (21, 2, 1),
    "s390x": (22, 2, 2),
    "riscv64": (243, 2, 1),
}


def elf_header(machine: int, bits: int, order: int, *, kind: int = 2, abi: int = 0) -> bytes:
    identity = b"\x7fELF" + bytes([bits, order, 1, abi]) + bytes(8)
    return identity + struct.pack("<HH" if order == 1 else ">HH", kind, machine)


def executable(name: str, arch: str = "amd64", size: int = 4096) -> bytes:
    """Return an executable that differs from any other by its name."""
    head = elf_header(*HEADERS[arch]) + name.encode()
    return head + hashlib.shake_256(head).digest(size - len(head))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha512(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest()


def write_list(folder: Path) -> None:
    """Do what `sha256sum * > SHA256SUMS` does."""
    lines = [
        f"{sha256(path.read_bytes())}  {path.name}" for path in sorted(folder.iterdir()) if path.is_file()
    ]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def plain_folder(folder: Path, arch: str = "amd64") -> Path:
    """Make a folder with the six binaries and their checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in WANTED:
        (folder / name).write_bytes(executable(name, arch))
    write_list(folder)
    return folder


def tarball(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """Return a .tar.gz; a member is its content or, for links and devices, its whole header."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def kubernetes_members(arch: str = "amd64") -> dict[str, bytes]:
    names = [name for name, version in WANTED.items() if version == KUBERNETES]
    return {"kubernetes/LICENSES": b"text"} | {
        f"kubernetes/server/bin/{name}": executable(name, arch) for name in names
    }


def etcd_members(arch: str = "amd64") -> dict[str, bytes]:
    return {f"etcd-v{ETCD}-linux-{arch}/{name}": executable(name, arch) for name in ("etcd", "etcdctl")}


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info
