"""Secrets are seen nowhere: not in plans, diffs, reports, nor in what Nornir logs of a task's arguments."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kubenorn.cluster import Fleet
from kubenorn.desired import DesiredHost, ManagedFile
from kubenorn.diff import difference, masked
from kubenorn.material import Material
from kubenorn.objects import desired_token_secret
from kubenorn.observed import ObservedFile
from kubenorn.options import Passwords
from kubenorn.payload import build_payload
from kubenorn.plan import plan_host
from kubenorn.render import render_purely
from kubenorn.report import deployment_report
from kubenorn.tables import print_objects, print_plan
from tests.unit.builders import (
    DEPLOYED,
    SECRETS,
    a_bare_host,
    a_cluster,
    a_desired_host,
    as_observed,
    material,
    path,
)
from tests.unit.pki.material import a_certificate, pem

PASSWORDS = ("s3same", "0penUp")
CHANGES: dict[str, Any] = {
    "vrrp": {"router_id": 68, "version": 2, "advert_interval": 1, "password": PASSWORDS[0]},
    "haproxy": {"statistics": {"username": "watch", "password": PASSWORDS[1]}},
    "binaries": {"source": "https://me:m1rr0r@mirror.example/k8s"},
}
HIDDEN = (*SECRETS, *PASSWORDS, "m1rr0r", "PRIVATE KEY")


def leaks(text: str) -> list[str]:
    return [secret for secret in HIDDEN if secret in text]


def changed_everywhere(desired: DesiredHost) -> Any:
    """Return a host where every file holds something else, with other secrets of the same kinds in it."""
    host = as_observed(desired)
    text = b"auth_pass TOPSECRET\nstats auth admin:TOPSECRET\n-----BEGIN RSA PRIVATE KEY-----\nTOPSECRET\n"
    files = {
        where: replace(file, sha256="0" * 64, text=None if file.text is None else text)
        for where, file in host.files.items()
    }
    return replace(host, files=files)


def test_the_material_has_what_is_looked_for() -> None:
    sent = b"".join(f.content for f in a_desired_host(**CHANGES, kubernetes_version="1.8.4").files).decode()
    assert set(leaks(sent)) == {*SECRETS[:-1], *PASSWORDS}
    secret = desired_token_secret(a_cluster(), material())
    assert secret is not None
    assert leaks(json.dumps(secret.manifest)) == [SECRETS[-1]]


@pytest.mark.parametrize("version", ["1.8.4", "1.20.2"])
def test_no_repr_shows_a_secret(version: str, tmp_path: Path) -> None:
    cluster = a_cluster(**CHANGES, kubernetes_version=version)
    desired = a_desired_host(cluster)
    observed = changed_everywhere(desired)
    plan = plan_host(desired, observed)
    shown = [
        cluster,
        Fleet({"production": cluster}, {}),
        material(),
        Material.blank(),
        desired,
        observed,
        plan,
        plan_host(desired, a_bare_host()),
        desired_token_secret(cluster, material()),
        Passwords("TOPSECRET", "TOPSECRET"),
        *desired.files,
    ]
    for each in shown:
        assert leaks(repr(each)) == [], type(each)
        assert leaks(str(each)) == [], type(each)


class Run:
    """What the report takes of a deployment."""

    def __init__(self) -> None:
        cluster = a_cluster(**CHANGES)
        desired = a_desired_host(cluster)
        secret = desired_token_secret(cluster, material())
        assert secret is not None
        self.dry_run = self.changed = False
        self.plans = {
            "new": plan_host(desired, a_bare_host()),
            "changed": plan_host(desired, changed_everywhere(desired)),
        }
        self.objects = {"production": [(secret, "missing")]}


def test_neither_plan_nor_report_shows_a_secret() -> None:
    run = Run()
    console = Console(width=200, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    print_plan(console, run.plans, new_files=True)
    print_objects(console, run.objects)
    text = console.export_text()
    assert "(secret: content not shown)" in text
    assert "auth_pass ********" in text
    assert "stats auth ********" in text
    assert leaks(text) == []
    assert leaks(json.dumps(deployment_report(run, []), default=str)) == []


def test_the_script_shows_no_secret_and_argv_none() -> None:
    plan = plan_host(a_desired_host(**CHANGES), a_bare_host())
    payload = build_payload(
        plan,
        run_id="a-run",
        roll_back=True,
        package_manager="apt-get",
        zstd=True,
        compressed={b.name: Path("/nowhere") for b in plan.binaries},
        render=render_purely,
    )
    assert leaks(payload.script) == []


def test_a_payloads_repr_shows_no_secret() -> None:
    plan = plan_host(a_desired_host(**CHANGES), a_bare_host())
    payload = build_payload(
        plan,
        run_id="a-run",
        roll_back=True,
        package_manager="apt-get",
        zstd=True,
        compressed={b.name: Path("/nowhere") for b in plan.binaries},
        render=render_purely,
    )
    assert leaks(repr(payload)) == []


def on_host(text: bytes) -> ObservedFile:
    return ObservedFile(0o644, "root", "root", len(text), DEPLOYED, "0" * 64, "regular file", text)


@pytest.mark.parametrize(
    "line",
    [
        "    auth_pass geheim",
        "\tauth_pass\tgeheim",
        "auth_pass geheim # the old one",
        "    stats auth admin:geheim",
        "stats   auth admin:geheim",
        "stats\tauth\tadmin:geheim",
        "    user watch insecure-password geheim",
        "    user watch password geheim",
        "ExecStart=/usr/bin/x --some-password=geheim --other",
        "ExecStart=/usr/bin/x --bearer-token geheim",
        "-----BEGIN PRIVATE KEY-----\ngeheim\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\ngeheim",
        "-----BEGIN EC PRIVATE KEY-----\ngeheim\n-----END EC PRIVATE KEY-----\nrest",
    ],
)
def test_what_others_wrote_is_masked(line: str) -> None:
    text = f"before\n{line}\nafter\n".encode()
    assert "geheim" not in masked(text)
    assert masked(text).startswith("before\n")
    desired = ManagedFile(path("/etc/haproxy/haproxy.cfg"), b"other\n")
    assert "geheim" not in "\n".join(difference(on_host(text), desired))


def test_what_is_no_secret_is_not_masked() -> None:
    text = (
        b"--service-account-issuer=x --enable-bootstrap-token-auth=true\nauth_type PASS\nauthentication {\n"
    )
    assert masked(text) == text.decode()


def test_a_secret_files_content_is_never_compared_in_public() -> None:
    file = ManagedFile(path("/x"), b"TOPSECRET", secret=True)
    assert (
        difference(None, file)
        == difference(on_host(b"TOPSECRET too"), file)
        == ("(secret: content not shown)",)
    )


def test_a_diff_reads_like_diff() -> None:
    file = ManagedFile(path("/etc/x"), b"one\nzwei\nthree\n")
    assert difference(on_host(b"one\ntwo\nthree\n"), file) == (
        "--- /etc/x",
        "+++ /etc/x",
        "@@ -1,3 +1,3 @@",
        " one",
        "-two",
        "+zwei",
        " three",
    )
    assert difference(None, file)[:2] == ("--- /dev/null", "+++ /etc/x")


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"auth_pass old\n", b"auth_pass new\n"), (b"a\r\n", b"a\n"), (b"a", b"a\n"), (b"\xff", b"\xfe")],
)
def test_a_difference_that_cannot_be_shown_is_said(before: bytes, after: bytes) -> None:
    file = ManagedFile(path("/etc/x"), after)
    assert difference(on_host(before), file) == ("(differs only in what is not shown)",)


def test_certificates_differ_in_words() -> None:
    certificate = pem(a_certificate())
    file = ManagedFile(path("/etc/x.pem"), certificate)
    (new,) = difference(None, file)
    assert new.startswith("+CN=sample")
    assert "valid until 20" in new
    old, again = difference(on_host(b"no certificate"), file)
    assert (old, again) == ("-(not a certificate)", new)
