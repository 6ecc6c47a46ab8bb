"""`--filter KEY=VALUE`: which hosts of the inventory a run is about."""

from collections.abc import Sequence
from functools import reduce

from nornir.core import Nornir
from nornir.core.filter import F_BASE, OR, F

from kubenorn.errors import InputWrongError

TAKES_A_LIST = {"in", "any", "all"}
"""Nornir's operators that compare with several values at once."""


def select_hosts(nornir: Nornir, filters: Sequence[str]) -> Nornir:
    """Return Nornir with the hosts that match every filter.

    A filter is KEY=VALUE; VALUE may list several with commas, of which one must match. KEY is `name`,
    `group` (the host's or one that holds it), or a key of the host's data, with Nornir's `__` operators
    (`site__startswith=bj`).
    Raises InputWrongError for one that is malformed, or when no host is left.
    """
    selected = nornir
    for text in filters:
        key, separator, value = text.partition("=")
        values = [part for part in value.split(",") if part]
        if not separator or not key or not values:
            raise InputWrongError(f"--filter {text!r} is not KEY=VALUE, such as role=master or name=m1,m2.")
        try:
            selected = selected.filter(_condition(key, values))
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


def _condition(key: str, values: Sequence[str]) -> F_BASE:
    if key == "group":
        # in a group of groups too
        return _any_of([F(has_parent_group=value) for value in values])
    typed = [each for value in values for each in _typed(value)]
    if key.rpartition("__")[2] in TAKES_A_LIST:
        return F(**{key: typed})
    return _any_of([F(**{key: each}) for each in typed])


def _any_of(conditions: Sequence[F_BASE]) -> F_BASE:
    return reduce(OR, conditions)


def _typed(value: str) -> list[object]:
    """Return the value as text and as what YAML may have made of it in the inventory."""
    typed: list[object] = [value]
    if value.isdigit():
        typed.append(int(value))
    if value.lower() in {"true", "false"}:
        typed.append(value.lower() == "true")
    return typed
