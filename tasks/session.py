"""Opens Nornir for a runbook: configuration, the door, the filter, and how to log in."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.inventory import Group, Host, Inventory, ParentGroups
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kubenorn.cluster import Cluster, Fleet
from kubenorn.door import InventoryHost, Layer, build_fleet
from kubenorn.errors import InputWrongError
from kubenorn.options import Passwords
from tasks.host_filter import select_hosts
from tasks.login import CONNECTION, connection_options, login_of
from tasks.wire import JumpHosts

INVENTORY_FILES = {
    "host_file": "inventory/hosts.yaml",
    "group_file": "inventory/groups.yaml",
    "defaults_file": "inventory/defaults.yaml",
}


@dataclass(frozen=True)
class Session:
    """An open Nornir with its selected hosts, and the validated fleet."""

    nornir: Nornir
    fleet: Fleet
    artifacts: Path
    """Where PKI, secrets and run records of every cluster stand, a folder a cluster."""

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
    options = _inventory_options(configuration, folder)
    if workers is not None:
        configuration["runner"] = {"plugin": "threaded", "options": {"num_workers": workers}}
    configuration["inventory"] = {**configuration.get("inventory", {}), "options": options}
    configuration.setdefault("logging", {"enabled": False})
    # Nornir logs a traceback of every failed task; without a handler Python would print it.
    logging.getLogger("nornir").addHandler(logging.NullHandler())
    try:
        nornir = InitNornir(**configuration)
    except YAMLError as error:
        raise InputWrongError(f"the inventory beside {config} is not YAML: {_one_line(error)}.") from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputWrongError(
            f"{config}: Nornir cannot load the inventory ({type(error).__name__}: {_one_line(error)})."
        ) from error
    _refuse_passwords(nornir.inventory, options)
    fleet = build_fleet(list(inventory_hosts(nornir.inventory, options)), folder)
    selected = select_hosts(nornir, filters)
    outside = [name for name in selected.inventory.hosts if not _is_master(fleet, name)]
    if outside:
        raise InputWrongError(
            f"{', '.join(outside)} selected but no master of a cluster: give it role: master and a group "
            "with a cluster mapping, or narrow --filter (for example --filter role=master)."
        )
    jumps = JumpHosts()
    for name, host in selected.inventory.hosts.items():
        login = login_of(host, fleet.ssh[name], passwords or Passwords(), jumps)
        host.connection_options[CONNECTION] = connection_options(login)
    artifacts = folder / str(configuration.get("user_defined", {}).get("artifacts", "artifacts"))
    return Session(selected, fleet, artifacts)


def _read_configuration(config: Path) -> dict[str, Any]:
    try:
        loaded = YAML(typ="safe").load(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputWrongError(
            f"{config}: cannot be read ({error.strerror}); say where it is with --config."
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputWrongError(f"{config}: is not YAML: {_one_line(error)}.") from error
    if not isinstance(loaded, dict):
        raise InputWrongError(f"{config}: is not a mapping; see Nornir's configuration, or copy the example.")
    return loaded


def _inventory_options(configuration: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return the inventory files as absolute paths: relative ones are relative to the configuration's folder."""
    given = configuration.get("inventory", {}).get("options", {})
    options = {key: str(folder / Path(given.get(key, name))) for key, name in INVENTORY_FILES.items()}
    if not Path(options["host_file"]).is_file():
        raise InputWrongError(
            f"{options['host_file']}: is missing; name the inventory in inventory.options of the configuration."
        )
    return {**given, **options}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def inventory_hosts(inventory: Inventory, options: dict[str, str]) -> Iterator[InventoryHost]:
    """Yield the inventory's hosts with their layers of data and the place of each."""
    files = {key: os.path.relpath(path) for key, path in options.items() if key in INVENTORY_FILES}
    defaults = Layer(f"{files['defaults_file']}: data", inventory.defaults.data or {})
    for name, host in inventory.hosts.items():
        own = Layer(f"{files['host_file']}: {name}.data", host.data or {})
        groups = [
            Layer(f"{files['group_file']}: {group.name}.data", group.data or {}, group.name)
            for group in _groups(host.groups)
        ]
        yield InventoryHost(name, host.get("hostname"), [own, *groups, defaults])


def _groups(groups: ParentGroups) -> Iterator[Group]:
    """Yield groups and their parents in the order in which Nornir looks values up."""
    for group in groups:
        yield group
        yield from _groups(group.groups)


def _refuse_passwords(inventory: Inventory, options: dict[str, str]) -> None:
    elements: list[Host | Group] = [*inventory.hosts.values(), *inventory.groups.values()]
    names = [element.name for element in elements if element.password]
    names += ["defaults"] if inventory.defaults.password else []
    if names:
        raise InputWrongError(
            f"{os.path.relpath(options['host_file'])} and its groups: password of {', '.join(names)} stands in "
            "clear text; remove it and use a key, --ask-password or KUBENORN_SSH_PASSWORD."
        )


def _is_master(fleet: Fleet, name: str) -> bool:
    return any(master.name == name for cluster in fleet.clusters.values() for master in cluster.masters)
