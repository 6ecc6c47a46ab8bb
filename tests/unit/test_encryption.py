from base64 import b64decode
from typing import Any, Literal

import pytest
from ruamel.yaml import YAML

from kubenorn.encryption import encryption_configuration

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("version", "kind", "api_version"),
    [
        ((1, 8), "EncryptionConfig", "v1"),
        ((1, 12), "EncryptionConfig", "v1"),
        ((1, 13), "EncryptionConfiguration", "apiserver.config.k8s.io/v1"),
        ((1, 34), "EncryptionConfiguration", "apiserver.config.k8s.io/v1"),
    ],
)
def test_kind_and_group_by_version(version: tuple[int, int], kind: str, api_version: str) -> None:
    data = YAML(typ="safe").load(encryption_configuration(version, "aescbc", "key1", KEY))
    assert (data["kind"], data["apiVersion"]) == (kind, api_version)


@pytest.mark.parametrize("provider", ["aescbc", "secretbox"])
def test_secrets_are_encrypted_first_and_read_in_the_clear_last(
    provider: Literal["aescbc", "secretbox"],
) -> None:
    data: Any = YAML(typ="safe").load(encryption_configuration((1, 20), provider, "key1", KEY))
    ((rule),) = data["resources"]
    assert rule["resources"] == ["secrets"]
    first, last = rule["providers"]
    assert list(first) == [provider]
    ((key),) = first[provider]["keys"]
    assert key["name"] == "key1"
    assert b64decode(key["secret"]) == KEY
    assert last == {"identity": {}}


def test_the_same_arguments_give_the_same_bytes() -> None:
    one, two = (encryption_configuration((1, 20), "aescbc", "key1", KEY) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused_without_being_quoted(size: int) -> None:
    with pytest.raises(ValueError, match=f"has 32 bytes, not {size}$"):
        encryption_configuration((1, 20), "aescbc", "key1", b"k" * size)
