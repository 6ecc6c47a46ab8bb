"""One command on all hosts, in an operator's hands, on real hosts without a control plane."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.tools import wait_for
from tests.lab.controller import ROOT, Controller, Ran

SUDO_PASSWORD = "lab-only"
CLOSED_PORT = 2222


def run(controller: Controller, *arguments: str, config: Path | None = None, **environment: str) -> Ran:
    ran = controller.runbook(
        "run", "--filter", "role=master", *arguments, config=config, **{"COLUMNS": "80", **environment}
    )
    assert "Traceback" not in ran.text
    return ran


def body(ran: Ran) -> str:
    """Return what follows the line of the phase."""
    first, _, rest = ran.stdout.partition("\n\n")
    assert first.startswith("✓ Run on ")
    return rest


def test_equal_outputs_are_shown_once(controller: Controller) -> None:
    ran = run(controller, "--", "echo", "a  b", "$HOME")
    assert (ran.status, ran.stderr) == (0, "")
    assert body(ran) == "m1, m2, m3: exit 0\n  a  b $HOME\n\n3 hosts: 3 exited with 0.\n"


def test_one_string_is_a_line_for_the_shell(controller: Controller) -> None:
    ran = run(controller, "--", 'n=it\\\'s; echo "$n" | tr a-z A-Z; test "$(hostname)" != m2 || exit 4')
    assert ran.status == 1
    assert body(ran) == (
        "m1, m3: exit 0\n  IT'S\n\nm2: exit 4\n  IT'S\n\n3 hosts: 2 exited with 0, 1 with 4.\n"
    )


def test_what_differs(controller: Controller) -> None:
    ran = run(controller, "--", "hostname; echo 'why [bold]not\\033[2J' >&2; cat")
    assert ran.status == 0
    assert body(ran).startswith("m1: exit 0\n  m1\n! why [bold]not\\x1b[2J\n\nm2: exit 0\n  m2\n")


@pytest.mark.parametrize(("user", "password"), [("ops", ""), ("asks", SUDO_PASSWORD)])
def test_root_only_when_asked_for(controller: Controller, tmp_path: Path, user: str, password: str) -> None:
    config = controller.inventory(tmp_path, {"group.username": user})
    passwords = {"KUBENORN_SUDO_PASSWORD": password}
    who = "id -un; test -n '' || echo e >&2"
    assert body(run(controller, "--", who, config=config, **passwords)).startswith(
        f"m1, m2, m3: exit 0\n  {user}\n! e\n\n"
    )
    assert body(run(controller, "--sudo", "--", who, config=config, **passwords)).startswith(
        "m1, m2, m3: exit 0\n  root\n! e\n\n"
    )
    streamed = run(controller, "--sudo", "--stream", "--", who, config=config, **passwords).stdout
    lines = [line for line in streamed.splitlines() if line.startswith("m1 ")]
    assert sorted(lines) == ["m1 ! e", "m1 | root"]


def test_sudo_that_lets_nobody_in(controller: Controller, tmp_path: Path) -> None:
    config = controller.inventory(tmp_path, {"hosts.m2.username": "nosudo"})
    ran = run(controller, "--sudo", "--", "true", config=config)
    assert ran.status == 1
    assert ran.stderr.startswith("m2: sudo ")
    assert body(ran).endswith("3 hosts: 2 exited with 0, 1 could not run it.\n")


def test_out_of_time(controller: Controller, lab: Lab) -> None:
    began = time.monotonic()
    ran = run(controller, "--timeout", "2s", "--", "echo begun; sleep 4711; echo over")
    assert (ran.status, time.monotonic() - began < 15) == (1, True)
    words = "m1, m2, m3: not done within 2 s, so it was ended (exit 124)\n  begun\n\n"
    assert body(ran) == f"{words}3 hosts: 3 not done in time.\n"
    stubborn = run(controller, "--filter", "name=m1", "--timeout", "1s", "--", "trap '' TERM; sleep 4711; :")
    assert "not done within 1 s, so it was ended (exit 137)" in stubborn.stdout
    assert lab.run("m1", "pgrep -fx 'sleep 4711' || echo none").stdout == "none\n"


def test_a_host_that_prints_without_end(controller: Controller, lab: Lab) -> None:
    ran = run(controller, "--", 'test "$(hostname)" = m2 || exec echo quiet; exec yes kubenorn-flood')
    assert ran.status == 1
    assert "m1, m3: exit 0\n  quiet\n" in ran.stdout
    assert "printed more than 64 MB and was given up" in ran.text
    assert wait_for(lambda: lab.run("m2", "pgrep -f kubenorn-floo[d]", check=False).stdout == "", seconds=20)


def test_a_command_that_is_killed(controller: Controller) -> None:
    ran = run(controller, "--filter", "name=m1", "--", "echo said; kill -9 $$")
    assert (ran.status, body(ran).startswith("m1: exit 137\n  said\n")) == (1, True)


def test_lines_as_they_arrive(controller: Controller) -> None:
    talk = "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.2; done; printf end; exit $(hostname | tr -d m)"
    ran = run(controller, "--stream", "--", talk)
    assert ran.status == 1
    lines, _, rest = ran.stdout.partition("✓ Run on ")
    for host in ("m1", "m2", "m3"):
        out = [f"{host} | out {number}" for number in (1, 2, 3)]
        assert [line for line in lines.splitlines() if line.startswith(f"{host} |")] == [
            *out,
            f"{host} | end",
        ]
        assert sum(line.startswith(f"{host} ! err ") for line in lines.splitlines()) == 3
    assert len(lines.splitlines()) == 21
    assert lines.index("m1 | out 1") < lines.index("m2 | out 3")
    assert rest.partition("\n\n")[2] == (
        "m1: exit 1\n\nm2: exit 2\n\nm3: exit 3\n\n3 hosts: 1 exited with 1, 1 with 2, 1 with 3.\n"
    )


def test_a_host_out_of_reach_keeps_nobody_else(controller: Controller, tmp_path: Path) -> None:
    config = controller.inventory(tmp_path / "inventory", {"hosts.m3.port": CLOSED_PORT})
    report = tmp_path / "run.json"
    ran = run(controller, "--json", str(report), "--", "echo o; printf '\\377' >&2", config=config)
    assert ran.status == 3
    assert body(ran) == "m1, m2: exit 0\n  o\n! �\n\n3 hosts: 2 exited with 0, 1 out of reach.\n"
    (sentence,) = ran.stderr.strip().splitlines()
    assert sentence.startswith("m3: ")
    assert f"refuses connections on port {CLOSED_PORT}" in sentence
    found = json.loads(report.read_text())
    assert found["command"] == "echo o; printf '\\377' >&2"
    assert found["hosts"].pop("m3") == {"problem": sentence.removeprefix("m3: ")}
    assert list(found["hosts"]) == ["m1", "m2"]
    for each in found["hosts"].values():
        assert 0 < each.pop("seconds") < 10
        assert each == {"exit_status": 0, "stdout": "o\n", "stderr": "�", "ended_after": None}


def test_control_c_shows_what_there_is(controller: Controller, lab: Lab) -> None:
    words = [
        sys.executable,
        str(ROOT / "runbooks" / "run.py"),
        "--config",
        str(lab.config),
        "--timeout",
        "20s",
    ]
    words += ["--filter", "role=master", "--stream", "--", "hostname; test $(hostname) = m1 || sleep 19"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as ran:
        assert ran.stdout is not None
        for _ in range(3):
            assert ran.stdout.readline() in {"m1 | m1\n", "m2 | m2\n", "m3 | m3\n"}
        time.sleep(1)
        ran.send_signal(signal.SIGINT)
        began = time.monotonic()
        stdout, stderr = ran.communicate(timeout=30)
    assert (ran.returncode, time.monotonic() - began < 5) == (130, True)
    assert "m1: exit 0\n\n3 hosts: 1 exited with 0, 2 interrupted.\n" in stdout
    assert "m2: Stopped as asked: the command may go on there until 20 s are over.\n" in stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is no command; write it after --"),
        (["--timeout", "soon", "--", "true"], "--timeout 'soon': is no duration"),
        (["--timeout", "500ms", "--", "true"], "--timeout 500ms: choose 1s to 1440min."),
        (["--ask-sudo-password", "--", "true"], "nothing runs as root; add --sudo"),
        (
            ["--json", "/no/such/folder/run.json", "--", "grep", "-v", "x"],
            "there is no folder /no/such/folder",
        ),
        (["--filter", "name=m9", "--", "true"], "no host matches"),
    ],
)
def test_wrong_input(controller: Controller, arguments: list[str], said: str) -> None:
    ran = run(controller, *arguments)
    assert (ran.status, ran.stdout, said in ran.stderr) == (2, "", True)
