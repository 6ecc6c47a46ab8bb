"""Opening real inventory folders: filters, several clusters, defaults, relative paths."""

from pathlib import Path
from typing import Any

import pytest

from kubenorn.errors import InputWrongError
from tasks.session import open_session
from tests.unit.builders import cluster_data
from tests.unit.inventories import REMOVED, complaints, opened, write_inventory


def host(number: int, *groups: str, **data: Any) -> dict[str, Any]:
    return {"hostname": f"192.168.81.{number}", "groups": list(groups), "data": {"role": "master", **data}}


TWO_CLUSTERS = {
    "groups.site": {"data": {"site": "bj-1", "ssh": {"connect_timeout": 3}}, "username": "ops"},
    "groups.test": {
        "groups": ["site"],
        "data": {"cluster": cluster_data(name="test", vip="192.168.81.13", kubernetes_version="1.29.0")},
    },
    "hosts.t1": host(1, "test", rack=7, spare=True, tags=["db", "ssd"], labels={"zone": "a"}),
    "hosts.t2": host(2, "test", rack=8, tags=["ssd"]),
    "hosts.t3": host(3, "test", rack=9, site="sh"),
    "hosts.w1": {"hostname": "192.168.80.50", "groups": ["production"], "data": {"role": "worker"}},
}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["role=master"], "m1 m2 m3 t1 t2 t3"),
        (["role=master", "group=test"], "t1 t2 t3"),
        (["group=test"], "t1 t2 t3"),
        (["group=site"], "t1 t2 t3"),
        (["group=site,production", "role=master"], "m1 m2 m3 t1 t2 t3"),
        (["name=m1"], "m1"),
        (["name=m1,t2"], "m1 t2"),
        (["name=t2,,m1,"], "m1 t2"),
        (["name=m1,t2", "group=test"], "t2"),
        (["name__startswith=t"], "t1 t2 t3"),
        (["site__startswith=bj"], "t1 t2"),
        (["site=sh,nowhere"], "t3"),
        (["rack=7"], "t1"),
        (["rack__ge=8"], "t2 t3"),
        (["rack__in=7,8"], "t1 t2"),
        (["spare=true"], "t1"),
        (["tags__contains=db"], "t1"),
        (["tags__any=db,hdd"], "t1"),
        (["tags__all=db,ssd"], "t1"),
        (["tags__all=ssd"], "t1 t2"),
        (["labels__zone=a"], "t1"),
        (["hostname=192.168.80.7"], "m1"),
    ],
)
def test_filters(filters: list[str], names: str, tmp_path: Path) -> None:
    assert opened(tmp_path, TWO_CLUSTERS, *filters).hosts == names.split()


@pytest.mark.parametrize("text", ["role", "role=", "=master", "", "=", "name=,", "role = "])
def test_a_malformed_filter(text: str, tmp_path: Path) -> None:
    (line,) = complaints(tmp_path, {}, text)
    wrong = f"--filter {text!r} is not KEY=VALUE, such as role=master or name=m1,m2."
    assert line == wrong or (text == "role = " and line.startswith("no host matches"))


@pytest.mark.parametrize(
    ("filters", "what"),
    [
        (["role=worker"], "--filter role=worker"),
        (["role=master", "name=m9"], "--filter role=master and --filter name=m9"),
        (["rol=master"], "--filter rol=master"),
        (["a__b__c=d"], "--filter a__b__c=d"),
        (["role__nosuch=d"], "--filter role__nosuch=d"),
    ],
)
def test_no_host_selected(filters: list[str], what: str, tmp_path: Path) -> None:
    assert complaints(tmp_path, {}, *filters) == [f"no host matches {what}; the inventory has m1, m2, m3."]


@pytest.mark.parametrize(
    "text", ["init=x", "delattr=name", "setattr=x", "close_connections=1", "class=x", "get=1"]
)
def test_a_filter_never_does_anything_to_a_host(text: str, tmp_path: Path) -> None:
    assert len(complaints(tmp_path, {}, text)) == 1


def test_a_host_that_is_no_master_is_refused_with_the_reason(tmp_path: Path) -> None:
    end = "correct its data or narrow the selection, for example with --filter role=master."
    changes = {**TWO_CLUSTERS, "hosts.x1": host(9)}
    assert complaints(tmp_path, changes) == [
        f"w1 is selected but has no role: master; {end}",
        f"x1 is selected but is in no group with a cluster mapping; {end}",
    ]


def test_several_clusters_stand_side_by_side(tmp_path: Path) -> None:
    session = opened(tmp_path, TWO_CLUSTERS, "role=master")
    assert [cluster.name for cluster in session.clusters] == ["production", "test"]
    assert [m.name for m in session.fleet.clusters["test"].masters] == ["t1", "t2", "t3"]
    assert session.fleet.cluster_of("t2").settings.kubernetes_version.release == (1, 29)
    with pytest.raises(KeyError):
        session.fleet.cluster_of("w1")


def test_a_filter_narrows_the_hosts_but_not_the_cluster(tmp_path: Path) -> None:
    session = opened(tmp_path, TWO_CLUSTERS, "name=t2")
    (cluster,) = session.clusters
    assert len(cluster.masters) == 3
    assert cluster.master("t2").vrrp_priority == 240


def test_priorities_follow_the_inventorys_order_around_given_ones(tmp_path: Path) -> None:
    changes = {"hosts.m2.data.master": {"vrrp_priority": 250}}
    masters = opened(tmp_path, changes).clusters[0].masters
    assert [m.vrrp_priority for m in masters] == [240, 250, 230]


def test_data_of_host_group_parent_and_defaults_are_merged_key_by_key(tmp_path: Path) -> None:
    changes = {
        **TWO_CLUSTERS,
        "defaults.data.ssh": {"known_hosts": "known", "connect_timeout": 9, "use_agent": True},
        "defaults.data.master": {"interface": "bond0"},
        "groups.test.data": {**TWO_CLUSTERS["groups.test"]["data"], "ssh": {"jump_host": "gate"}},
        "hosts.t1.data.ssh": {"use_agent": False},
        "hosts.t1.data.master": {"vrrp_priority": 7},
    }
    session = opened(tmp_path, changes, "group=test")
    t1, t2 = (session.fleet.ssh[name] for name in ("t1", "t2"))
    assert (t1.use_agent, t2.use_agent) == (False, True)
    assert (t1.jump_host, t1.connect_timeout, t1.known_hosts) == ("gate", 3, tmp_path / "known")
    master = session.fleet.clusters["test"].master("t1")
    assert (master.interface, master.vrrp_priority) == ("bond0", 7)


def test_a_problem_in_a_merged_value_names_the_file_it_stands_in(tmp_path: Path) -> None:
    changes = {
        **TWO_CLUSTERS,
        "defaults.data.ssh": {"use_agent": "perhaps"},
        "groups.site.data": {"ssh": {"connect_timeout": 0}},
        "hosts.t1.data.ssh": {"jump_host": "-x"},
    }
    found = complaints(tmp_path, changes)
    assert sorted(line.rpartition("/")[2].partition(" =")[0] for line in found) == [
        "defaults.yaml: data.ssh.use_agent",
        "groups.yaml: site.data.ssh.connect_timeout",
        "hosts.yaml: t1.data.ssh.jump_host",
    ]


def test_relative_paths_begin_at_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, elsewhere = tmp_path / "fleet", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    changes = {
        "cluster.binaries": {"source": "release", "ca_file": "mirror-ca.pem"},
        "cluster.pki": {"authorities": {"ca": {"certificate": "own/ca.pem", "key": "/etc/own/ca-key.pem"}}},
        "config.user_defined": {"artifacts": "state"},
        "defaults.data.ssh": {"known_hosts": "kh", "key_file": "id", "config_file": "~/ssh_config"},
    }
    config = write_inventory(folder, changes)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ssh_config").touch()
    session = open_session(Path("../fleet/config.yaml"), [])
    settings = session.clusters[0].settings
    assert settings.binaries.source == str(folder / "release")
    assert settings.binaries.ca_file == folder / "mirror-ca.pem"
    assert settings.pki.authorities["ca"].certificate == folder / "own/ca.pem"
    assert settings.pki.authorities["ca"].key == Path("/etc/own/ca-key.pem")
    ssh = session.fleet.ssh["m1"]
    assert (ssh.known_hosts, ssh.key_file) == (folder / "kh", folder / "id")
    assert ssh.config_file == tmp_path / "ssh_config"
    assert session.artifacts == folder / "state"
    assert config.parent == folder


def test_the_inventory_may_stand_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "etc").mkdir()
    config = write_inventory(tmp_path, {"config.inventory.options.host_file": "~/etc/all.yaml"})
    (tmp_path / "hosts.yaml").rename(tmp_path / "etc/all.yaml")
    assert open_session(config, []).hosts == ["m1", "m2", "m3"]


def test_a_mirror_is_no_file(tmp_path: Path) -> None:
    source = "https://mirror.example/kubernetes"
    session = opened(tmp_path, {"cluster.binaries": {"source": source}})
    assert session.clusters[0].settings.binaries.source == source


@pytest.mark.parametrize("section", ["inventory", "runner", "logging", "user_defined", "ssh", "core"])
def test_sections_may_be_left_empty(section: str, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    config = write_inventory(tmp_path, {f"config.{section}": None})
    for name in ("hosts", "groups", "defaults"):
        (inventory / f"{name}.yaml").write_bytes((tmp_path / f"{name}.yaml").read_bytes())
    session = open_session(config, [])
    assert session.artifacts == tmp_path / "artifacts"


def test_defaults_may_be_missing(tmp_path: Path) -> None:
    changes = {"defaults": REMOVED, "hosts.m1.username": "root"}
    assert opened(tmp_path, changes, "name=m1").fleet.ssh["m1"].known_hosts == tmp_path / "known_hosts"


def test_workers_on_the_command_line_win(tmp_path: Path) -> None:
    config = write_inventory(
        tmp_path, {"config.runner": {"plugin": "threaded", "options": {"num_workers": 3}}}
    )
    assert open_session(config, []).nornir.config.runner.options == {"num_workers": 3}
    assert open_session(config, [], workers=7).nornir.config.runner.options == {"num_workers": 7}


def test_the_example_inventory_is_one_kubenorn_accepts() -> None:
    session = open_session(Path(__file__).parents[2] / "config.yaml", ["role=master"])
    assert session.hosts == ["k8s-master1", "k8s-master2", "k8s-master3"]
    assert [m.vrrp_priority for m in session.clusters[0].masters] == [250, 240, 230]
    assert session.fleet.warnings == ()


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    config = write_inventory(tmp_path, {"groups": REMOVED})
    (tmp_path / "groups.yaml").mkdir()
    with pytest.raises(InputWrongError, match=r"groups\.yaml: cannot be read \(Is a directory\)"):
        open_session(config, [])
