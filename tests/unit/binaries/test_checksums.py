import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenorn.binaries.checksums import Digest, digest_of_hex, parse_beside, parse_list, parse_setting
from kubenorn.errors import InputWrongError

A = "a1" * 32
B = "b2" * 64

hex_digests = st.sampled_from([32, 64]).flatmap(lambda n: st.binary(min_size=n, max_size=n)).map(bytes.hex)
names = st.text(st.characters(exclude_characters="\r\n\\", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: not name.startswith(("./", " ", "*", "\t"))
)


@given(st.dictionaries(names, hex_digests), st.sampled_from(["  ", " *"]), st.sampled_from(["\n", "\r\n"]))
def test_list_round_trip(digests: dict[str, str], mark: str, end: str) -> None:
    text = "".join(f"{value}{mark}{name}{end}" for name, value in digests.items())
    parsed = parse_list(text, file="SHA256SUMS")
    assert {name: digest.hex for name, digest in parsed.items()} == digests
    assert all(
        digest.algorithm == {64: "sha256", 128: "sha512"}[len(digest.hex)] for digest in parsed.values()
    )


@given(st.text(st.sampled_from("0aF \t*\\\r\n()=SHA256./x<"), max_size=200) | st.text())
def test_any_text_is_parsed_or_told_wrong(text: str) -> None:
    try:
        parsed = parse_list(text, file="SHA256SUMS")
    except InputWrongError as error:
        assert str(error).startswith("SHA256SUMS, line ")  # noqa: PT017 (either outcome is right)
    else:
        assert all(len(digest.hex) in (64, 128) for digest in parsed.values())


@given(hex_digests.flatmap(lambda value: st.sampled_from([value, value.upper()])))
def test_setting_round_trip(value: str) -> None:
    digest = digest_of_hex(value)
    assert parse_setting(str(digest), key="k") == digest
    assert digest.hex == value.lower()


def test_coreutils_write_what_is_read(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("no coreutils")
    names = ["plain", "with blank", "back\\slash", "new\nline"]
    for name in names:
        (tmp_path / name).write_text(name)
    for option in ("--text", "--binary", "--tag"):
        text = subprocess.check_output(["sha256sum", option, *names], cwd=tmp_path, text=True)
        assert sorted(parse_list(text, file="SHA256SUMS")) == sorted(names)


def test_list_with_folders_comments_and_other_writers() -> None:
    text = f"\ufeff# etcd\n{A}  ./kubectl\n\n{A.upper()}\tbin/etcd\nSHA512 (etcdctl) = {B}\n"
    assert parse_list(text, file="f") == {
        "kubectl": Digest("sha256", A),
        "bin/etcd": Digest("sha256", A),
        "etcdctl": Digest("sha512", B),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "<html>Please log in</html>",
            "line 1: '<html>Please log in</html>' is not a digest and a file name",
        ),
        (f"{A}  a\n{'0' * 32}  b\n", "line 2: '00000000000000000000000000000000' is no sha256"),
        (f"{A}  a\n{'0' * 64}  a\n", "line 2: lists a twice with different digests"),
        (A, "line 1"),
    ],
)
def test_list_that_is_none(text: str, said: str) -> None:
    with pytest.raises(InputWrongError) as caught:
        parse_list(text, file="SHA256SUMS")
    assert said in str(caught.value)


def test_the_same_line_twice_is_no_contradiction() -> None:
    assert parse_list(f"{A}  a\n{A}  a\n", file="f") == {"a": Digest("sha256", A)}


@pytest.mark.parametrize(
    "text", [A, f"{A}\n", f"{A.upper()}\r\n", f"{A}  _output/kubectl\n", f"{A} *kubectl"]
)
def test_digest_beside_a_file(text: str) -> None:
    assert parse_beside(text, file="kubectl.sha256", name="kubectl") == Digest("sha256", A)


@pytest.mark.parametrize(
    ("text", "said"), [(f"{A}  etcd\n", "no digest of kubectl"), ("abc123", "no sha256"), ("", "")]
)
def test_digest_beside_a_file_that_is_none(text: str, said: str) -> None:
    with pytest.raises(InputWrongError, match=r"kubectl\.sha256") as caught:
        parse_beside(text, file="kubectl.sha256", name="kubectl")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text", [A, f"md5:{A}", f"sha512:{A}", "sha256:", "", f"sha256:{A}0", f"sha256:{'g' * 64}"]
)
def test_setting_that_is_none(text: str) -> None:
    with pytest.raises(InputWrongError, match=r"cluster\.binaries\.checksums\.etcd: .*write sha256: and 64"):
        parse_setting(text, key="cluster.binaries.checksums.etcd")
