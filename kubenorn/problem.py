"""One thing that is wrong with the input, in one sentence: where, which value, what would be right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Problem:
    """A finding at a place such as `inventory/groups.yaml: production.data.cluster.vip`.

    `value` is None where it must not be shown; lists and mappings never are, for a secret may be in them.
    """

    place: str
    value: Any
    message: str

    def __str__(self) -> str:
        end = "" if self.message.endswith("?") else "."
        text = f"{self.place}{_shown(self.value)} {self.message}{end}"
        # one line, whatever an odd key has in it
        return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, Mapping | list | tuple | set | bytes):
        return ""
    if not isinstance(value, str):
        return f" = {str(value).lower() if isinstance(value, bool) else value}"
    return f" = {value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + '…'!r}"
