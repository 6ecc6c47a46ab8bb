"""The ready-made Nornir inventory in a lab's folder."""

import hashlib
import shlex
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lab.binaries import Versions
from lab.facts import Facts
from lab.keys import CLIENT_KEY, KNOWN_HOSTS
from lab.tools import write_atomically

HOOKS = {"freeze": "freeze", "thaw": "thaw", "power_off": "off", "power_on": "on"}
"""The drill's hooks, and the lab's verbs that do them."""


def documents(facts: Facts, folder: Path, binaries: Path, versions: Versions) -> dict[str, dict[str, Any]]:
    """Return the inventory's files by name, as plain data. config.yaml's paths are relative to its folder."""
    cluster = {
        "name": facts.name,
        "vip": facts.vip,
        "service_cidr": "10.254.0.0/16",
        "pod_cidr": "172.30.0.0/16",
        "kubernetes_version": versions.kubernetes,
        "etcd": {"version": versions.etcd},
        "vrrp": {"router_id": 68},
        "binaries": {"source": str(binaries)},
    }
    ssh = {"key_file": str(folder / CLIENT_KEY), "known_hosts": str(folder / KNOWN_HOSTS)}
    return {
        "config.yaml": {
            "inventory": {
                "plugin": "SimpleInventory",
                "options": {
                    "host_file": "hosts.yaml",
                    "group_file": "groups.yaml",
                    "defaults_file": "defaults.yaml",
                },
            },
            "runner": {"plugin": "threaded", "options": {"num_workers": 20}},
            "logging": {"enabled": False},
            "user_defined": {
                "hooks": {
                    name: f"{shlex.quote(sys.executable)} -m lab {verb} --name {facts.name} {{host}}"
                    for name, verb in HOOKS.items()
                }
            },
        },
        "hosts.yaml": {
            host.name: {"hostname": host.address, "groups": [facts.name], "data": {"role": "master"}}
            for host in facts.hosts
        },
        "groups.yaml": {facts.name: {"username": "root", "data": {"cluster": cluster, "ssh": ssh}}},
        "defaults.yaml": {},
    }


def write(folder: Path, files: dict[str, dict[str, Any]], written: dict[str, str]) -> dict[str, str]:
    """Write those files that are missing or whose content the lab would write differently than last time.

    written holds the digests of what the lab wrote last; an operator's edits are kept as long as these stay
    the same. Returns the new digests.
    """
    digests = {}
    for name, data in files.items():
        text = as_yaml(data)
        digests[name] = hashlib.sha256(text.encode()).hexdigest()
        if written.get(name) != digests[name] or not (folder / name).exists():
            write_atomically(folder / name, text)
    return digests


def as_yaml(data: dict[str, Any]) -> str:
    """Return data as a YAML document in block style."""
    yaml = YAML()
    yaml.default_flow_style = False
    text = StringIO()
    yaml.dump(data, text)
    return f"---\n{text.getvalue()}"
