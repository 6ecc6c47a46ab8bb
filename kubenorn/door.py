"""The door: inventory data in, a validated `Fleet` out, or every problem at once.

Whoever reads an inventory hands its hosts over as `InventoryHost`: layers of data from the host itself
outwards to the defaults, each with the place it was read from, so that a problem can name its file.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from kubenorn.checks import cluster_problems, cluster_warnings
from kubenorn.cluster import Cluster, Fleet, Master
from kubenorn.errors import InputWrongError
from kubenorn.problem import Problem
from kubenorn.settings import ClusterSettings, MasterSettings, SshSettings

Model = TypeVar("Model", bound=BaseModel)

HIGHEST_PRIORITY, PRIORITY_STEP = 120, 10
"""Priorities not given are 120, 110, 100 … in inventory order, as the guides number them."""


@dataclass(frozen=True)
class Layer:
    """Data of one host, group or the defaults, and where it stands: file and path of keys."""

    place: str
    data: Mapping[str, Any]
    group: str | None = None


@dataclass(frozen=True)
class InventoryHost:
    """A host with its layers of data, nearest first (host, its groups, defaults)."""

    name: str
    hostname: str | None
    layers: Sequence[Layer]

    def get(self, key: str) -> Any:
        """Return the nearest value of `key`, or None."""
        return next((layer.data[key] for layer in self.layers if key in layer.data), None)

    def merged(self, key: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the mapping `key` merged over the layers, nearest first, and each of its keys' place."""
        values: dict[str, Any] = {}
        places: dict[str, str] = {}
        for layer in self.layers:
            mapping = layer.data.get(key)
            if isinstance(mapping, Mapping):
                for name in mapping.keys() - values.keys():
                    values[name] = mapping[name]
                    places[name] = f"{layer.place}.{key}"
        return values, places


def build_fleet(hosts: Sequence[InventoryHost], folder: Path) -> Fleet:
    """Return the fleet the inventory describes; `folder` is what relative file names are relative to.

    Raises InputWrongError with one line a problem: file, key, value and what would be right.
    """
    problems: list[Problem] = []
    ssh = {host.name: _ssh_settings(host, folder, problems) for host in hosts}
    clusters: dict[str, Cluster] = {}
    warnings: list[str] = []
    for layer, members in _cluster_groups(hosts, problems):
        settings = _cluster_settings(layer, folder, problems)
        masters = _masters(members, folder, problems)
        if settings is None:
            continue
        cluster = Cluster(settings, tuple(masters))
        if settings.name in clusters:
            problems.append(
                Problem(f"{layer.place}.cluster.name", settings.name, "names two clusters; give each its own")
            )
        clusters[settings.name] = cluster
        problems += cluster_problems(cluster, f"{layer.place}.cluster")
        warnings += [str(warning) for warning in cluster_warnings(cluster, f"{layer.place}.cluster")]
    if problems:
        raise InputWrongError.of(list(dict.fromkeys(str(problem) for problem in problems)))
    return Fleet(clusters, {name: value for name, value in ssh.items() if value}, tuple(warnings))


def _cluster_groups(
    hosts: Sequence[InventoryHost], problems: list[Problem]
) -> Iterator[tuple[Layer, list[InventoryHost]]]:
    """Yield each group that has a `cluster` mapping, with its hosts of role master."""
    groups: dict[str, tuple[Layer, list[InventoryHost]]] = {}
    for host in hosts:
        layers = [layer for layer in host.layers if "cluster" in layer.data]
        for layer in layers:
            if layer.group is None:
                problems.append(
                    Problem(f"{layer.place}.cluster", None, "stands outside a group; a cluster is a group's")
                )
        layers = [layer for layer in layers if layer.group is not None]
        if len({layer.group for layer in layers}) > 1:
            names = " and ".join(str(layer.group) for layer in layers)
            problems.append(
                Problem(host.layers[0].place, None, f"is in two clusters, {names}; a host belongs to one")
            )
        for layer in layers[:1]:
            members = groups.setdefault(str(layer.group), (layer, []))[1]
            if host.get("role") == "master":
                members.append(host)
    for layer, members in groups.values():
        if members:
            yield layer, members


def _cluster_settings(layer: Layer, folder: Path, problems: list[Problem]) -> ClusterSettings | None:
    data = layer.data["cluster"]
    if not isinstance(data, Mapping):
        problems.append(Problem(f"{layer.place}.cluster", data, "is not a mapping of settings"))
        return None
    values = {"name": layer.group, **data}
    places = dict.fromkeys(values, f"{layer.place}.cluster")
    return _validated(
        ClusterSettings,
        values,
        places,
        default_place=f"{layer.place}.cluster",
        folder=folder,
        problems=problems,
    )


def _ssh_settings(host: InventoryHost, folder: Path, problems: list[Problem]) -> SshSettings | None:
    values, places = host.merged("ssh")
    return _validated(
        SshSettings,
        values,
        places,
        default_place=f"{host.layers[0].place}.ssh",
        folder=folder,
        problems=problems,
    )


def _masters(hosts: Sequence[InventoryHost], folder: Path, problems: list[Problem]) -> list[Master]:
    """Return the masters with an address and a priority each; a host with a problem is left out."""
    settings: dict[str, MasterSettings] = {}
    addresses: dict[str, IPv4Address] = {}
    for host in hosts:
        values, places = host.merged("master")
        parsed = _validated(
            MasterSettings,
            values,
            places,
            default_place=f"{host.layers[0].place}.master",
            folder=folder,
            problems=problems,
        )
        if parsed is None:
            continue
        settings[host.name] = parsed
        try:
            addresses[host.name] = parsed.address or IPv4Address(host.hostname or host.name)
        except ValueError:
            problems.append(
                Problem(
                    f"{host.layers[0].place}.hostname",
                    host.hostname or host.name,
                    "is a name; say the host's IPv4 address in data.master.address",
                )
            )
    given = {value.vrrp_priority for value in settings.values()} - {None}
    free = (p for p in range(HIGHEST_PRIORITY, 0, -PRIORITY_STEP) if p not in given)
    return [
        Master(
            name=name,
            address=address,
            vrrp_priority=settings[name].vrrp_priority or next(free, 0),
            interface=settings[name].interface,
        )
        for name, address in addresses.items()
    ]


def _validated(
    model: type[Model],
    values: Mapping[str, Any],
    places: Mapping[str, str],
    *,
    default_place: str,
    folder: Path,
    problems: list[Problem],
) -> Model | None:
    try:
        return model.model_validate(dict(values), context={"folder": folder})
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=True):
            key = str(detail["loc"][0]) if detail["loc"] else ""
            problems.append(_problem(detail, model, places.get(key, default_place)))
        return None


def _problem(detail: ErrorDetails, model: type[BaseModel], place: str) -> Problem:
    """Return pydantic's finding in the words of this project."""
    location = [str(part) for part in detail["loc"]]
    key = ".".join([place, *location])
    value = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            known = _known_keys(model, location[:-1])
            close = difflib.get_close_matches(location[-1], known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            return Problem(key, None, f"is not a setting; {hint}")
        case "missing":
            return Problem(key, None, "is missing; add it")
        case "value_error":
            message = str(detail["ctx"]["error"])
        case _:
            message = f"is wrong: {detail['msg'][0].lower()}{detail['msg'][1:]}"
    if _holds_secret(model, location):
        value = SecretStr("")
    return Problem(key, value, message)


def _known_keys(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    nested = _nested_model(model, location)
    return list(nested.model_fields) if nested else []


def _nested_model(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel] | None:
    """Return the settings class at a path of keys, or None where the path leads into a plain mapping."""
    for part in location:
        field = model.model_fields.get(part)
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not models:
            return None
        model = models[0]
    return model


def _holds_secret(model: type[BaseModel], location: Sequence[str]) -> bool:
    nested = _nested_model(model, location[:-1])
    field = nested.model_fields.get(location[-1]) if nested and location else None
    return field is not None and "SecretStr" in str(field.annotation)
