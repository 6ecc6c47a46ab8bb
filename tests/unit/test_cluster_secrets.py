import json
import re
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from kubenorn.cluster_secrets import ensure_cluster_secrets
from kubenorn.errors import InputWrongError
from kubenorn.files import folder_lock

FILES = ("encryption-key.json", "bootstrap-token.json")


def test_both_are_made_once_and_kept(tmp_path: Path) -> None:
    first = ensure_cluster_secrets(tmp_path / "cluster")
    assert first.created == FILES
    assert len(first.encryption_key.key) == 32
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", first.bootstrap_token)
    stored = json.loads((tmp_path / "cluster/encryption-key.json").read_text())
    assert stored["name"] == first.encryption_key.name == "key1"
    assert b64decode(stored["secret"]) == first.encryption_key.key
    again = ensure_cluster_secrets(tmp_path / "cluster")
    assert again.created == ()
    assert again.encryption_key == first.encryption_key
    assert again.bootstrap_token == first.bootstrap_token


def test_they_are_private_and_in_no_repr(tmp_path: Path) -> None:
    made = ensure_cluster_secrets(tmp_path / "cluster")
    for name in FILES:
        assert (tmp_path / "cluster" / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "cluster").stat().st_mode & 0o777 == 0o700
    assert made.bootstrap_token not in repr(made)
    assert repr(made.encryption_key) == "EncryptionKey(name='key1')"


def test_no_two_clusters_share_any(tmp_path: Path) -> None:
    one, two = (ensure_cluster_secrets(tmp_path / name) for name in "ab")
    assert one.encryption_key.key != two.encryption_key.key
    assert one.bootstrap_token != two.bootstrap_token


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert ensure_cluster_secrets(tmp_path / "cluster", dry_run=True).created == FILES
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("witness", ["pki/ca-key.pem", "hosts/m1/admin.pem"])
def test_a_lost_encryption_key_is_an_error(tmp_path: Path, witness: str) -> None:
    ensure_cluster_secrets(tmp_path)
    (tmp_path / "encryption-key.json").unlink()
    (tmp_path / "bootstrap-token.json").unlink()
    (tmp_path / witness).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / witness).write_bytes(b"")
    with pytest.raises(
        InputWrongError, match=r"encryption key .*encryption-key\.json is missing, .*restore it"
    ):
        ensure_cluster_secrets(tmp_path)
    assert not (tmp_path / "bootstrap-token.json").exists()


def test_a_lost_token_is_made_anew(tmp_path: Path) -> None:
    first = ensure_cluster_secrets(tmp_path)
    (tmp_path / "pki/ca.pem").write_bytes(b"")
    (tmp_path / "bootstrap-token.json").unlink()
    second = ensure_cluster_secrets(tmp_path)
    assert second.created == ("bootstrap-token.json",)
    assert second.encryption_key == first.encryption_key


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "3",
        '{"name": "key1", "secret": "c2hvcnQ="}',
        '{"name": "key1", "secret": "SECRET?!"}',
        json.dumps({"name": "", "secret": b64encode(bytes(32)).decode()}),
    ],
)
def test_a_damaged_key_is_an_error_that_does_not_quote_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "encryption-key.json").write_text(content)
    with pytest.raises(InputWrongError, match=r"encryption-key\.json is damaged: .*restore it") as raised:
        ensure_cluster_secrets(tmp_path)
    assert "SECRET" not in str(raised.value)
    assert not (tmp_path / "bootstrap-token.json").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"token": 3}', '{"token": "ABCDEF.0123456789abcdef"}'])
def test_a_damaged_token_is_an_error_before_anything_is_written(tmp_path: Path, content: str) -> None:
    (tmp_path / "bootstrap-token.json").write_text(content)
    with pytest.raises(InputWrongError, match=r"bootstrap-token\.json is damaged"):
        ensure_cluster_secrets(tmp_path)
    assert not (tmp_path / "encryption-key.json").exists()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "pki"), pytest.raises(InputWrongError, match="is working in"):
        ensure_cluster_secrets(tmp_path)
