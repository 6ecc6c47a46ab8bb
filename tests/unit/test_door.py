"""Bad input: one clear sentence each, with file, key, value and remedy, and all of them at once."""

from pathlib import Path
from typing import Any

import pytest

from kubenorn.errors import ExitCode, InputWrongError
from kubenorn.problem import Problem
from tests.unit.builders import cluster_data
from tests.unit.inventories import REMOVED, complaints, opened

CLUSTER = "groups.yaml: production.data.cluster"
IN_CLEAR = "stands in clear text; remove it and use a key, --ask-password or KUBENORN_SSH_PASSWORD."
NO_MAPPING = "is not a mapping of settings."
NO_ADDRESS = "is not an IPv4 address, such as 192.168.80.13."
NO_NETWORK = "is not an IPv4 network, such as 10.254.0.0/16."
NO_DNS_NAME = "is not a DNS name (letters, digits and - in labels of 1 to 63 characters, RFC 1123)"
DOT = "ends in a dot; X.509 DNS names have no trailing dot, remove it."
NO_RANGE = "is not a port range; write FIRST-LAST, such as 30000-32767."
WRONG_TYPES: tuple[Any, ...] = (None, [], "geheim", 5)
MASTER = {"groups": ["production"], "data": {"role": "master"}}


@pytest.fixture(autouse=True)
def _in_the_inventory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name files relative to the working folder, where that is shorter."""
    if "tmp_path" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))


# id: (changes, the only line that is to be said)
SINGLE: dict[str, tuple[dict[str, Any], str]] = {
    # settings of the cluster
    "unknown key": ({"cluster.vpi": "1"}, f"{CLUSTER}.vpi is not a setting; did you mean vip?"),
    "unknown key, nested": (
        {"cluster.pki": {"key_tpe": 1}},
        f"{CLUSTER}.pki.key_tpe is not a setting; did you mean key_type?",
    ),
    "unknown key, like none": (
        {"cluster.vrrp": {"router_id": 1, "zzz": 1}},
        f"{CLUSTER}.vrrp.zzz is not a setting; known are advert_interval, mode, password, preempt, router_id, "
        "version.",
    ),
    "unknown key within a mapping": (
        {"cluster.pki": {"authorities": {"ca": {"certificate": "a", "key": "b", "kye": 1}}}},
        f"{CLUSTER}.pki.authorities.ca.kye is not a setting; did you mean key?",
    ),
    "unknown authority": (
        {"cluster.pki": {"authorities": {"root": {"certificate": "a", "key": "b"}}}},
        f"{CLUSTER}.pki.authorities.root is not known; use 'ca', 'etcd-ca' or 'front-proxy-ca'.",
    ),
    "missing key": ({"cluster.vip": REMOVED}, f"{CLUSTER}.vip is missing; add it."),
    "name": (
        {"cluster.name": "../x"},
        f"{CLUSTER}.name = '../x' is not a name; use letters, digits, dots, - and _, 63 at most.",
    ),
    "VIP of a host": (
        {"cluster.vip": "192.168.80.8"},
        f"{CLUSTER}.vip = 192.168.80.8 is the address of host m2; the VIP must be an address no host has.",
    ),
    "VIP no address": ({"cluster.vip": "abc"}, f"{CLUSTER}.vip = 'abc' {NO_ADDRESS}"),
    "VIP a number": ({"cluster.vip": 5}, f"{CLUSTER}.vip = 5 {NO_ADDRESS}"),
    "VIP a list": ({"cluster.vip": ["192.168.80.13"]}, f"{CLUSTER}.vip {NO_ADDRESS}"),
    "VIP with a prefix": ({"cluster.vip": "10.0.0.1/24"}, f"{CLUSTER}.vip = '10.0.0.1/24' {NO_ADDRESS}"),
    "overlap": (
        {"cluster.pod_cidr": "10.254.0.0/17"},
        f"{CLUSTER}.service_cidr = 10.254.0.0/16 overlaps pod_cidr 10.254.0.0/17; choose networks apart.",
    ),
    "network with a host": (
        {"cluster.service_cidr": "192.168.80.4/30"},
        f"{CLUSTER}.service_cidr = 192.168.80.4/30 contains 192.168.80.7 of m1; "
        "choose a network no host is in.",
    ),
    "network no network": ({"cluster.pod_cidr": "10.1"}, f"{CLUSTER}.pod_cidr = '10.1' {NO_NETWORK}"),
    "network a number": ({"cluster.pod_cidr": 5}, f"{CLUSTER}.pod_cidr = 5 {NO_NETWORK}"),
    "address within a network": (
        {"cluster.pod_cidr": "172.30.0.1/16"},
        f"{CLUSTER}.pod_cidr = '172.30.0.1/16' is an address within a network; did you mean 172.30.0.0/16?",
    ),
    "pod network too small": (
        {"cluster.pod_cidr": "172.30.0.0/25"},
        f"{CLUSTER}.pod_cidr = 172.30.0.0/25 must have a prefix of 8 to 24 bits; "
        "kube-controller-manager gives each node a /24 of it.",
    ),
    "service network too large": (
        {"cluster.service_cidr": "10.0.0.0/8"},
        f"{CLUSTER}.service_cidr = 10.0.0.0/8 must have a prefix of 12 to 30 bits; "
        "kube-apiserver allows at most 20 bits of service addresses.",
    ),
    "SAN with a dot": (
        {"cluster.extra_sans": ["a.example."]},
        f"{CLUSTER}.extra_sans.0 = 'a.example.' {DOT}",
    ),
    "domain with a dot": (
        {"cluster.cluster_domain": "a.example."},
        f"{CLUSTER}.cluster_domain = 'a.example.' {DOT}",
    ),
    "domain with a wildcard": (
        {"cluster.cluster_domain": "*.example"},
        f"{CLUSTER}.cluster_domain = '*.example' {NO_DNS_NAME}.",
    ),
    "SAN almost an address": (
        {"cluster.extra_sans": ["ok.example", "10.0.0.300"]},
        f"{CLUSTER}.extra_sans.1 = '10.0.0.300' is neither an IPv4 address nor a DNS name, "
        "whose last label is no number.",
    ),
    "version too old": (
        {"cluster.kubernetes_version": "1.7.16"},
        f"{CLUSTER}.kubernetes_version = '1.7.16' is not supported; supported are 1.8 to 1.34.",
    ),
    "version too new": (
        {"cluster.kubernetes_version": "1.99.0"},
        f"{CLUSTER}.kubernetes_version = '1.99.0' is not supported; supported are 1.8 to 1.34.",
    ),
    "version a float": (
        {"cluster.kubernetes_version": 1.25},
        f'{CLUSTER}.kubernetes_version = 1.25 is not text; put the version in quotes, such as "1.20.2".',
    ),
    "version too short": (
        {"cluster.kubernetes_version": "1.20"},
        f"{CLUSTER}.kubernetes_version = '1.20' is not a version; write all three numbers, such as 1.20.2.",
    ),
    "etcd version a float": (
        {"cluster.etcd": {"version": 3.4}},
        f"{CLUSTER}.etcd.version = 3.4 is not text; put it in quotes.",
    ),
    "etcd version too short": (
        {"cluster.etcd": {"version": "3.4"}},
        f"{CLUSTER}.etcd.version = '3.4' is not a version; write all three numbers, such as 3.4.13.",
    ),
    "etcd endpoint without TLS": (
        {"cluster.etcd": {"endpoints": ["http://10.0.0.1:2379"]}},
        f"{CLUSTER}.etcd.endpoints.0 = 'http://10.0.0.1:2379' is not an endpoint, "
        "such as https://192.168.90.1:2379.",
    ),
    "etcd endpoints of a managed etcd": (
        {"cluster.etcd": {"endpoints": ["https://10.0.0.1:2379"]}},
        f"{CLUSTER}.etcd.endpoints is for external etcd; remove it or set mode: external.",
    ),
    "VRRP id too high": (
        {"cluster.vrrp": {"router_id": 256}},
        f"{CLUSTER}.vrrp.router_id = 256 must be at most 255.",
    ),
    "VRRP id too low": (
        {"cluster.vrrp": {"router_id": 0}},
        f"{CLUSTER}.vrrp.router_id = 0 must be at least 1.",
    ),
    "VRRP id no number": (
        {"cluster.vrrp": {"router_id": "x"}},
        f"{CLUSTER}.vrrp.router_id = 'x' is not a whole number.",
    ),
    "VRRP id a boolean": (
        {"cluster.vrrp": {"router_id": True}},
        f"{CLUSTER}.vrrp.router_id = true is not a whole number.",
    ),
    "VRRP id a fraction": (
        {"cluster.vrrp": {"router_id": 1.5}},
        f"{CLUSTER}.vrrp.router_id = 1.5 is not a whole number.",
    ),
    "VRRP mode": (
        {"cluster.vrrp": {"router_id": 1, "mode": "broadcast"}},
        f"{CLUSTER}.vrrp.mode = 'broadcast' must be 'unicast' or 'multicast'.",
    ),
    "preempt": (
        {"cluster.vrrp": {"router_id": 1, "preempt": "perhaps"}},
        f"{CLUSTER}.vrrp.preempt = 'perhaps' must be true or false.",
    ),
    "VRRP interval": (
        {"cluster.vrrp": {"router_id": 1, "advert_interval": "soon"}},
        f"{CLUSTER}.vrrp.advert_interval = 'soon' is not a number.",
    ),
    "VRRP interval not a number": (
        {"cluster.vrrp": {"router_id": 1, "advert_interval": float("nan")}},
        f"{CLUSTER}.vrrp.advert_interval = nan must be at most 255.0.",
    ),
    "VRRP 2 in fractions of seconds": (
        {"cluster.vrrp": {"router_id": 1, "version": 2}},
        f"{CLUSTER}.vrrp.advert_interval = 0.2 must be whole seconds with version: 2 (RFC 3768).",
    ),
    "VRRP 3 with a password": (
        {"cluster.vrrp": {"router_id": 1, "password": "geheim"}},
        f"{CLUSTER}.vrrp.password needs version: 2; VRRP 3 has no passwords (RFC 5798).",
    ),
    "VRRP password too long": (
        {"cluster.vrrp": {"router_id": 1, "version": 2, "advert_interval": 1, "password": "geheimgeheim"}},
        f"{CLUSTER}.vrrp.password is longer than the 8 characters keepalived uses.",
    ),
    "VRRP password with a comment": (
        {"cluster.vrrp": {"router_id": 1, "version": 2, "advert_interval": 1, "password": "geheim#"}},
        f"{CLUSTER}.vrrp.password is empty or has characters that need quotes; "
        "use letters, digits and - _ . : + / = , % ^ * @ ~.",
    ),
    "VRRP password a number": (
        {"cluster.vrrp": {"router_id": 1, "password": 12345678}},
        f"{CLUSTER}.vrrp.password is not text; put it in quotes.",
    ),
    "port used twice": (
        {"cluster.vip_port": 6443},
        f"{CLUSTER}.apiserver_port = 6443 is vip_port too; both listen on every master.",
    ),
    "port of a component": (
        {"cluster.vip_port": 2379},
        f"{CLUSTER}.vip_port = 2379 is the port of etcd; choose another.",
    ),
    "port of an old component": (
        {"cluster.vip_port": 10252, "cluster.kubernetes_version": "1.8.4"},
        f"{CLUSTER}.vip_port = 10252 is the port of kube-controller-manager; choose another.",
    ),
    "port among the NodePorts": (
        {"cluster.vip_port": 30000},
        f"{CLUSTER}.vip_port = 30000 lies in node_port_range 30000-32767; choose one outside.",
    ),
    "port a boolean": ({"cluster.vip_port": True}, f"{CLUSTER}.vip_port = true is not a whole number."),
    "port out of range": ({"cluster.vip_port": 65536}, f"{CLUSTER}.vip_port = 65536 must be at most 65535."),
    "NodePorts a number": (
        {"cluster.node_port_range": 30000},
        f"{CLUSTER}.node_port_range = 30000 {NO_RANGE}",
    ),
    "NodePorts a list": ({"cluster.node_port_range": [1, 2]}, f"{CLUSTER}.node_port_range {NO_RANGE}"),
    "NodePorts backwards": (
        {"cluster.node_port_range": "3-1"},
        f"{CLUSTER}.node_port_range = '3-1' ends before it begins; write FIRST-LAST, such as 30000-32767.",
    ),
    "key type": (
        {"cluster.pki": {"key_type": "dsa"}},
        f"{CLUSTER}.pki.key_type = 'dsa' must be 'rsa-2048', 'rsa-4096' or 'ecdsa-p256'.",
    ),
    "renewed at once": (
        {"cluster.pki": {"renew_before_days": 365}},
        f"{CLUSTER}.pki.renew_before_days = 365 is not less than certificate_days 365; "
        "every run would reissue.",
    ),
    "directory relative": (
        {"cluster.directories": {"logs": "logs"}},
        f"{CLUSTER}.directories.logs = 'logs' is not a plain absolute path on the host, such as /etc/kubernetes.",
    ),
    "directory with a space": (
        {"cluster.directories": {"logs": "/a b"}},
        f"{CLUSTER}.directories.logs = '/a b' is not a plain absolute path on the host, such as /etc/kubernetes.",
    ),
    "elections too early": (
        {"cluster.etcd": {"heartbeat_interval": 0.1}},
        f"{CLUSTER}.etcd.election_timeout = '400 ms' is less than 5 times heartbeat_interval 100 ms; "
        "etcd refuses that.",
    ),
    "elections too early by an argument": (
        {"cluster.extra_arguments": {"etcd": {"election-timeout": "100"}}},
        f"{CLUSTER}.etcd.election_timeout = '100 ms' is less than 5 times heartbeat_interval 50 ms; "
        "etcd refuses that.",
    ),
    "arguments of an unknown component": (
        {"cluster.extra_arguments": {"kube-proxy": {}}},
        f"{CLUSTER}.extra_arguments.kube-proxy is not known; "
        "use 'etcd', 'kube-apiserver', 'kube-controller-manager' or 'kube-scheduler'.",
    ),
    "argument a number": (
        {"cluster.extra_arguments": {"etcd": {"v": 4}}},
        f"{CLUSTER}.extra_arguments.etcd.v = 4 is not text; put it in quotes.",
    ),
    "argument with dashes": (
        {"cluster.extra_arguments": {"etcd": {"--v": "4"}}},
        f"{CLUSTER}.extra_arguments.etcd has '--v', which is no flag's name; "
        "write it without the leading dashes.",
    ),
    "argument of two lines": (
        {"cluster.extra_arguments": {"etcd": {"v": "4\n[Unit]"}}},
        f"{CLUSTER}.extra_arguments.etcd has a line break or control character in v; "
        "a systemd unit cannot hold it.",
    ),
    "checksum": (
        {"cluster.binaries": {"source": "x", "checksums": {"etcd": "abc"}}},
        f"{CLUSTER}.binaries.checksums.etcd = 'abc' is not sha256:HEX or sha512:HEX.",
    ),
    # sections of the wrong type, which may well hold a secret
    **{
        f"{key} is {value!r}": ({f"cluster.{key}": value}, f"{CLUSTER}.{key} {NO_MAPPING}")
        for key in ("vrrp", "pki", "binaries", "etcd", "haproxy", "extra_arguments", "directories")
        for value in WRONG_TYPES
    },
    **{
        f"cluster is {value!r}": (
            {"groups.production.data": {"cluster": value}},
            f"{CLUSTER} {NO_MAPPING}",
        )
        for value in (*WRONG_TYPES, ["geheim"])
    },
    "statistics in one word": (
        {"cluster.haproxy": {"statistics": "admin:geheim"}},
        f"{CLUSTER}.haproxy.statistics {NO_MAPPING}",
    ),
    "statistics without a password": (
        {"cluster.haproxy": {"statistics": {"username": "a"}}},
        f"{CLUSTER}.haproxy.statistics.password is missing; add it.",
    ),
    "statistics password empty": (
        {"cluster.haproxy": {"statistics": {"username": "a", "password": ""}}},
        f"{CLUSTER}.haproxy.statistics.password is empty or has characters that need quotes; "
        "use letters, digits and - _ . : + / = , % ^ * @ ~.",
    ),
    # hosts and groups
    "address of two hosts": (
        {"hosts.m2.hostname": "192.168.80.7"},
        "hosts.yaml: m2.hostname = 192.168.80.7 is the address of m1 too; each host needs its own.",
    ),
    "address of two hosts, given": (
        {"hosts.m3.data.master": {"address": "192.168.80.7"}},
        "hosts.yaml: m3.data.master.address = 192.168.80.7 is the address of m1 too; each host needs its own.",
    ),
    "priority of two hosts": (
        {"hosts.m1.data.master": {"vrrp_priority": 50}, "hosts.m2.data.master": {"vrrp_priority": 50}},
        "hosts.yaml: m2.data.master.vrrp_priority = 50 is the VRRP priority of m1 too; "
        "give each host its own (1 to 254).",
    ),
    "priority out of range": (
        {"hosts.m1.data.master": {"vrrp_priority": 255}},
        "hosts.yaml: m1.data.master.vrrp_priority = 255 must be at most 254.",
    ),
    "interface": (
        {"hosts.m1.data.master": {"interface": "eth0 {"}},
        "hosts.yaml: m1.data.master.interface = 'eth0 {' is not the name of a network interface, such as eth0.",
    ),
    "hostname a name": (
        {"hosts.m1.hostname": "m1.example"},
        "hosts.yaml: m1.hostname = 'm1.example' is no IPv4 address; say the host's IPv4 address, here or in "
        "data.master.address.",
    ),
    "no hostname": (
        {"hosts.m1.hostname": REMOVED},
        "hosts.yaml: m1.hostname is missing; say the host's IPv4 address, here or in data.master.address.",
    ),
    "master with a space": (
        {"hosts.m 4": {"hostname": "192.168.80.10", **MASTER}, "hosts.m3": REMOVED},
        f"hosts.yaml: m 4 is a master whose name {NO_DNS_NAME}; rename it.",
    ),
    "master with an underscore": (
        {"hosts.m_4": {"hostname": "192.168.80.10", **MASTER}, "hosts.m3": REMOVED},
        f"hosts.yaml: m_4 is a master whose name {NO_DNS_NAME}; rename it.",
    ),
    **{
        f"{key} is {value!r}": (
            {f"hosts.m1.data.{key}": value},
            f"hosts.yaml: m1.data.{key} {NO_MAPPING}",
        )
        for key in ("master", "ssh")
        for value in WRONG_TYPES[1:]
    },
    "two clusters": (
        {
            "groups.other": {"data": {"cluster": cluster_data(name="other")}},
            "hosts.m1.groups": ["production", "other"],
        },
        "hosts.yaml: m1.groups lead to two clusters, production and other; a host belongs to one.",
    ),
    "cluster of a host": (
        {"hosts.m1.data.cluster": {}},
        "hosts.yaml: m1.data.cluster stands outside a group; a cluster is a group's.",
    ),
    "cluster of the defaults": (
        {"defaults.data.cluster": {}},
        "defaults.yaml: data.cluster stands outside a group; a cluster is a group's.",
    ),
    "password in SSH's settings": (
        {"hosts.m1.data.ssh": {"password": "geheim"}},
        "hosts.yaml: m1.data.ssh.password is not a setting; known are config_file, connect_timeout, jump_host, "
        "key_file, known_hosts, use_agent.",
    ),
    # shape of the files
    "password of a host": ({"hosts.m1.password": "geheim"}, f"hosts.yaml: m1.password {IN_CLEAR}"),
    "password of a group": (
        {"groups.production.password": "geheim"},
        f"groups.yaml: production.password {IN_CLEAR}",
    ),
    "password of the defaults": ({"defaults.password": "geheim"}, f"defaults.yaml: password {IN_CLEAR}"),
    "password of a connection": (
        {"hosts.m1.connection_options": {"netmiko": {"password": "geheim"}}},
        f"hosts.yaml: m1.connection_options.netmiko.password {IN_CLEAR}",
    ),
    "sudo password of a connection": (
        {"defaults.connection_options": {"netmiko": {"extras": {"secret": "geheim"}}}},
        f"defaults.yaml: connection_options.netmiko.extras.secret {IN_CLEAR}",
    ),
    "connection options a list": (
        {"hosts.m1.connection_options": {"netmiko": []}},
        "hosts.yaml: m1.connection_options.netmiko is not a mapping.",
    ),
    "missing group": (
        {"hosts.m1.groups": ["productoin"]},
        "hosts.yaml: m1.groups = 'productoin' is no group of groups.yaml; did you mean production?",
    ),
    "missing group of a group": (
        {"groups.production.groups": ["x"]},
        "groups.yaml: production.groups = 'x' is no group of groups.yaml; known are production.",
    ),
    "groups as text": (
        {"hosts.m1.groups": "production"},
        "hosts.yaml: m1.groups = 'production' is not a list; write [production].",
    ),
    "groups as a mapping": (
        {"hosts.m1.groups": {"production": None}},
        "hosts.yaml: m1.groups is not a list; write [production].",
    ),
    "group in a circle": (
        {"groups.production.groups": ["production"]},
        "groups.yaml: production.groups lead back to production itself; break the circle.",
    ),
    "key in the wrong place": (
        {"hosts.m1.role": "master"},
        "hosts.yaml: m1.role is not a key of a host; write it under data.",
    ),
    "misspelt key of a host": (
        {"hosts.m1.hostnmae": "1"},
        "hosts.yaml: m1.hostnmae is not a key of a host; did you mean hostname?",
    ),
    "key of the defaults": (
        {"defaults.groups": ["production"]},
        "defaults.yaml: groups is not a key of a default; write it under data.",
    ),
    "hostname a number": (
        {"hosts.m1.hostname": 5},
        "hosts.yaml: m1.hostname = 5 is not text; put it in quotes.",
    ),
    "SSH port as text": ({"hosts.m1.port": "22"}, "hosts.yaml: m1.port = '22' is not a whole number."),
    **{
        f"data is {value!r}": ({"hosts.m1.data": value}, "hosts.yaml: m1.data is not a mapping.")
        for value in (*WRONG_TYPES[1:], [1], False)
    },
    "data of a group": ({"groups.production.data": []}, "groups.yaml: production.data is not a mapping."),
    "data of the defaults": ({"defaults.data": "x"}, "defaults.yaml: data is not a mapping."),
    "empty host": ({"hosts.m1": None}, "hosts.yaml: m1 is empty, not a mapping; see Nornir's inventory."),
    "group a list": (
        {"groups.other": []},
        "groups.yaml: other is a list, not a mapping; see Nornir's inventory.",
    ),
    "hosts a list": ({"hosts": "- m1\n"}, "hosts.yaml is a list, not a mapping of hosts by name."),
    "hosts empty": ({"hosts": ""}, "hosts.yaml has no host; add one."),
    "groups a list": ({"groups": "- m1\n"}, "groups.yaml is a list, not a mapping of groups by name."),
    "defaults text": ({"defaults": "x\n"}, "defaults.yaml is text, not a mapping; see Nornir's inventory."),
    "host's name a number": (
        {"hosts": "4: {}\n"},
        "hosts.yaml: 4 is not text; put the host's name in quotes.",
    ),
    "groups missing": (
        {"groups": REMOVED, "hosts": "m1: {groups: [production]}"},
        "hosts.yaml: m1.groups = 'production' is no group of groups.yaml; "
        "known is none, the file is missing or empty.",
    ),
    "hosts missing": (
        {"hosts": REMOVED},
        "hosts.yaml: is missing; name it in inventory.options.host_file of the configuration.",
    ),
    # YAML
    "YAML of hosts": (
        {"hosts": "m1:\n  a: b\n c: [\n"},
        "hosts.yaml line 3, column 2: is not YAML: expected <block end>, but found '<block mapping start>'.",
    ),
    "YAML with a tab": (
        {"groups": "a:\n\tb: 1\n"},
        "groups.yaml line 2, column 1: is not YAML: found character '\\t' that cannot start any token.",
    ),
    "YAML with a key twice": (
        {"hosts": "m1:\n  password: geheim\n  password: GEHEIM\n"},
        "hosts.yaml line 3, column 3: is not YAML: password stands there twice; remove one.",
    ),
    "YAML of the configuration": (
        {"config": "a: b: geheim\n"},
        "config.yaml line 1, column 5: is not YAML: mapping values are not allowed here.",
    ),
    "not UTF-8": ({"groups": b"a: \xff\n"}, "groups.yaml: is not UTF-8 text; save it as such."),
    "a control character": (
        {"groups": "a: \x07\n"},
        "groups.yaml: is not YAML that can be read (ReaderError).",
    ),
    # configuration
    "configuration a list": (
        {"config": "- a\n"},
        "config.yaml is not a mapping; see Nornir's configuration, or copy the example.",
    ),
    "configuration missing": (
        {"config": REMOVED},
        "config.yaml: cannot be read (No such file or directory); say where it is with --config.",
    ),
    "unknown section": (
        {"config.inventroy": {}},
        "config.yaml: inventroy is not a section of Nornir's configuration; did you mean inventory?",
    ),
    **{
        f"section {name}": ({f"config.{name}": []}, f"config.yaml: {name} is a list, not a mapping.")
        for name in ("inventory", "runner", "logging", "ssh", "core", "user_defined")
    },
    "options text": (
        {"config.runner": {"plugin": "threaded", "options": "x"}},
        "config.yaml: runner.options is text, not a mapping.",
    ),
    "file a number": (
        {"config.inventory.options.host_file": 5},
        "config.yaml: inventory.options.host_file = 5 is not a path.",
    ),
    "workers": (
        {"config.runner": {"plugin": "threaded", "options": {"num_workers": 0}}},
        "config.yaml: runner.options.num_workers = 0 is not a whole number from 1 on.",
    ),
    "unknown runner": (
        {"config.runner": {"plugin": "nosuch"}},
        "config.yaml: Nornir cannot use it: plugin 'nosuch' is not registered.",
    ),
}


@pytest.mark.parametrize("case", SINGLE)
def test_one_clear_sentence(case: str, tmp_path: Path) -> None:
    changes, sentence = SINGLE[case]
    found = complaints(tmp_path, changes)
    assert found == [sentence]
    assert "geheim" not in sentence.lower()


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    changes = {
        "cluster.vip": "x",
        "cluster.vpi": 1,
        "cluster.kubernetes_version": 1.2,
        "cluster.vrrp": {"router_id": 0},
        "hosts.m2.data.master": {"vrrp_priority": 300},
        "hosts.m3.hostname": "m3.example",
        "defaults.data.ssh": {"known_host": "x"},
    }
    found = complaints(tmp_path, changes)
    assert [line.partition(" ")[2].partition(" ")[0] for line in found] == [
        "data.ssh.known_host",
        "production.data.cluster.vip",
        "production.data.cluster.kubernetes_version",
        "production.data.cluster.vrrp.router_id",
        "production.data.cluster.vpi",
        "m2.data.master.vrrp_priority",
        "m3.hostname",
    ]


def test_problems_of_every_file_are_told_at_once(tmp_path: Path) -> None:
    changes = {"hosts.m1.groups": ["x"], "groups.production.password": "geheim", "defaults.data": []}
    assert [line.partition(":")[0] for line in complaints(tmp_path, changes)] == [
        "hosts.yaml",
        "groups.yaml",
        "defaults.yaml",
    ]
    assert len(complaints(tmp_path, {"hosts": "a: b: c", "groups": "[", "defaults": "{"})) == 3


def test_an_even_number_of_members_is_a_warning(tmp_path: Path) -> None:
    session = opened(tmp_path, {"hosts.m3": REMOVED})
    (warning,) = session.fleet.warnings
    assert warning.endswith(
        "groups.yaml: production.data.cluster.etcd runs on 2 members, which survive no more losses than 1; "
        "add or remove one."
    )
    assert opened(tmp_path).fleet.warnings == ()


def test_the_error_says_that_the_input_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputWrongError) as raised:
        opened(tmp_path, {"cluster.vip": "x"})
    assert raised.value.exit_code is ExitCode.INPUT_WRONG


def test_clusters_may_not_share_addresses_or_names(tmp_path: Path) -> None:
    other = {"hostname": "192.168.80.13", "groups": ["other"], "data": {"role": "master"}}
    found = complaints(
        tmp_path,
        {"groups.other": {"data": {"cluster": cluster_data(vip="192.168.80.7")}}, "hosts.o1": other},
    )
    assert found == [
        "groups.yaml: other.data.cluster.name = 'production' names two clusters; give each its own.",
        "groups.yaml: other.data.cluster.vip = 192.168.80.7 is the address of m1 too; each needs its own.",
        "hosts.yaml: o1.hostname = 192.168.80.13 is the address of cluster production (its VIP) too; "
        "each needs its own.",
    ]


def test_more_masters_than_priorities_by_order(tmp_path: Path) -> None:
    hosts = {f"hosts.x{n}": {"hostname": f"192.168.80.{100 + n}", **MASTER} for n in range(24)}
    assert complaints(tmp_path, hosts) == [
        f"hosts.yaml: x{n}.data.master.vrrp_priority is missing; "
        "there are more masters than priorities by order, so set it."
        for n in (22, 23)
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), ([1], ""), ({"a": 1}, ""), (b"x", ""), (5, " = 5"), (True, " = true"), ("x", " = 'x'")],
)
def test_a_problem_shows_plain_values_only(value: Any, shown: str) -> None:
    assert str(Problem("f: k", value, "is wrong")) == f"f: k{shown} is wrong."
    assert len(str(Problem("f: k", "x" * 500, "is wrong"))) < 100
