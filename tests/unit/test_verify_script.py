"""The verify script and the list of listeners, run here with programs that say what a host's may say."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from kubenorn.evidence import Evidence, HttpAnswer, parse_evidence
from kubenorn.records import parse_listener, records
from kubenorn.render import render_purely
from tasks.verify_host import Tools, verify_script
from tests.unit.builders import NAMES as MASTERS
from tests.unit.builders import a_cluster

NAMES = ("health-kube-apiserver", "metrics-kube-apiserver", "leader-kube-scheduler")
ANSWERED = """#!/bin/sh
for word; do
    case $before in -o) cp "$bodies/${word##*/}" "$word" 2>/dev/null ;; esac
    before=$word
done
cat "$bodies/statuses"
cat "$bodies/errors" >&2
"""


def evidence(folder: Path, bodies: dict[str, bytes], statuses: str, errors: str, *, brief: bool) -> Evidence:
    """Return what the script makes of a curl that writes these bodies and says this."""
    programs, answers = folder / "bin", folder / "answers"
    for made in (programs, answers, folder / "work"):
        made.mkdir()
    (programs / "curl").write_text(ANSWERED)
    (programs / "mktemp").write_text(f"#!/bin/sh\necho {folder}/work\n")
    for name in ("systemctl", "netstat"):
        (programs / name).write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    for name, body in bodies.items():
        (answers / f"{name}.body").write_bytes(body)
    (answers / "statuses").write_text(statuses)
    (answers / "errors").write_text(errors)
    variables = {
        "groups": [[{"name": name, "word": f"https://x/{name}", "options": ""} for name in NAMES]],
        "seconds": 1,
        "tools": Tools("", "", "", "", "", ""),
        "units": "",
        "brief": brief,
        "etcd_endpoints": "",
        "managed_etcd": False,
        "speaker": False,
    }
    done = subprocess.run(
        ["sh", "-s"],
        input=render_purely("verify.sh.j2", variables),
        env={"PATH": f"{programs}:{os.environ['PATH']}", "bodies": str(answers)},
        capture_output=True,
        text=True,
        check=True,
    )
    return parse_evidence(done.stdout)


MEASURED = (
    b"# HELP one\n"
    + b"# TYPE one\n"
    + b"one 1\n" * 1000
    + b'kubernetes_build_info{gitVersion="v1"} 1\nleader_election_master_status{name="x"} 1\n'
)
THREE = "200\t0.1\t2\n200\t0.2\t9\n200\t0.3\t4\n"


@pytest.mark.parametrize("brief", [True, False])
def test_bodies_come_back_as_they_are_but_for_measurements(tmp_path: Path, brief: bool) -> None:
    lease = '{\n\t"holder": "tab \\t and line \\n", "näme": "\\\\"\n}'.encode()
    bodies = dict(zip(NAMES, (b"ok", MEASURED, lease), strict=True))
    seen = evidence(tmp_path, bodies, THREE, "", brief=brief)
    assert seen.http["health-kube-apiserver"] == HttpAnswer(200, 0.1, 2, b"ok\n", "")
    assert seen.http["leader-kube-scheduler"] == HttpAnswer(200, 0.3, 4, lease + b"\n", "")
    measured = seen.metrics("kube-apiserver").splitlines()
    wanted = ["# HELP one", "# TYPE one"]
    if brief:
        wanted += ['kubernetes_build_info{gitVersion="v1"} 1', 'leader_election_master_status{name="x"} 1']
    assert measured == wanted


def test_an_endless_line_of_measurements_is_cut(tmp_path: Path) -> None:
    seen = evidence(tmp_path, {"metrics-kube-apiserver": b"x" * 1_000_000}, THREE, "", brief=True)
    assert len(seen.metrics("kube-apiserver")) == 1001


def test_what_was_not_answered_says_why_and_the_others_are_kept(tmp_path: Path) -> None:
    statuses = "200\t0.1\t2\n000\t0.2\t0\n000\t0.3\t0\n"
    errors = "curl: (60) SSL certificate problem\nMore details here: https://x\n\ncurl: (28)\todd\tone\n"
    seen = evidence(tmp_path, {"health-kube-apiserver": b"ok"}, statuses, errors, brief=False)
    assert seen.http["health-kube-apiserver"].text == "ok"
    assert seen.http["metrics-kube-apiserver"].error == "curl: (60) SSL certificate problem"
    assert seen.http["leader-kube-scheduler"].error == "curl: (28) odd one"


def test_an_audit_asks_all_that_is_at_one_place_over_one_connection() -> None:
    """Each curl is a handshake; an address in quotes is no other place."""
    cluster = a_cluster()
    script = verify_script(cluster, MASTERS[0], render_purely, speaks=False, brief=True)
    asked = re.findall(r"^ask \d+ (.+) &$", script, re.MULTILINE)
    places = [re.findall(r"--url '?(\w+://[^/ ]+|\"?\$etcd_url\"?)", line) for line in asked]
    assert all(places)
    assert all(len(set(each)) == 1 for each in places), places
    as_whom = [(line.partition(" -o ")[0], each[0]) for line, each in zip(asked, places, strict=True)]
    assert len(as_whom) == len(set(as_whom)), as_whom
    assert any(len(each) >= 5 for each in places), (
        "kube-apiserver's own: health, version, readiness and two leases"
    )


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("netstat", "Proto\ntcp 0 0 127.0.0.1:99 0.0.0.0:* LISTEN 7/an\todd\tname\n"),
        ("ss", 'State\nLISTEN 0 1 127.0.0.1:99 0.0.0.0:* users:(("an\todd\tname",pid=7,fd=3))\n'),
    ],
)
def test_a_process_may_have_tabs_in_its_name(tmp_path: Path, program: str, said: str) -> None:
    (tmp_path / "said").write_text(said)
    (tmp_path / program).write_text(f"#!/bin/sh\n/bin/cat {tmp_path}/said\n")
    (tmp_path / program).chmod(0o755)
    (tmp_path / "sed").symlink_to("/bin/sed")
    script = render_purely("listeners.sh.j2", {})
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=script,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    ((tool, text),) = records(done.stdout)
    socket = parse_listener(tool, text)
    assert socket
    assert (tool, socket.port, socket.pid) == (program, 99, 7)
