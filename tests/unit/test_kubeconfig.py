from base64 import b64decode
from typing import Any

import pytest
from ruamel.yaml import YAML

from kubenorn.kubeconfig import kubeconfig

ARGUMENTS: dict[str, Any] = {
    "cluster_name": "production",
    "server": "https://192.168.80.13:8443",
    "ca_pem": b"CA " * 1000,
    "user": "system:kube-scheduler",
    "client_certificate_pem": b"CERTIFICATE",
    "client_key_pem": b"KEY",
}


def loaded(**changes: str) -> Any:
    return YAML(typ="safe").load(kubeconfig(**(ARGUMENTS | changes)))


def test_everything_is_embedded_and_refers_to_itself() -> None:
    data = loaded()
    assert (data["apiVersion"], data["kind"]) == ("v1", "Config")
    (cluster,), (context,), (user,) = data["clusters"], data["contexts"], data["users"]
    assert data["current-context"] == context["name"] == "system:kube-scheduler@production"
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert cluster["name"] == "production"
    assert cluster["cluster"]["server"] == "https://192.168.80.13:8443"
    assert user["name"] == "system:kube-scheduler"
    assert b64decode(cluster["cluster"]["certificate-authority-data"]) == ARGUMENTS["ca_pem"]
    assert b64decode(user["user"]["client-certificate-data"]) == b"CERTIFICATE"
    assert b64decode(user["user"]["client-key-data"]) == b"KEY"


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert kubeconfig(**ARGUMENTS) == kubeconfig(**ARGUMENTS)


def test_it_reads_as_people_expect() -> None:
    text = kubeconfig(**(ARGUMENTS | {"ca_pem": b"x", "user": "admin", "cluster_name": "kubernetes"}))
    assert (
        text.decode()
        == """\
apiVersion: v1
kind: Config
clusters:
  - name: kubernetes
    cluster:
      certificate-authority-data: eA==
      server: https://192.168.80.13:8443
contexts:
  - name: admin@kubernetes
    context:
      cluster: kubernetes
      user: admin
current-context: admin@kubernetes
preferences: {}
users:
  - name: admin
    user:
      client-certificate-data: Q0VSVElGSUNBVEU=
      client-key-data: S0VZ
"""
    )


@pytest.mark.parametrize("name", ["true", "1", "a: b", "#x", "null", "1e3", "@x", "- x"])
def test_odd_names_survive(name: str) -> None:
    data = loaded(cluster_name=name, user=name)
    assert data["clusters"][0]["name"] == data["users"][0]["name"] == name


def test_long_values_stay_on_one_line() -> None:
    lines = kubeconfig(**ARGUMENTS).splitlines()
    assert len(lines) == 19
