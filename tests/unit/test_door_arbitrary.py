"""Any data at all at the door: accepted, or refused in words that tell no secret."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubenorn.door import InventoryHost, Layer, build_fleet
from kubenorn.errors import InputWrongError
from tests.unit.builders import cluster_data

KEYS = st.sampled_from(
    [*cluster_data(), "vpi", "pki", "etcd", "haproxy", "extra_arguments", "node_port_range", "extra_sans"]
) | st.text(max_size=5)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1.20.2", "10.0.0.0/8", "192.168.80.7", "*.a", "0-99999", "external", "/a/../b"])
    | st.dates()
    | st.binary(max_size=3)
)
INNER = st.sampled_from(
    [
        "router_id",
        "password",
        "mode",
        "version",
        "source",
        "statistics",
        "username",
        "authorities",
        "ca",
        "key",
    ]
)
YAMLISH: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(INNER | st.text(max_size=4), inner, max_size=4)
        | st.dictionaries(st.integers() | st.none() | st.booleans() | st.floats(), inner, max_size=2)
    ),
    max_leaves=8,
)


def fleet_of(cluster: Any, **data: Any) -> None:
    layer = Layer("groups.yaml: production.data", {"cluster": cluster}, "production")
    own = Layer("hosts.yaml: m1.data", {"role": "master", **data})
    build_fleet([InventoryHost("m1", "192.168.80.7", [own, layer], "hosts.yaml: m1")], Path("/srv"))


def refusal(cluster: Any, **data: Any) -> list[str]:
    try:
        fleet_of(cluster, **data)
    except InputWrongError as error:
        return str(error).splitlines()
    return []


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(YAMLISH | st.dictionaries(KEYS, YAMLISH), st.booleans())
def test_any_cluster_is_accepted_or_refused_in_words(cluster: Any, mostly_good: bool) -> None:
    if mostly_good and isinstance(cluster, dict):
        cluster = {**cluster_data(), **cluster}
    for line in refusal(cluster):
        assert line.startswith(("groups.yaml: production.data.cluster", "hosts.yaml: m1"))
        assert line.endswith((".", "?"))
        assert "pydantic" not in line
        assert "Settings" not in line


@settings(deadline=None, max_examples=50)
@given(YAMLISH, YAMLISH)
def test_any_host_is_accepted_or_refused_in_words(master: Any, ssh: Any) -> None:
    for line in refusal(cluster_data(), master=master, ssh=ssh):
        assert line.startswith("hosts.yaml: m1.data.")


SECRET = "correct-horse-battery"


@settings(deadline=None, max_examples=100)
@given(
    st.recursive(
        st.just(SECRET) | st.integers(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(INNER, inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from(["vrrp", "haproxy"]),
)
def test_what_stands_in_a_section_with_a_password_is_never_told(section: Any, key: str) -> None:
    told = [line for line in refusal({**cluster_data(), key: section}) if SECRET in line]
    public = (".username", ".mode", ".version", ".router_id")
    assert [line for line in told if not line.partition(" = ")[0].endswith(public)] == []
