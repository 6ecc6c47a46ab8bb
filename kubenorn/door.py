"""The door: inventory data in, a validated `Fleet` out, or every problem at once.

Whoever reads an inventory hands its hosts over as `InventoryHost`: layers of data from the host itself
outwards to the defaults, each with the place it was read from, so that a problem can name its file.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kubenorn.checks import MasterPlaces, cluster_problems, cluster_warnings
from kubenorn.cluster import Cluster, Fleet, Master
from kubenorn.errors import InputWrongError
from kubenorn.problem import Problem
from kubenorn.setting_values import dns_name
from kubenorn.settings import ClusterSettings, MasterSettings, SshSettings

Model = TypeVar("Model", bound=BaseModel)

HIGHEST_PRIORITY, PRIORITY_STEP = 250, 10
"""Priorities not given are 250, 240, 230 … in inventory order: near VRRP's 254, so that a backup waits briefly."""


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
    place: str
    """Where the host itself stands: file and name."""

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
                for name in mapping:
                    if name not in values:
                        values[name] = mapping[name]
                        places[str(name)] = f"{layer.place}.{key}"
        return values, places

    def not_mappings(self, key: str) -> Iterator[Problem]:
        """Yield a problem for each layer in which `key` is something else than a mapping."""
        for layer in self.layers:
            if not isinstance(layer.data.get(key, {}), Mapping | None):
                yield Problem(f"{layer.place}.{key}", None, "is not a mapping of settings")


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
        masters, places = _masters(members, folder, problems)
        if settings is None:
            continue
        place = f"{layer.place}.cluster"
        cluster = Cluster(settings, tuple(masters))
        problems += _collisions(cluster, place, places, clusters)
        clusters[settings.name] = cluster
        problems += cluster_problems(cluster, place, places)
        warnings += [str(warning) for warning in cluster_warnings(cluster, place)]
    if problems:
        raise InputWrongError.of(list(dict.fromkeys(str(problem) for problem in problems)))
    return Fleet(clusters, {name: value for name, value in ssh.items() if value}, tuple(warnings))


def _collisions(
    cluster: Cluster, place: str, places: Mapping[str, MasterPlaces], others: Mapping[str, Cluster]
) -> Iterator[Problem]:
    """Yield what this cluster may not share with those before it: its name and its addresses."""
    if cluster.name in others:
        yield Problem(f"{place}.name", cluster.name, "names two clusters; give each its own")
    taken = {master.address: master.name for other in others.values() for master in other.masters}
    taken |= {other.settings.vip: f"cluster {other.name} (its VIP)" for other in others.values()}
    mine = {f"{place}.vip": cluster.settings.vip}
    mine |= {places[master.name].address: master.address for master in cluster.masters}
    for where, address in mine.items():
        if address in taken:
            yield Problem(where, address, f"is the address of {taken[address]} too; each needs its own")


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
                Problem(f"{host.place}.groups", None, f"lead to two clusters, {names}; a host belongs to one")
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
        problems.append(Problem(f"{layer.place}.cluster", None, "is not a mapping of settings"))
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
    problems += host.not_mappings("ssh")
    values, places = host.merged("ssh")
    return _validated(
        SshSettings,
        values,
        places,
        default_place=f"{host.layers[0].place}.ssh",
        folder=folder,
        problems=problems,
    )


def _masters(
    hosts: Sequence[InventoryHost], folder: Path, problems: list[Problem]
) -> tuple[list[Master], dict[str, MasterPlaces]]:
    """Return the masters with an address and a priority each, and where those stand.

    A host with a problem is left out.
    """
    settings: dict[str, MasterSettings] = {}
    addresses: dict[str, IPv4Address] = {}
    places: dict[str, MasterPlaces] = {}
    for host in hosts:
        problems += host.not_mappings("master")
        problems += _host_name(host)
        values, where = host.merged("master")
        own = f"{host.layers[0].place}.master"
        parsed = _validated(
            MasterSettings, values, where, default_place=own, folder=folder, problems=problems
        )
        if parsed is None:
            continue
        settings[host.name] = parsed
        given = f"{where['address']}.address" if "address" in where else f"{host.place}.hostname"
        places[host.name] = MasterPlaces(given, f"{where.get('vrrp_priority', own)}.vrrp_priority")
        try:
            addresses[host.name] = parsed.address or IPv4Address(host.hostname or host.name)
        except ValueError:
            problems.append(
                Problem(
                    f"{host.place}.hostname",
                    host.hostname,
                    f"is {'no IPv4 address' if host.hostname else 'missing'}; say the host's IPv4 address, "
                    "here or in data.master.address",
                )
            )
    taken = {value.vrrp_priority for value in settings.values()} - {None}
    free = (p for p in range(HIGHEST_PRIORITY, 0, -PRIORITY_STEP) if p not in taken)
    masters = [
        Master(
            name=name,
            address=address,
            vrrp_priority=settings[name].vrrp_priority or next(free, 0),
            interface=settings[name].interface,
        )
        for name, address in addresses.items()
    ]
    return masters, places


def _host_name(host: InventoryHost) -> Iterator[Problem]:
    """Yield what is wrong with a master's name: it names an etcd member, a haproxy server and a certificate."""
    try:
        if len(dns_name(host.name)) > 63:
            yield Problem(host.place, None, "has a name of over 63 characters; certificates cannot hold it")
    except ValueError as error:
        yield Problem(host.place, None, f"is a master whose name {error}; rename it")


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
    location = [str(part) for part in detail["loc"] if part != "[key]"]
    key = ".".join([place, *location])
    value = None if _holds_secret(model, location) else detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            known = _known_keys(model, location[:-1])
            close = difflib.get_close_matches(location[-1], known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            value, message = None, f"is not a setting; {hint}"
        case "missing":
            value, message = None, "is missing; add it"
        case "value_error":
            message = str(context["error"])
        case "literal_error" if "[key]" in detail["loc"]:
            value, message = None, f"is not known; use {context['expected']}"
        case "model_type" | "dict_type" | "model_attributes_type":
            # what stands there instead of a section may well be a password
            value, message = None, "is not a mapping of settings"
        case kind if kind in _WORDS:
            message = _WORDS[kind].format(**context)
        case _:
            message = f"is wrong: {detail['msg'][0].lower()}{detail['msg'][1:]}"
    return Problem(key, value, message)


_WORDS = {
    "string_type": "is not text; put it in quotes",
    "invalid_key": "is a key that is not text; put it in quotes",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is not a whole number of a usual size",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "is not a list",
    "path_type": "is not the name of a file",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
"""By pydantic's type of error."""


def _known_keys(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    nested = _nested_model(model, location)
    return list(nested.model_fields) if nested else []


def _nested_model(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel] | None:
    """Return the settings class at a path of keys, or None where the path leads into a plain mapping."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(part)
            current = field.annotation if field else None
        elif get_origin(current) is dict:
            current = get_args(current)[1]
        else:
            return None
        if get_origin(current) in {Union, UnionType}:
            current = next((arg for arg in get_args(current) if arg is not NoneType), None)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _holds_secret(model: type[BaseModel], location: Sequence[str]) -> bool:
    nested = _nested_model(model, location[:-1])
    field = nested.model_fields.get(location[-1]) if nested and location else None
    return field is not None and "SecretStr" in str(field.annotation)
