import sys
from pathlib import Path

import pytest

from kubenorn.binaries.elf import (
    NotLinuxExecutableError,
    arch_of_file,
    arch_of_header,
    arch_of_machine,
)
from kubenorn.errors import InputWrongError

from .material import HEADERS, elf_header


@pytest.mark.parametrize(("arch", "header"), HEADERS.items())
def test_header_tells_the_architecture(arch: str, header: tuple[int, int, int]) -> None:
    assert arch_of_header(elf_header(*header), shown="x") == arch
    assert arch_of_header(elf_header(*header, kind=3, abi=3), shown="x") == arch


@pytest.mark.skipif(sys.platform != "linux", reason="needs an ELF executable")
def test_a_real_executable_is_for_this_machine() -> None:
    machine = Path("/proc/sys/kernel/arch")
    if not machine.exists():
        pytest.skip("kernel before 6.1")
    assert arch_of_file(Path(sys.executable).resolve()) == arch_of_machine(machine.read_text())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf<HTML>", "an HTML page"),
        (b"#!/bin/sh\n", "a script"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"MZ\x90\x00", "a Windows program"),
        (b"\xcf\xfa\xed\xfe", "a macOS program"),
        (b"anything", "a file of unknown kind"),
        (b"\x7fELF\x02\x01", "cut off after 6 bytes"),
        (b"\x7fELF" + bytes(16), "broken ELF header"),
        (elf_header(62, 2, 1, abi=9), "another system than Linux"),
        (elf_header(62, 2, 1, kind=1), "object file"),
        (elf_header(62, 1, 1), "ELF machine 62 (32 bits, little endian)"),
        (elf_header(21, 2, 2), "ELF machine 21 (64 bits, big endian)"),
    ],
)
def test_what_is_no_linux_executable_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "kubectl"
    path.write_bytes(content)
    with pytest.raises(NotLinuxExecutableError) as caught:
        arch_of_file(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("machine", "arch"),
    [("x86_64\n", "amd64"), ("aarch64", "arm64"), ("armv7l", "arm"), ("i686", "386"), ("s390x", "s390x")],
)
def test_uname_machine(machine: str, arch: str) -> None:
    assert arch_of_machine(machine) == arch


@pytest.mark.parametrize("machine", ["sparc64", "armv6l", ""])
def test_uname_machine_without_binaries(machine: str) -> None:
    with pytest.raises(InputWrongError, match="none of 386, amd64, arm, arm64, ppc64le, riscv64, s390x"):
        arch_of_machine(machine)
