"""Text that is kept and shown long after a run: one line, no credentials, nothing that steers a terminal."""

import re

from kubenorn.binaries.address import masked

LONGEST_SENTENCE = 500
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing."""


def shown_argument(argument: str) -> str:
    """Return an argument as it may be kept: without credentials and query in a URL, on one line."""
    return printable(masked(argument) if "://" in argument else argument)


def one_sentence(text: str) -> str:
    """Return the text as one line that may be kept and shown: short, without credentials or control signs."""
    line = _URL.sub(lambda url: masked(url[0]), " ".join(text.split()))
    line = printable(line)
    return line if len(line) <= LONGEST_SENTENCE else f"{line[: LONGEST_SENTENCE - 1]}…"


def printable(text: str) -> str:
    """Return the text without what would steer a terminal or is no character at all."""
    return _CONTROL.sub("�", text).encode(errors="replace").decode()
