"""Opens Nornir for a runbook: configuration, the door, the filter, and how to log in."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.exceptions import PluginNotRegistered
from nornir.core.inventory import Group, Inventory, ParentGroups

from kubenorn.cluster import Cluster, Fleet
from kubenorn.door import InventoryHost, Layer, build_fleet
from kubenorn.drill.scenarios import Hook
from kubenorn.errors import InputWrongError
from kubenorn.inventory import Document, configuration_problems, inventory_problems, read_document
from kubenorn.options import Passwords
from tasks.hooks import Hooks
from tasks.host_filter import select_hosts
from tasks.login import CONNECTION, connection_options, login_of
from tasks.wire import JumpHosts

INVENTORY_FILES = {
    "host_file": "inventory/hosts.yaml",
    "group_file": "inventory/groups.yaml",
    "defaults_file": "inventory/defaults.yaml",
}
SIMPLE_INVENTORY = "SimpleInventory"


@dataclass(frozen=True)
class Session:
    """An open Nornir with its selected hosts, and the validated fleet."""

    nornir: Nornir
    everyone: Nornir
    """The whole inventory, for what concerns a cluster's other masters too."""
    fleet: Fleet
    artifacts: Path
    """Where PKI, secrets and run records of every cluster stand, a folder a cluster."""
    hooks: Hooks
    """The operator's own commands for what no host can do to itself."""

    @property
    def hosts(self) -> list[str]:
        """Names of the selected hosts, in inventory order."""
        return list(self.nornir.inventory.hosts)

    @property
    def clusters(self) -> list[Cluster]:
        """The clusters that have a selected host, in inventory order."""
        names = {self.fleet.cluster_of(host).name for host in self.hosts}
        return [cluster for name, cluster in self.fleet.clusters.items() if name in names]


def open_session(
    config: Path, filters: Sequence[str], *, workers: int | None = None, passwords: Passwords | None = None
) -> Session:
    """Return a session on the hosts the filters select.

    Raises InputWrongError with every problem of configuration, inventory and filters.
    """
    configuration = _read_configuration(config)
    folder = config.resolve().parent
    given = configuration.get("inventory") or {}
    options = {**(given.get("options") or {}), **_inventory_files(given.get("options") or {}, folder)}
    if given.get("plugin", SIMPLE_INVENTORY) == SIMPLE_INVENTORY:
        _check_inventory(options)
    if workers is not None:
        configuration["runner"] = {"plugin": "threaded", "options": {"num_workers": workers}}
    configuration["inventory"] = {**given, "options": options}
    if configuration.get("logging") is None:
        configuration["logging"] = {"enabled": False}
    # Nornir logs a traceback of every failed task; without a handler Python would print it.
    logging.getLogger("nornir").addHandler(logging.NullHandler())
    try:
        nornir = InitNornir(**configuration)
    except (OSError, LookupError, TypeError, ValueError, AttributeError, PluginNotRegistered) as error:
        raise InputWrongError(f"{config}: Nornir cannot use it: {_one_line(error)}.") from error
    fleet = build_fleet(list(inventory_hosts(nornir.inventory, options)), folder)
    selected = select_hosts(nornir, filters)
    _refuse_others(selected, fleet)
    jumps = JumpHosts()
    for name in [master.name for cluster in fleet.clusters.values() for master in cluster.masters]:
        host = nornir.inventory.hosts[name]
        login = login_of(host, fleet.ssh[name], passwords or Passwords(), jumps)
        host.connection_options[CONNECTION] = connection_options(login)
    own = configuration.get("user_defined") or {}
    artifacts = folder / Path(own.get("artifacts") or "artifacts").expanduser()
    hooks = Hooks({Hook(name): line for name, line in (own.get("hooks") or {}).items()}, folder)
    return Session(selected, nornir, fleet, artifacts, hooks)


def _read_configuration(config: Path) -> dict[str, Any]:
    try:
        document = read_document(config, str(config))
    except OSError as error:
        raise InputWrongError(
            f"{config}: cannot be read ({error.strerror}); say where it is with --config."
        ) from error
    problems = [str(problem) for problem in configuration_problems(document)]
    if problems:
        raise InputWrongError.of(problems)
    return dict(document.data)


def _inventory_files(options: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the inventory files as absolute paths: relative ones are relative to the configuration's folder."""
    return {
        key: str(folder / Path(options.get(key) or name).expanduser())
        for key, name in INVENTORY_FILES.items()
    }


def _check_inventory(options: Mapping[str, str]) -> None:
    """Raise InputWrongError with whatever Nornir would not understand in the inventory's files, or ignore."""
    documents: dict[str, Document] = {}
    problems: list[str] = []
    for key in INVENTORY_FILES:
        path, place = Path(options[key]), _shown(options[key])
        try:
            documents[key] = read_document(path, place)
        except FileNotFoundError:
            documents[key] = Document(place, None)
            if key == "host_file":
                problems.append(
                    f"{place}: is missing; name it in inventory.options.{key} of the configuration."
                )
        except OSError as error:
            problems.append(f"{place}: cannot be read ({error.strerror}).")
        except InputWrongError as error:
            problems.append(str(error))
    if not problems:
        problems += map(str, inventory_problems(*(documents[key] for key in INVENTORY_FILES)))
    if problems:
        raise InputWrongError.of(problems)


def _shown(path: str) -> str:
    """Return the path as messages give it: relative where that is shorter."""
    return min(path, os.path.relpath(path), key=len)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def inventory_hosts(inventory: Inventory, options: Mapping[str, str]) -> Iterator[InventoryHost]:
    """Yield the inventory's hosts with their layers of data and the place of each."""
    files = {key: _shown(options[key]) for key in INVENTORY_FILES}
    defaults = Layer(f"{files['defaults_file']}: data", inventory.defaults.data or {})
    for name, host in inventory.hosts.items():
        place = f"{files['host_file']}: {name}"
        groups = [
            Layer(f"{files['group_file']}: {group.name}.data", group.data or {}, group.name)
            for group in _groups(host.groups)
        ]
        own = Layer(f"{place}.data", host.data or {})
        yield InventoryHost(name, host.hostname, [own, *groups, defaults], place)


def _groups(groups: ParentGroups) -> Iterator[Group]:
    """Yield groups and their parents in the order in which Nornir looks values up."""
    for group in groups:
        yield group
        yield from _groups(group.groups)


def _refuse_others(selected: Nornir, fleet: Fleet) -> None:
    """Raise InputWrongError when a selected host is no master of a cluster, with the reason."""
    masters = {master.name for cluster in fleet.clusters.values() for master in cluster.masters}
    reasons = {
        name: "is in no group with a cluster mapping"
        if host.get("role") == "master"
        else "has no role: master"
        for name, host in selected.inventory.hosts.items()
        if name not in masters
    }
    if reasons:
        raise InputWrongError.of(
            [
                f"{name} is selected but {reason}; correct its data or narrow the selection, "
                "for example with --filter role=master."
                for name, reason in reasons.items()
            ]
        )
