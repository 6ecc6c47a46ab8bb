"""Digests as they are published: `SHA256SUMS`, a lone digest beside the file, `sha256:HEX` in settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from kubenorn.errors import InputWrongError

Algorithm = Literal["sha256", "sha512"]

# What may stand beside a file NAME, strongest first: NAME.sha512 …, then the lists of a whole folder.
SUFFIXES: Final = (".sha512", ".sha256")
LISTS: Final = ("SHA512SUMS", "SHA256SUMS")

_HEX_DIGITS: Final[Mapping[int, Algorithm]] = {64: "sha256", 128: "sha512"}
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
# coreutils: digest, blank, then a blank (text) or an asterisk (binary), then the name; a backslash before
# the line says that the name is escaped. Other tools write one blank or a tab.
_GNU_LINE: Final = re.compile(r"(\\?)([0-9A-Fa-f]{32,})(?: [ *]|[ \t]+)(.+)")
_BSD_LINE: Final = re.compile(r"(\\?)SHA(?:256|512) ?\((.+)\) ?= ?([0-9A-Fa-f]+)")


@dataclass(frozen=True)
class Digest:
    """A digest: its algorithm and its value in lower-case hexadecimal digits."""

    algorithm: Algorithm
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True)
class Expected:
    """The digest a file must have, and in words where that is written."""

    digest: Digest
    origin: str

    def mismatch(self, file: str, actual: str, *, hint: str = "") -> str:
        """Return the sentence for a `file` whose digest (hex) is `actual`; `hint` is put in as it stands."""
        return (
            f"{file} has {self.digest.algorithm} {actual}, but {self.origin} says {self.digest.hex}:{hint} "
            "fetch the file again, and if it differs still, do not use it before you know who changed it"
        )


def digest_of_hex(text: str) -> Digest:
    """Return the digest written as hexadecimal digits; its length tells sha256 (64) from sha512 (128).

    Raises ValueError, with the reason, for anything else.
    """
    algorithm = _HEX_DIGITS.get(len(text))
    if algorithm is None or not _HEX.fullmatch(text):
        raise ValueError(f"{_shortened(text)!r} is no sha256 (64 hex digits) and no sha512 (128 hex digits)")
    return Digest(algorithm, text.lower())


def parse_setting(text: str, *, key: str) -> Digest:
    """Return the digest written in settings as `sha256:HEX` or `sha512:HEX`; `key` names it in errors.

    Raises InputWrongError when it is written otherwise.
    """
    algorithm, colon, value = text.strip().partition(":")
    try:
        digest = digest_of_hex(value)
    except ValueError:
        digest = None
    if not colon or digest is None or digest.algorithm != algorithm.lower():
        raise InputWrongError(
            f"{key}: {_shortened(text)!r} is no checksum: "
            "write sha256: and 64 hex digits, or sha512: and 128 hex digits"
        )
    return digest


def parse_list(text: str, *, file: str) -> dict[str, Digest]:
    """Return the digests a `SHA256SUMS`-like text lists, by file name (without a leading `./`).

    Empty lines and lines that begin with `#` say nothing. `file` names the text in errors. Raises
    InputWrongError for a line that is no checksum and for two different digests of one name.
    """
    found: dict[str, Digest] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, digest = _parse_line(line)
        except ValueError as error:
            raise InputWrongError(f"{file}, line {number}: {error}: is this a checksum file?") from None
        if found.setdefault(name, digest) != digest:
            raise InputWrongError(
                f"{file}, line {number}: lists {name} twice with different digests: keep one"
            )
    return found


def parse_beside(text: str, *, file: str, name: str) -> Digest:
    """Return the digest in a file `NAME.sha256` or `NAME.sha512`: a lone digest or one line of a list.

    Raises InputWrongError when the text (called `file` in errors) is neither, or lists other files only.
    """
    lone = text.removeprefix("\ufeff").strip()
    if _HEX.fullmatch(lone):
        try:
            return digest_of_hex(lone)
        except ValueError as error:
            raise InputWrongError(f"{file}: {error}: fetch it again") from None
    for listed, digest in parse_list(text, file=file).items():
        if PurePosixPath(listed).name == name:
            return digest
    raise InputWrongError(f"{file} holds no digest of {name}: fetch the checksum file that belongs to it")


def _parse_line(line: str) -> tuple[str, Digest]:
    if match := _GNU_LINE.fullmatch(line):
        escaped, value, name = match.groups()
    elif match := _BSD_LINE.fullmatch(line):
        escaped, name, value = match.groups()
    else:
        raise ValueError(f"{_shortened(line)!r} is not a digest and a file name")
    if escaped:
        name = re.sub(r"\\([\\nr])", lambda found: {"n": "\n", "r": "\r"}.get(found[1], "\\"), name)
    return name.removeprefix("./"), digest_of_hex(value)


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"
