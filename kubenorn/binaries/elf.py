"""Which machine an executable is made for: its ELF header, told in Kubernetes' architecture names.

Offsets and numbers are those of the System V ABI, chapter "Object Files" (`man 5 elf`), and of elf.h.
"""

import struct
from pathlib import Path
from typing import Final

from kubenorn.errors import InputWrongError

_HEADER_BYTES: Final = 20  # e_ident (16), e_type (2), e_machine (2)
_EXECUTABLE_TYPES: Final = (2, 3)  # ET_EXEC; ET_DYN: a position-independent executable
_LINUX_ABIS: Final = (0, 3)  # ELFOSABI_SYSV, which Go writes for Linux; ELFOSABI_GNU

# (e_machine, bits, byte order as struct spells it). The same machine number with other bits or another
# byte order is another architecture: 21 is ppc64 as well as ppc64le, 62 with 32 bits is the x32 ABI.
_ARCHITECTURES: Final = {
    (3, 32, "<"): "386",
    (21, 64, "<"): "ppc64le",
    (22, 64, ">"): "s390x",
    (40, 32, "<"): "arm",
    (62, 64, "<"): "amd64",
    (183, 64, "<"): "arm64",
    (243, 64, "<"): "riscv64",
}

# What `uname -m` answers. Kubernetes builds arm for ARMv7, so an armv6l host is none of its own.
_UNAME_MACHINES: Final = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "armv8l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "riscv64": "riscv64",
}

_KINDS: Final = (
    (b"#!", "a script"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a macOS program"),
)


class NotLinuxExecutableError(InputWrongError):
    """A file is no ELF executable for Linux; the message says what it is instead."""


def arch_of_machine(uname_m: str) -> str:
    """Return Kubernetes' name (`amd64`, `arm64` …) of the machine that `uname -m` calls `uname_m`.

    Raises InputWrongError for a machine Kubernetes publishes no binaries for.
    """
    arch = _UNAME_MACHINES.get(uname_m.strip())
    if arch is None:
        known = ", ".join(sorted(set(_UNAME_MACHINES.values())))
        raise InputWrongError(f"machine {uname_m.strip()!r} (uname -m) is none of {known}: take another host")
    return arch


def arch_of_file(path: Path) -> str:
    """Return Kubernetes' name of the architecture the executable at `path` runs on.

    Raises NotLinuxExecutableError when it is no ELF executable, OSError when it cannot be read.
    """
    with path.open("rb") as handle:
        return arch_of_header(handle.read(512), shown=str(path))


def arch_of_header(header: bytes, *, shown: str) -> str:
    """Return the architecture told by the first bytes of a file (20 are enough), called `shown` in errors.

    Raises NotLinuxExecutableError when they are not the beginning of an ELF executable for Linux.
    """
    if not header.startswith(b"\x7fELF"):
        raise NotLinuxExecutableError(f"{shown} is {kind_of(header)}, not a Linux executable")
    if len(header) < _HEADER_BYTES:
        raise NotLinuxExecutableError(f"{shown} is cut off after {len(header)} bytes")
    bits = {1: 32, 2: 64}.get(header[4])
    order = {1: "<", 2: ">"}.get(header[5])
    if bits is None or order is None:
        raise NotLinuxExecutableError(f"{shown} has a broken ELF header")
    if header[7] not in _LINUX_ABIS:
        raise NotLinuxExecutableError(f"{shown} is made for another system than Linux (ELF ABI {header[7]})")
    kind, machine = struct.unpack(f"{order}HH", header[16:_HEADER_BYTES])
    if kind not in _EXECUTABLE_TYPES:
        raise NotLinuxExecutableError(f"{shown} is an ELF object file or core dump, not an executable")
    arch = _ARCHITECTURES.get((machine, bits, order))
    if arch is None:
        endian = "little" if order == "<" else "big"
        raise NotLinuxExecutableError(
            f"{shown} is made for ELF machine {machine} ({bits} bits, {endian} endian), "
            "which Kubernetes has no name for"
        )
    return arch


def kind_of(header: bytes) -> str:
    """Return in words what a file that begins with `header` is: "an HTML page", "empty", "a script" …"""
    if not header:
        return "empty"
    text = header.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "an HTML page (a proxy's or a login page's, saved under this name?)"
    for magic, kind in _KINDS:
        if header.startswith(magic):
            return kind
    if header.startswith(b"\x7fELF"):
        return "an ELF file"
    return "a file of unknown kind"
