"""Durations as people write them on a command line."""

import re

from kubenorn.errors import InputWrongError

_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "min": 60.0}


def parse_duration(text: str, option: str) -> float:
    """Return the seconds of a duration such as 3s, 500ms, 2min or 0.5 (seconds).

    Raises InputWrongError, naming the option, when it is none or not above 0.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|min|)\s*", text)
    if not found or float(found[1]) <= 0:
        raise InputWrongError(f"{option} {text!r}: is no duration; write it like 3s, 500ms or 2min.")
    return float(found[1]) * _SECONDS[found[2]]
