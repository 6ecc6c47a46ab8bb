"""The audit's own script, run here on files of this test's own."""

import os
import subprocess
from pathlib import Path

import pytest

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
    assert done.stdout.endswith("end\t\n")
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


def test_a_private_key_is_told_by_its_public_half_whatever_its_mode(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    key.chmod(0o777)
    lines = told(tmp_path, f"--tls-private-key-file={key}")
    (public,) = (line.split("\t")[2] for line in lines if line.startswith(f"public\t{key}\t"))
    wanted = subprocess.run(
        ["openssl", "pkey", "-in", key, "-pubout"], check=True, capture_output=True, text=True
    )
    assert public == wanted.stdout.replace("\n", "|")
    secret = key.read_text().splitlines()[5]
    assert not any(secret in line for line in lines)
