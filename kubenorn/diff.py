"""How a file differs, for people: unified diffs with secrets masked, certificates in words."""

import difflib
import re

from cryptography import x509

from kubenorn.desired import ManagedFile
from kubenorn.observed import ObservedFile

_SECRET_VALUES = re.compile(
    r"(\bauth_pass\s+|\bstats\s+auth\s+|\b(?:insecure-)?password\s+|--[-a-z]*(?:password|token)[= ])\S.*$",
    re.MULTILINE,
)
_PRIVATE_KEYS = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_PEM_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


def difference(current: ObservedFile | None, desired: ManagedFile) -> tuple[str, ...]:
    """Return the lines that tell how the host's file differs from the desired one; none for a secret."""
    if desired.secret:
        return ("(secret: content not shown)",)
    before = current.text if current and current.text is not None else b""
    if desired.content.startswith(_PEM_CERTIFICATE):
        return _certificate_difference(before, desired.content)
    path = str(desired.path)
    lines = difflib.unified_diff(
        masked(before).splitlines(),
        masked(desired.content).splitlines(),
        path if current else "/dev/null",
        path,
        lineterm="",
    )
    # What is masked is the same before and after; so are the ends of lines.
    return tuple(lines) or ("(differs only in what is not shown)",)


def masked(content: bytes) -> str:
    """Return text with passwords and private keys replaced: on the host may be what others wrote."""
    text = _PRIVATE_KEYS.sub("(private key: not shown)", content.decode(errors="replace"))
    return _SECRET_VALUES.sub(r"\1********", text)


def _certificate_difference(before: bytes, after: bytes) -> tuple[str, ...]:
    lines = [f"+{_certificate(after)}"]
    if before:
        lines.insert(0, f"-{_certificate(before)}")
    return tuple(lines)


def _certificate(pem: bytes) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return "(not a certificate)"
    subject = certificate.subject.rfc4514_string()
    until = certificate.not_valid_after_utc
    return f"{subject}, serial {certificate.serial_number:x}, valid until {until:%Y-%m-%d %H:%M} UTC"
