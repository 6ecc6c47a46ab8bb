"""The audit's own script, run here on files of this test's own."""

import os
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from kubenorn.audit.collected import public_half
from kubenorn.audit.parse import parse_collected
from kubenorn.render import render_purely

VARIABLES = {
    "files": "",
    "endpoints": [("kube-apiserver", "127.0.0.1:1", "")],
    "vip": "127.0.0.1",
    "salt": "s",
    "speaker": False,
    "etcd_endpoints": "",
    "disks": "",
    "journal_minutes": 60,
}


def told(folder: Path, *arguments: str) -> list[str]:
    """Return what the script tells of a process with these arguments."""
    found, programs = folder / "found", folder / "bin"
    for made in (found, programs):
        made.mkdir()
    for name in ("systemctl", "journalctl"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    (found / "processes").write_text("".join(f"argument\t1\t{word}\n" for word in arguments))
    environment = {"found": str(found), "PATH": f"{programs}:{os.environ['PATH']}", "units": "", "TZ": "UTC0"}
    done = subprocess.run(
        ["sh", "-s"],
        input=render_purely("audit.sh.j2", VARIABLES),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("\nend\n")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "flags", ["--audit-log-path={}", "--audit-log-path {}", "--logtostderr --audit-log-path {}"]
)
def test_files_that_a_configuration_names_are_looked_at_and_requests_in_a_log_name_none(
    tmp_path: Path, flags: str
) -> None:
    """Into kube-apiserver's audit log anybody writes, by asking for a path."""
    folder = tmp_path / "server/bin/cert"  # guides put certificates below a folder of programs
    folder.mkdir(parents=True)
    named, planted, log = folder / "ca.pem", tmp_path / "planted.pem", tmp_path / "requests"
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for file in (named, planted):
        file.write_text(pem)
    (tmp_path / "config.yaml").write_text(
        f"kind: Config\nclusters:\n- certificate-authority: {named}\n  x: /proc/version\n"
    )
    log.write_text(f'{{"kind":"Event","requestURI":"{planted}"}}\n')
    arguments = [*flags.format(log).split(), f"--kubeconfig={tmp_path}/config.yaml"]
    lines = told(tmp_path, *arguments, f"--logtostderr={log}")
    looked_at = {line.split("\t")[-1] for line in lines if line.startswith("file\t")}
    assert looked_at == {str(tmp_path / "config.yaml"), str(named)}
    hashed = {line.split("\t")[-1] for line in lines if line.startswith("sha256\t")}
    assert hashed == {str(tmp_path / "config.yaml"), str(named)}
    certificates = [line.split("\t")[1] for line in lines if line.startswith("certificate\t")]
    assert certificates == [str(named)]


KINDS: dict[str, Callable[[], Any]] = {
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-4096": lambda: rsa.generate_private_key(3, 4096),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize(
    "layout", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8], ids=["own", "pkcs8"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_private_key_is_told_by_its_public_half_whatever_its_mode(
    tmp_path: Path, kind: str, layout: PrivateFormat
) -> None:
    key = KINDS[kind]()
    if kind == "Ed25519":
        layout = PrivateFormat.PKCS8
    pem = key.private_bytes(Encoding.PEM, layout, NoEncryption())
    file, kubeconfig = tmp_path / "key.pem", tmp_path / "config"
    file.write_bytes(pem)
    file.chmod(0o777)
    kubeconfig.write_text(f"kind: Config\nusers:\n- user:\n    client-key-data: {b64encode(pem).decode()}\n")
    lines = told(tmp_path, f"--tls-private-key-file={file}", f"--kubeconfig={kubeconfig}")
    wanted = public_half(key.public_key())
    by = "public" if kind == "Ed25519" else "public-half"
    assert {line.split("\t")[0] for line in lines if line.startswith("public")} == {by}, (
        "openssl is for the others"
    )
    assert parse_collected("\n".join(lines)).public_halves == {str(file): wanted, str(kubeconfig): wanted}
    assert not any(secret in line for secret in secrets_of(key) for line in lines)


def test_a_public_point_that_is_compressed_is_the_same_point(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    file = tmp_path / "key.pem"
    compress = ["openssl", "ec", "-conv_form", "compressed", "-out", str(file)]
    subprocess.run(compress, input=pem, check=True, capture_output=True)
    lines = told(tmp_path, f"--key={file}")
    assert parse_collected("\n".join(lines)).public_halves == {str(file): public_half(key.public_key())}


def secrets_of(key: Any) -> Iterator[str]:
    """Yield the numbers of a private key that nobody may see, as digits, and of its PEM what holds nothing else."""
    numbers = key.private_numbers() if hasattr(key, "private_numbers") else None
    for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp", "private_value"):
        if number := getattr(numbers, name, None):
            yield f"{number:x}"
    yield key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().splitlines()[-2]


def test_an_encrypted_key_has_no_public_half(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    layouts = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8
    files = [tmp_path / layout for layout in ("own", "pkcs8")]
    for file, layout in zip(files, layouts, strict=True):
        file.write_bytes(key.private_bytes(Encoding.PEM, layout, BestAvailableEncryption(b"secret")))
    lines = told(tmp_path, *(f"--key={file}" for file in files))
    looked_at = {line.split("\t")[-1] for line in lines if line.startswith("file\t")}
    assert looked_at == {str(file) for file in files}
    assert not parse_collected("\n".join(lines)).public_halves
