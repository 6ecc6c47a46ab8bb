import hashlib
from pathlib import Path

import pytest

from kubenorn.errors import InputWrongError
from lab.binaries import ALL, checked_release, openapi_packages, sha256_sums


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_openapi_packages_are_those_that_ask_for_it(tmp_path: Path) -> None:
    tag = "// +k8s:openapi-gen=true\npackage v1\n"
    write(tmp_path / "pkg/apis/abac/v1/doc.go", tag)
    write(tmp_path / "staging/src/k8s.io/api/core/v1/doc.go", tag)
    write(tmp_path / "staging/src/k8s.io/sample-apiserver/pkg/doc.go", tag)
    write(tmp_path / "test/pkg/doc.go", tag)
    write(tmp_path / "pkg/other/doc.go", 'package other\nconst tag = "+k8s:openapi-gen="\n')
    assert openapi_packages(tmp_path) == [
        "k8s.io/kubernetes/pkg/apis/abac/v1",
        "k8s.io/kubernetes/vendor/k8s.io/api/core/v1",
    ]


def test_sums_are_in_the_format_of_sha256sum(tmp_path: Path) -> None:
    for name in ALL:
        (tmp_path / name).write_text(name)
    lines = sha256_sums(tmp_path).splitlines()
    assert len(lines) == len(ALL)
    assert f"{hashlib.sha256(b'etcd').hexdigest()}  etcd" in lines


def test_a_release_folder_must_be_complete(tmp_path: Path) -> None:
    for name in ALL[1:]:
        (tmp_path / name).touch()
    with pytest.raises(InputWrongError, match=f"lacks {ALL[0]}"):
        checked_release(tmp_path)
    (tmp_path / ALL[0]).touch()
    with pytest.raises(InputWrongError, match="sha256sum"):
        checked_release(tmp_path)
    (tmp_path / "SHA256SUMS").touch()
    assert checked_release(tmp_path) == tmp_path
