"""OpenSSH's known_hosts: which host keys are trusted, and how new ones are recorded without losing any line.

Keys are pairs of type and base64, so that this needs no SSH library. The format is that of sshd(8),
"SSH_KNOWN_HOSTS FILE FORMAT": comma-separated patterns, or one hashed name, a key type and the key.
"""

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kubenorn.errors import InputWrongError
from kubenorn.files import read_if_exists, write_atomically

SSH_PORT = 22
MODE = 0o644
"""Public keys only; other users' ssh may read them."""


@dataclass(frozen=True)
class HostKey:
    """A host's public key as known_hosts writes it."""

    type: str
    base64: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint as `ssh-keygen -l` prints it, such as SHA256:qmsY…"""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class KeyState(StrEnum):
    """What known_hosts says of a key that a host offers."""

    NEW = "new"
    KNOWN = "known"
    CHANGED = "CHANGED"
    REVOKED = "REVOKED"


@dataclass(frozen=True)
class _Entry:
    """One line that holds a key: `marker` is empty, @revoked or @cert-authority."""

    line: int
    marker: str
    names: str
    key: HostKey

    def is_for(self, name: str) -> bool:
        if self.names.startswith("|"):
            return _hash_matches(self.names, name)
        patterns = self.names.lower().split(",")
        refused = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
        return any(_matches(name, pattern) for pattern in patterns) and not any(
            _matches(name, pattern) for pattern in refused
        )


class KnownHosts:
    """The content of a known_hosts file. Lines that are not understood are kept and mean nothing."""

    def __init__(self, content: bytes = b"") -> None:
        self.lines = content.splitlines(keepends=True)
        self._entries = list(_entries(self.lines))

    @classmethod
    def read(cls, path: Path) -> "KnownHosts":
        """Return what the file holds; nothing when there is none. Raises InputWrongError when it is unreadable."""
        return cls(read_if_exists(path) or b"")

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return b"".join(self.lines)

    def keys_of(self, name: str) -> list[HostKey]:
        """Return the trusted keys recorded for `name`, which is that of `known_name`."""
        return [entry.key for entry in self._entries if not entry.marker and entry.is_for(name)]

    def states(self, name: str, offered: Sequence[HostKey]) -> dict[HostKey, KeyState]:
        """Return what is to be thought of each key the host offers.

        A key of a type not yet recorded is new only beside one that is known: a host that offers nothing
        but other types than those recorded may be another host.
        """
        recorded = self.keys_of(name)
        revoked = {e.key for e in self._entries if e.marker == "@revoked" and e.is_for(name)}
        proven = not recorded or any(key in recorded for key in offered)
        types = {key.type for key in recorded}
        states = {}
        for key in offered:
            if key in revoked:
                states[key] = KeyState.REVOKED
            elif key in recorded:
                states[key] = KeyState.KNOWN
            else:
                states[key] = KeyState.NEW if proven and key.type not in types else KeyState.CHANGED
        return states

    def state(self, name: str, key: HostKey) -> KeyState:
        """Return what is to be thought of the one key the host showed while logging in."""
        return self.states(name, [key])[key]

    def with_keys(self, name: str, keys: Sequence[HostKey]) -> "KnownHosts":
        """Return the file with `keys` appended for `name`; every other byte stays."""
        content = self.content
        if content and not content.endswith(b"\n"):
            content += b"\n"
        added = "".join(f"{name} {key.type} {key.base64}\n" for key in keys)
        return KnownHosts(content + added.encode())

    def without(self, name: str) -> "KnownHosts":
        """Return the file without the keys of `name`: a line for several names keeps the others.

        Raises InputWrongError for a line that matches `name` by a pattern: it is not only about this host.
        """
        lines = list(self.lines)
        for entry in self._entries:
            if entry.marker or not entry.is_for(name):
                continue
            names = entry.names.split(",")
            others = [] if entry.names.startswith("|") else [n for n in names if n.lower() != name.lower()]
            if len(others) == len(names) or any(_matches(name, other.lower()) for other in others):
                raise InputWrongError(
                    f"line {entry.line + 1} of known_hosts holds a key of {name} by a pattern "
                    f"({entry.names}): edit that line by hand"
                )
            line = lines[entry.line]
            lines[entry.line] = (
                line.replace(entry.names.encode(), ",".join(others).encode(), 1) if others else b""
            )
        return KnownHosts(b"".join(lines))


def known_name(hostname: str, port: int) -> str:
    """Return the name under which a host stands in known_hosts: with its port unless that is 22."""
    return hostname.lower() if port == SSH_PORT else f"[{hostname.lower()}]:{port}"


def record_keys(path: Path, keys: Mapping[str, Sequence[HostKey]], replace: Collection[str]) -> None:
    """Append `keys` by known name to the file at `path`; the old keys of the names in `replace` are removed.

    Raises InputWrongError when the file cannot be written, or holds an old key by a pattern.
    """
    # A link to the real file is a habit of those who keep their dotfiles in a repository.
    path = path.resolve()
    known = KnownHosts.read(path)
    for name, offered in keys.items():
        kept = known.without(name) if name in replace else known
        present = kept.keys_of(name)
        known = kept.with_keys(name, [key for key in offered if key not in present])
    write_atomically(path, known.content, MODE)


def _entries(lines: Sequence[bytes]) -> Iterator[_Entry]:
    for number, line in enumerate(lines):
        fields = line.decode(errors="replace").split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        try:
            base64.b64decode(fields[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield _Entry(number, marker, fields[0], HostKey(fields[1], fields[2]))


def _matches(name: str, pattern: str) -> bool:
    # Brackets are part of the name in [host]:port, not a set of characters.
    return fnmatch.fnmatchcase(name.lower(), re.sub(r"\[", "[[]", pattern))


def _hash_matches(hashed: str, name: str) -> bool:
    try:
        _, kind, salt, digest = hashed.split("|")
        expected = hmac.new(base64.b64decode(salt), name.lower().encode(), hashlib.sha1).digest()
        return kind == "1" and hmac.compare_digest(expected, base64.b64decode(digest))
    except (ValueError, binascii.Error):
        return False
