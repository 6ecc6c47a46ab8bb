"""`--filter KEY=VALUE`: which hosts of the inventory a run is about."""

from collections.abc import Sequence
from functools import reduce

from nornir.core import Nornir
from nornir.core.filter import F_BASE, OR, F

from kubenorn.errors import InputWrongError


def select_hosts(nornir: Nornir, filters: Sequence[str]) -> Nornir:
    """Return Nornir with the hosts that match every filter.

    A filter is KEY=VALUE; VALUE may list several with commas, of which one must match. KEY is `name`,
    `group`, or a key of the host's data, with Nornir's `__` operators (`site__startswith=bj`).
    Raises InputWrongError for one that is malformed, or when no host is left.
    """
    selected = nornir
    for text in filters:
        key, separator, value = text.partition("=")
        if not separator or not key or not value:
            raise InputWrongError(f"--filter {text!r} is not KEY=VALUE, such as role=master or name=m1,m2.")
        values = [part for part in value.split(",") if part]
        try:
            selected = selected.filter(reduce(OR, [_condition(key, v) for v in values]))
        except (TypeError, AttributeError, ValueError) as error:
            raise InputWrongError(
                f"--filter {text!r} cannot be applied to the inventory: {error}."
            ) from error
    if not selected.inventory.hosts:
        known = ", ".join(nornir.inventory.hosts) or "none"
        raise InputWrongError(
            f"no host matches {' and '.join(f'--filter {text}' for text in filters) or 'the inventory'}; "
            f"the inventory has {known}."
        )
    return selected


def _condition(key: str, value: str) -> F_BASE:
    if key == "group":
        return F(groups__contains=value)
    alternatives: list[F_BASE] = [F(**{key: typed}) for typed in _typed(value)]
    return reduce(OR, alternatives)


def _typed(value: str) -> list[object]:
    """Return the value as text and as what YAML may have made of it in the inventory."""
    typed: list[object] = [value]
    if value.isdigit():
        typed.append(int(value))
    if value.lower() in {"true", "false"}:
        typed.append(value.lower() == "true")
    return typed
