"""The last look at a binary before it is handed on: is it the one settings name, for the hosts' machine?"""

from dataclasses import dataclass
from pathlib import Path

from kubenorn.binaries.digests import DigestMemory
from kubenorn.binaries.elf import NotLinuxExecutableError, arch_of_file
from kubenorn.binaries.layout import Wanted
from kubenorn.binaries.source import LocalBinary, Location, Origin, Pins
from kubenorn.errors import InputWrongError


@dataclass(frozen=True)
class Found:
    """A wanted binary, the source that has it and where in it."""

    wanted: Wanted
    origin: Origin
    location: Location

    def __str__(self) -> str:
        return f"{self.wanted.name} from {self.location.artifact.shown} ({self.origin.shown})"


def inspect_binary(found: Found, path: Path, pins: Pins, memory: DigestMemory) -> LocalBinary:
    """Return what the binary is that was found and now lies at `path`, verified so far as it was fetched.

    Raises InputWrongError when settings tell another digest of a binary out of an archive, or when it is
    no executable for the wanted architecture.
    """
    wanted, member = found.wanted, found.location.member
    pinned = pins.find(member) if member else None  # a file of its own was compared when it was fetched
    if pinned is not None:
        algorithm = pinned.digest.algorithm
        actual = memory.of_file(path, {algorithm})[algorithm]
        if actual != pinned.digest.hex:
            raise InputWrongError(pinned.mismatch(str(found), actual))
    try:
        arch = arch_of_file(path)
    except NotLinuxExecutableError as error:
        raise InputWrongError(f"{found}: {error}: put the real binary there") from None
    if arch != wanted.arch:
        raise InputWrongError(
            f"{found} is made for {arch}, the hosts are {wanted.arch}: take the files for linux-{wanted.arch}"
        )
    return LocalBinary(wanted.name, path, memory.of_file(path)["sha256"], path.stat().st_size, arch)
