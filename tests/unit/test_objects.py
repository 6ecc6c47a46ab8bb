"""API objects: what is missing or differs, and nothing else."""

import copy
import hashlib
import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubenorn.objects import data_sha256, desired_bindings, desired_token_secret, objects_to_apply
from kubenorn.observed import ObservedObjects, parse_probe
from tests.unit.builders import a_cluster, as_observed_objects, material

BINDINGS = desired_bindings()
SECRET = desired_token_secret(a_cluster(), material())
assert SECRET
PRESENT = as_observed_objects(data_sha256(SECRET))
ALL = {each.name for each in BINDINGS} | {SECRET.name}


def reasons(observed: ObservedObjects | None) -> dict[str, str]:
    return {each.name: reason for each, reason in objects_to_apply(BINDINGS, SECRET, observed)}


def test_what_is_there_is_left_alone() -> None:
    assert reasons(PRESENT) == {}


def test_a_silent_api_has_nothing() -> None:
    found = reasons(None)
    assert found.keys() == ALL
    assert all("did not answer" in reason for reason in found.values())


def test_an_empty_api() -> None:
    assert reasons(ObservedObjects({})) == dict.fromkeys(ALL, "missing")


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda b: b.name)
@pytest.mark.parametrize("key", ["roleRef", "subjects"])
def test_a_binding_that_differs_or_is_missing(binding: Any, key: str) -> None:
    changed = copy.deepcopy(PRESENT.bindings)
    changed[binding.name][key] = [] if key == "subjects" else {"kind": "ClusterRole", "name": "cluster-admin"}
    assert reasons(replace(PRESENT, bindings=changed)) == {binding.name: "differs"}
    del changed[binding.name]
    assert reasons(replace(PRESENT, bindings=changed)) == {binding.name: "missing"}


def test_a_token_that_differs_or_is_missing() -> None:
    assert SECRET
    assert reasons(replace(PRESENT, token_sha256="0" * 64)) == {SECRET.name: "differs"}
    assert reasons(replace(PRESENT, token_sha256=None)) == {SECRET.name: "missing"}


def test_what_a_real_kube_apiserver_returns_is_recognised() -> None:
    text = (Path(__file__).parent / "captured/probe-m1.txt").read_text(encoding="utf-8")
    observed = parse_probe(text).objects
    assert {each.name for each, _ in objects_to_apply(BINDINGS, None, observed)} == set()


def test_the_tokens_digest_is_that_of_the_apis_own_json() -> None:
    assert SECRET
    data = SECRET.manifest["data"]
    written = "{" + ",".join(f'"{key}":"{data[key]}"' for key in sorted(data)) + "}"
    assert data_sha256(SECRET) == hashlib.sha256(written.encode()).hexdigest()
    assert b64decode(data["token-id"]) == b"abcdef"


def test_before_1_9_the_token_is_a_file() -> None:
    assert desired_token_secret(a_cluster(kubernetes_version="1.8.4"), material()) is None
    assert list(objects_to_apply((), None, None)) == []


def test_nobody_is_made_an_administrator() -> None:
    text = json.dumps([each.manifest for each in BINDINGS])
    for wide in ("cluster-admin", "system:masters", "system:anonymous", "system:unauthenticated"):
        assert wide not in text
