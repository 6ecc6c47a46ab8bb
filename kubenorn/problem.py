"""One thing that is wrong with the input, in one sentence: where, which value, what would be right."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """A finding at a place such as `inventory/groups.yaml: production.data.cluster.vip`."""

    place: str
    value: Any
    message: str

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {str(self.value)!r}"
        return f"{self.place}{value} {self.message}{'' if self.message.endswith('?') else '.'}"
