import gzip
from pathlib import Path

import pytest
import zstandard

from kubenorn.binaries.cache import Cache
from kubenorn.binaries.compressed import Method, compress_binary
from kubenorn.binaries.source import LocalBinary
from kubenorn.errors import InputWrongError

from .material import executable, sha256

CONTENT = executable("kubectl") * 600  # more than one chunk


@pytest.fixture
def binary(tmp_path: Path) -> LocalBinary:
    path = tmp_path / "kubectl"
    path.write_bytes(CONTENT)
    return LocalBinary("kubectl", path, sha256(CONTENT), len(CONTENT), "amd64")


def unpacked(method: Method, content: bytes) -> bytes:
    if method == "gzip":
        return gzip.decompress(content)
    return zstandard.ZstdDecompressor().decompressobj().decompress(content)


@pytest.mark.parametrize("method", ["zstd", "gzip"])
@pytest.mark.parametrize("level", [1, 3])
def test_what_comes_out_is_what_went_in(
    binary: LocalBinary, cache_folder: Path, method: Method, level: int
) -> None:
    made = compress_binary(binary, cache_folder, method=method, level=level)
    assert unpacked(method, made.path.read_bytes()) == CONTENT
    assert made.size == made.path.stat().st_size < len(CONTENT)
    assert (made.binary, made.method) == (binary, method)


@pytest.mark.parametrize("method", ["zstd", "gzip"])
def test_it_is_made_once_and_always_the_same(binary: LocalBinary, cache_folder: Path, method: Method) -> None:
    first = compress_binary(binary, cache_folder, method=method)
    content, inode = first.path.read_bytes(), first.path.stat().st_ino
    binary.path.unlink()  # so that nothing could make it again
    assert compress_binary(binary, cache_folder, method=method) == first
    assert first.path.stat().st_ino == inode
    binary.path.write_bytes(CONTENT)
    again = compress_binary(binary, cache_folder.with_name("other"), method=method)
    assert again.path.read_bytes() == content
    assert method != "gzip" or content[3:8] == bytes(5)  # neither name nor time (RFC 1952)


def test_a_damaged_one_is_made_again(binary: LocalBinary, cache_folder: Path) -> None:
    made = compress_binary(binary, cache_folder)
    made.path.write_bytes(b"damaged")
    assert unpacked("zstd", compress_binary(binary, cache_folder).path.read_bytes()) == CONTENT


@pytest.mark.parametrize("method", ["zstd", "gzip"])
@pytest.mark.parametrize("other", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x", b""])
def test_a_binary_that_changed_does_not_get_in(
    binary: LocalBinary, cache_folder: Path, method: Method, other: bytes
) -> None:
    binary.path.write_bytes(other)
    with pytest.raises(InputWrongError, match="changed while it was used"):
        compress_binary(binary, cache_folder, method=method)
    assert list(Cache(cache_folder).compressed("").iterdir()) == []


def test_a_binary_that_is_gone_is_told(binary: LocalBinary, cache_folder: Path) -> None:
    binary.path.unlink()
    with pytest.raises(InputWrongError, match=rf"kubectl cannot be compressed \({binary.path}: No such file"):
        compress_binary(binary, cache_folder)
