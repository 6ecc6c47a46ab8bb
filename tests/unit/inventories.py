"""Inventory folders as operators write them, right or wrong."""

import json
from pathlib import Path
from typing import Any

from kubenorn.errors import InputWrongError
from tasks.session import Session, open_session
from tests.unit.builders import cluster_data

REMOVED: Any = object()
"""As a value of a change: the key is taken away, or the file is not written."""


def documents() -> dict[str, Any]:
    """Return the content of the four files of a good inventory of three masters."""
    hosts = {
        f"m{n}": {"hostname": f"192.168.80.{6 + n}", "groups": ["production"], "data": {"role": "master"}}
        for n in (1, 2, 3)
    }
    options = {name: f"{name.partition('_')[0]}s.yaml" for name in ("host_file", "group_file")}
    return {
        "config": {
            "inventory": {
                "plugin": "SimpleInventory",
                "options": {**options, "defaults_file": "defaults.yaml"},
            },
            "logging": {"enabled": False},
        },
        "hosts": hosts,
        "groups": {"production": {"data": {"cluster": cluster_data(name="production")}}},
        "defaults": {"username": "root", "data": {"ssh": {"known_hosts": "known_hosts"}}},
    }


def write_inventory(folder: Path, changes: dict[str, Any]) -> Path:
    """Write a good inventory with `changes` and return its config.yaml.

    A change's key is a path such as `hosts.m1.hostname` or `cluster.vip`; a whole file may be given as text.
    """
    files = documents()
    for path, value in changes.items():
        keys = path.replace("cluster.", "groups.production.data.cluster.").split(".")
        parent: Any = files
        for key in keys[:-1]:
            parent = parent.setdefault(key, {})
        if value is REMOVED:
            del parent[keys[-1]]
        else:
            parent[keys[-1]] = value
    for name, content in files.items():
        # JSON is YAML too, and written a hundred times as fast
        text = content if isinstance(content, str | bytes) else json.dumps(content).replace("NaN", ".nan")
        (folder / f"{name}.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / "config.yaml"


def opened(folder: Path, changes: dict[str, Any] | None = None, *filters: str) -> Session:
    return open_session(write_inventory(folder, changes or {}), filters)


def complaints(folder: Path, changes: dict[str, Any], *filters: str) -> list[str]:
    """Return the lines of the error, paths relative to the inventory; none when it is accepted."""
    try:
        opened(folder, changes, *filters)
    except InputWrongError as error:
        return str(error).replace(f"{folder}/", "").splitlines()
    return []
