"""Every way to log in, and every way it fails, on real hosts."""

import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from nornir.core.task import Result, Task

import tasks.pulse
from kubenorn.errors import HostsUnreachableError, HostsWrongError
from kubenorn.options import Passwords
from lab.lab import Lab
from tasks.exec_channel import Completed, run_command, run_script
from tasks.fleet_run import Outcome, run_on_hosts
from tasks.session import Session, open_session
from tests.lab.controller import ROOT, Controller

SSH = "group.data.ssh."
SUDO_PASSWORD = "lab-only"
WHO = 'echo "$(id -un) ${SUDO_USER:-nobody} ${SSH_CONNECTION%% *}"'
OTHER_PORT = 2222


def address(lab: Lab, host: str) -> str:
    return lab.host(host).me.address


def session_on(
    controller: Controller,
    folder: Path,
    changes: dict[str, Any] | None = None,
    *,
    host: str = "m2",
    ssh: str = "",
    sudo: str = "",
    key: str = "",
) -> Session:
    config = controller.inventory(folder / "inventory", changes or {})
    return open_session(config, [f"name={host}"], passwords=Passwords(ssh, sudo, key))


def on(session: Session, command: str = "sh -s", **arguments: Any) -> Completed:
    """Run a command as the runbooks do and return what it left; `text` or `feed` is its standard input."""
    text = arguments.pop("text", "")
    arguments.setdefault("feed", lambda pipe: pipe.write(text.encode()))
    arguments.setdefault("timeout", 30)

    def task(task: Task) -> Result:
        return Result(host=task.host, result=run_command(task, command, **arguments))

    outcome: Outcome[Completed] = run_on_hosts(session.nornir, task, session.hosts)
    for error in outcome.failures.values():
        raise error
    (completed,) = outcome.results.values()
    return completed


def who(session: Session) -> str:
    return on(session, text=WHO).stdout.strip()


def refusal(
    controller: Controller, folder: Path, changes: dict[str, Any], host: str = "m2", **environment: str
) -> tuple[int, str]:
    """Return exit status and the one sentence of a run that reaches the hosts but changes nothing."""
    config = controller.inventory(folder / "inventory", changes)
    ran = controller.runbook("deploy", "--dry-run", "--filter", f"name={host}", config=config, **environment)
    (sentence,) = ran.stderr.strip().splitlines()
    assert "Traceback" not in ran.text
    assert "Common causes" not in ran.text
    assert sentence.startswith(f"{host}: ")
    return ran.status, sentence


def make_key(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
    return path


@contextmanager
def authorised(lab: Lab, host: str, public_key: Path) -> Iterator[None]:
    """Let one more key in as root."""
    file = "/root/.ssh/authorized_keys"
    lab.run(host, f"cp -p {file} {file}.kept && cat >> {file}", input=public_key.read_text())
    try:
        yield
    finally:
        lab.run(host, f"mv {file}.kept {file}")


@contextmanager
def agent(*keys: Path) -> Iterator[str]:
    """Run an ssh-agent with these keys, and return its socket."""
    told = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(SSH_\w+)=([^;]+);", told))
    try:
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, **found}, check=True)
        yield found["SSH_AUTH_SOCK"]
    finally:
        os.kill(int(found["SSH_AGENT_PID"]), 15)


@contextmanager
def sshd_on_other_port(lab: Lab, host: str) -> Iterator[None]:
    pid = "/run/kubenorn-test-sshd.pid"
    lab.run(host, f"$(command -v sshd) -p {OTHER_PORT} -o PidFile={pid}; sleep 0.2; test -s {pid}")
    try:
        yield
    finally:
        lab.run(host, f"kill $(cat {pid})")


@contextmanager
def other_host_key(lab: Lab, host: str) -> Iterator[None]:
    """Give the host new keys, as a reinstallation would."""
    keys = "/etc/ssh/ssh_host_"
    lab.run(
        host,
        "mkdir /root/kept && cp -p /etc/ssh/ssh_host_* /root/kept/ && rm /etc/ssh/ssh_host_* && "
        f"ssh-keygen -q -t ed25519 -N '' -f {keys}ed25519_key && systemctl restart ssh",
    )
    merged = lab.folder / "hosts" / host / "merged"
    try:
        yield
    finally:
        # Not over ssh: its known key is away.
        for file in (merged / "root" / "kept").iterdir():
            file.replace(merged / "etc" / "ssh" / file.name)
        (merged / "root" / "kept").rmdir()
        init = lab.host(host).init()
        subprocess.run(
            ["nsenter", "-t", str(init), "-m", "-p", "systemctl", "restart", "ssh"], check=True, timeout=30
        )


class TestWaysIn:
    def test_the_key_of_root(self, controller: Controller, tmp_path: Path) -> None:
        assert who(session_on(controller, tmp_path)).startswith("root nobody ")

    def test_a_login_runs_no_shell_of_its_own(self, controller: Controller, lab: Lab, tmp_path: Path) -> None:
        """netmiko asks for one; it would run what root's profile and the message of the day say."""
        ran = "ls /run/profile-ran 2>/dev/null || echo none"
        lab.run("m2", "cp -p /root/.profile /root/kept && echo 'touch /run/profile-ran' >>/root/.profile")
        try:
            assert who(session_on(controller, tmp_path)).startswith("root ")
            assert lab.run("m2", f"sleep 0.5; {ran}").stdout == "none\n"
            assert lab.run("m2", f"bash -l -c true; {ran}").stdout == "/run/profile-ran\n"
        finally:
            lab.run("m2", "mv /root/kept /root/.profile; rm -f /run/profile-ran")

    @pytest.mark.parametrize(
        ("user", "password"), [("ops", ""), ("ops", "unused-secret"), ("asks", SUDO_PASSWORD)]
    )
    def test_sudo_of_other_users(
        self, controller: Controller, tmp_path: Path, user: str, password: str
    ) -> None:
        session = session_on(controller, tmp_path, {"group.username": user}, sudo=password)
        assert who(session).startswith(f"root {user}")

    def test_an_encrypted_key(self, controller: Controller, lab: Lab, tmp_path: Path) -> None:
        key = make_key(tmp_path / "id", "phrase")
        with authorised(lab, "m2", tmp_path / "id.pub"):
            session = session_on(controller, tmp_path, {f"{SSH}key_file": str(key)}, key="phrase")
            assert who(session).startswith("root ")

    def test_the_login_password(self, controller: Controller, tmp_path: Path) -> None:
        changes = {"group.username": "asks", f"{SSH}key_file": None}
        session = session_on(controller, tmp_path, changes, ssh=SUDO_PASSWORD, sudo=SUDO_PASSWORD)
        assert who(session).startswith("root asks")

    def test_the_agent(
        self, controller: Controller, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changes = {f"{SSH}key_file": None, f"{SSH}use_agent": True}
        with agent(lab.folder / "id_ed25519") as socket:
            monkeypatch.setenv("SSH_AUTH_SOCK", socket)
            assert who(session_on(controller, tmp_path, changes)).startswith("root ")

    def test_another_port(self, controller: Controller, lab: Lab, tmp_path: Path) -> None:
        known_hosts = tmp_path / "known_hosts"
        changes = {"hosts.m2.port": OTHER_PORT, f"{SSH}known_hosts": str(known_hosts)}
        config = controller.inventory(tmp_path / "inventory", changes)
        with sshd_on_other_port(lab, "m2"):
            ran = controller.runbook("trust", "--filter", "name=m2", "--yes", config=config)
            assert ran.status == 0, ran.text
            name = f"[{address(lab, 'm2')}]:{OTHER_PORT} "
            assert all(line.startswith(name) for line in known_hosts.read_text().splitlines())
            session = session_on(controller, tmp_path, changes)
            assert on(session, text="echo ${SSH_CONNECTION##* }").stdout == f"{OTHER_PORT}\n"

    def test_ssh_config_with_several_keys(self, controller: Controller, lab: Lab, tmp_path: Path) -> None:
        strange = make_key(tmp_path / "strange")
        (tmp_path / "ssh_config").write_text(
            f"Host m2\n HostName {address(lab, 'm2')}\n User root\n IdentityFile {tmp_path}/missing\n"
            f" IdentityFile {strange}\n IdentityFile {lab.folder}/id_ed25519\n"
        )
        changes = {
            "hosts.m2.hostname": "m2",
            "hosts.m2.data.master": {"address": address(lab, "m2")},
            "group.username": None,
            f"{SSH}key_file": None,
            f"{SSH}config_file": str(tmp_path / "ssh_config"),
        }
        assert who(session_on(controller, tmp_path, changes)).startswith("root ")


class TestThroughAnotherHost:
    @pytest.fixture
    def proxies(self, lab: Lab, tmp_path: Path) -> dict[str, dict[str, Any]]:
        jump = f"root@{address(lab, 'm1')}"
        lab_ssh = (
            f"ssh -F none -o UserKnownHostsFile={lab.folder}/known_hosts -i {lab.folder}/id_ed25519 -W %h:%p"
        )
        ssh_configs = {
            "ProxyJump": f"Host *\n ProxyJump {jump}\nHost {address(lab, 'm1')}\n ProxyJump none\n",
            "ProxyCommand": f"Host *\n ProxyCommand {lab_ssh} {jump}\n",
        }
        for name, text in ssh_configs.items():
            (tmp_path / name).write_text(
                text.replace("Host *\n ProxyJump", f"Host {address(lab, 'm2')}\n ProxyJump")
            )
        configs = {name: {f"{SSH}config_file": str(tmp_path / name)} for name in ssh_configs}
        return {"jump_host": {f"{SSH}jump_host": jump}, **configs}

    @pytest.mark.parametrize("way", ["jump_host", "ProxyJump", "ProxyCommand"])
    def test_the_host_sees_the_other_host(
        self, controller: Controller, lab: Lab, tmp_path: Path, proxies: dict[str, dict[str, Any]], way: str
    ) -> None:
        session = session_on(controller, tmp_path, proxies[way])
        assert who(session) == f"root nobody {address(lab, 'm1')}"

    def test_one_login_at_the_jump_host_serves_all(
        self, controller: Controller, lab: Lab, tmp_path: Path, proxies: dict[str, dict[str, Any]]
    ) -> None:
        config = controller.inventory(tmp_path / "inventory", proxies["jump_host"])
        session = open_session(config, ["name=m2,m3"])

        def task(task: Task) -> Result:
            return Result(host=task.host, result=run_script(task, WHO, timeout=20).stdout)

        def logins() -> int:
            journal = lab.run("m1", "journalctl -q -u ssh --no-pager -o cat | grep -c 'Accepted publickey'")
            return int(journal.stdout)

        before = logins()
        assert set(run_on_hosts(session.nornir, task, ["m2", "m3"]).all_or_raise().values()) == {
            f"root nobody {address(lab, 'm1')}\n"
        }
        # The count's own login, and one at the jump host.
        assert logins() - before == 2

    def test_a_jump_host_that_refuses_is_named(
        self, controller: Controller, lab: Lab, tmp_path: Path
    ) -> None:
        jump = address(lab, "m1")
        status, sentence = refusal(controller, tmp_path, {f"{SSH}jump_host": f"nobody@{jump}"})
        assert status == 3
        assert f"jump host nobody@{jump}: refused the login with the key " in sentence

    def test_an_unknown_key_of_the_jump_host_is_told_as_its_own(
        self, controller: Controller, lab: Lab, tmp_path: Path
    ) -> None:
        known = (lab.folder / "known_hosts").read_text().splitlines()
        mine = [line for line in known if line.startswith(address(lab, "m2"))]
        (tmp_path / "known_hosts").write_text("\n".join(mine) + "\n")
        changes = {
            f"{SSH}jump_host": f"root@{address(lab, 'm1')}",
            f"{SSH}known_hosts": str(tmp_path / "known_hosts"),
        }
        status, sentence = refusal(controller, tmp_path, changes)
        assert status == 3
        assert f"jump host root@{address(lab, 'm1')}: its host key (ssh-ed25519 SHA256:" in sentence

    def test_a_host_the_jump_host_cannot_reach(
        self, controller: Controller, lab: Lab, tmp_path: Path
    ) -> None:
        changes = {f"{SSH}jump_host": f"root@{address(lab, 'm1')}", "hosts.m2.port": OTHER_PORT}
        status, sentence = refusal(controller, tmp_path, changes)
        assert status == 3
        assert f"port {OTHER_PORT}: the jump host cannot connect to it" in sentence

    def test_a_proxy_command_that_fails_says_why(self, controller: Controller, tmp_path: Path) -> None:
        (tmp_path / "ssh_config").write_text("Host *\n ProxyCommand echo no way through >&2; exit 1\n")
        status, sentence = refusal(controller, tmp_path, {f"{SSH}config_file": str(tmp_path / "ssh_config")})
        assert status == 3
        assert "ProxyCommand fails (no way through)" in sentence


class TestRefusals:
    def test_key_files(self, controller: Controller, tmp_path: Path) -> None:
        status, sentence = refusal(controller, tmp_path, {f"{SSH}key_file": str(tmp_path / "none")})
        assert (status, "data.ssh.key_file) does not exist" in sentence) == (2, True)
        key = make_key(tmp_path / "id", "phrase")
        changes = {f"{SSH}key_file": str(key)}
        status, sentence = refusal(controller, tmp_path, changes)
        assert (status, "KUBENORN_KEY_PASSPHRASE" in sentence) == (2, True)
        # Opened, but the host does not know it.
        status, sentence = refusal(controller, tmp_path, changes, KUBENORN_KEY_PASSPHRASE="phrase")
        assert (status, f"refused the login with the key {key};" in sentence) == (3, True)

    def test_passwords(self, controller: Controller, tmp_path: Path) -> None:
        changes = {"group.username": "asks", f"{SSH}key_file": None}
        status, sentence = refusal(controller, tmp_path, changes, KUBENORN_SSH_PASSWORD="guessed")
        assert (status, "refused the login with the password;" in sentence) == (3, True)
        assert "guessed" not in sentence
        changes["group.username"] = "ops"
        status, sentence = refusal(controller, tmp_path, changes, KUBENORN_SSH_PASSWORD="guessed")
        assert (status, "its sshd accepts publickey only" in sentence) == (3, True)

    def test_an_agent_without_keys(self, controller: Controller, tmp_path: Path) -> None:
        changes = {f"{SSH}key_file": None, f"{SSH}use_agent": True}
        with agent() as socket:
            status, sentence = refusal(controller, tmp_path, changes, SSH_AUTH_SOCK=socket)
        assert (status, "agent does not answer or holds no key" in sentence) == (3, True)

    def test_places_where_no_host_is(self, controller: Controller, lab: Lab, tmp_path: Path) -> None:
        status, sentence = refusal(controller, tmp_path, {"hosts.m2.port": OTHER_PORT})
        assert (status, f"refuses connections on port {OTHER_PORT}" in sentence) == (3, True)
        named = {"hosts.m2.data.master": {"address": address(lab, "m2")}}
        status, sentence = refusal(
            controller, tmp_path, {**named, "hosts.m2.hostname": "no-such-host.invalid"}
        )
        assert (status, "the name no-such-host.invalid cannot be resolved" in sentence) == (3, True)

    def test_a_host_that_hangs(self, controller: Controller, lab: Lab, tmp_path: Path) -> None:
        lab.freeze("m3")
        try:
            changes = {f"{SSH}connect_timeout": 1}
            status, sentence = refusal(controller, tmp_path, changes, host="m3")
        finally:
            lab.thaw("m3")
        assert (status, "no SSH server answered within 1 s" in sentence) == (3, True)

    def test_sudo(self, controller: Controller, lab: Lab, tmp_path: Path) -> None:
        status, sentence = refusal(controller, tmp_path, {"group.username": "asks"})
        assert (status, "sudo asks for a password; run again with --ask-sudo-password" in sentence) == (
            2,
            True,
        )
        began = time.monotonic()
        status, sentence = refusal(
            controller, tmp_path, {"group.username": "asks"}, KUBENORN_SUDO_PASSWORD="guessed"
        )
        assert (status, "sudo refused the password" in sentence) == (2, True)
        assert "guessed" not in sentence
        assert time.monotonic() - began < 10
        lab.run("m2", "echo nosudo:lab-only | chpasswd")
        try:
            status, sentence = refusal(
                controller, tmp_path, {"group.username": "nosudo"}, KUBENORN_SUDO_PASSWORD=SUDO_PASSWORD
            )
        finally:
            lab.run("m2", "usermod -p '*' nosudo")
        assert (status, "nosudo is not in the sudoers file" in sentence) == (2, True)


def test_the_sudo_password_from_a_prompt(controller: Controller, tmp_path: Path) -> None:
    config = controller.inventory(tmp_path / "inventory", {"group.username": "asks"})
    words = [sys.executable, str(ROOT / "runbooks" / "deploy.py"), "--config", str(config)]
    words += ["--dry-run", "--ask-sudo-password"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(words[0], words)
    shown = read_until(terminal, b"sudo password:")
    # What is typed before the echo is off is thrown away.
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        time.sleep(0.01)
    os.write(terminal, f"{SUDO_PASSWORD}\n".encode())
    shown += read_until(terminal, None)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, shown.decode()
    assert SUDO_PASSWORD.encode() not in shown


def read_until(terminal: int, words: bytes | None, seconds: float = 60) -> bytes:
    """Return what a program shows until it says `words`, or until it has ended."""
    shown = b""
    while words is None or words not in shown:
        assert select.select([terminal], [], [], seconds)[0], shown.decode()
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # how a terminal says that nobody has it open any more
            return shown
    return shown


class TestCommands:
    @pytest.fixture
    def root(self, controller: Controller, tmp_path: Path) -> Session:
        return session_on(controller, tmp_path)

    @pytest.mark.parametrize("user", ["root", "ops", "asks"])
    def test_standard_input_arrives_unchanged(
        self, controller: Controller, tmp_path: Path, user: str
    ) -> None:
        session = session_on(controller, tmp_path, {"group.username": user}, sudo=SUDO_PASSWORD)
        completed = on(session, "cat", text="one\ntwo\n")
        assert (completed.stdout, completed.stderr) == ("one\ntwo\n", "")

    def test_a_command_that_writes_as_much_as_it_reads(self, root: Session) -> None:
        size = 12 << 20

        def feed(pipe: IO[bytes]) -> None:
            for _ in range(size >> 20):
                pipe.write(b"x" * (1 << 20))

        completed = on(root, "tee /dev/stderr", feed=feed)
        assert (len(completed.stdout), len(completed.stderr)) == (size, size)

    def test_a_command_that_does_not_read_to_the_end(self, root: Session) -> None:
        completed = on(root, "sh -c 'echo why >&2; exit 3'", feed=lambda pipe: pipe.write(b"x" * (8 << 20)))
        assert (completed.exit_status, completed.stderr) == (3, "why\n")

    def test_a_child_in_the_background_does_not_hold_the_run(self, root: Session) -> None:
        began = time.monotonic()
        assert on(root, text="sleep 20 & echo done").stdout == "done\n"
        assert time.monotonic() - began < 10

    def test_too_slow(self, root: Session) -> None:
        with pytest.raises(HostsUnreachableError, match="no answer within 1 s"):
            on(root, text="sleep 20", timeout=1)

    def test_a_killed_command(self, root: Session) -> None:
        with pytest.raises(HostsWrongError, match="killed on the host"):
            on(root, text="kill -9 $$")

    def test_a_dropped_connection_is_told_and_the_next_command_gets_a_new_one(self, root: Session) -> None:
        with pytest.raises(HostsUnreachableError, match="connection broke off"):
            on(root, text="kill -9 $PPID; sleep 20")
        assert who(root).startswith("root ")

    def test_a_file_that_cannot_be_read_here(self, root: Session) -> None:
        def feed(pipe: IO[bytes]) -> None:
            pipe.write(Path("/no/such/file").read_bytes())

        with pytest.raises(HostsWrongError, match="cannot be read on this machine"):
            on(root, "cat", feed=feed)

    @pytest.mark.parametrize(
        ("cable", "said"), [(True, "the host has not answered for"), (False, "connection broke off")]
    )
    def test_a_host_that_goes_away_in_mid_command(
        self,
        controller: Controller,
        lab: Lab,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        cable: bool,
        said: str,
    ) -> None:
        monkeypatch.setattr(tasks.pulse, "SILENCE_SECONDS", 1)
        monkeypatch.setattr(tasks.pulse, "ANSWER_SECONDS", 2)
        session = session_on(controller, tmp_path, host="m3")
        # A host that is only silent is waited for.
        assert on(session, text="sleep 3; echo awake").stdout == "awake\n"

        def go_away() -> None:
            if cable:
                subprocess.run(["ip", "link", "set", lab.host("m3").port, "down"], check=True)
            else:
                lab.off("m3")

        timer = threading.Timer(0.5, go_away)
        timer.start()
        began = time.monotonic()
        try:
            with pytest.raises(HostsUnreachableError, match=said):
                on(session, text="sleep 60", timeout=60)
            assert time.monotonic() - began < 15
            status, sentence = refusal(controller, tmp_path, {f"{SSH}connect_timeout": 1}, host="m3")
        finally:
            timer.join()
            lab.off("m3")
            lab.on("m3")
        assert (status, "check that the host is up" in sentence) == (3, True)
        # A new connection, where the session still holds the dead one.
        assert who(session).startswith("root ")


class TestTrust:
    @pytest.fixture
    def known_hosts(self, tmp_path: Path) -> Path:
        return tmp_path / "known_hosts"

    @pytest.fixture
    def config(self, controller: Controller, tmp_path: Path, known_hosts: Path) -> Path:
        return controller.inventory(tmp_path / "inventory", {f"{SSH}known_hosts": str(known_hosts)})

    @staticmethod
    def fingerprints(lab: Lab, host: str) -> set[str]:
        told = lab.run(host, "cat /etc/ssh/ssh_host_*_key.pub | ssh-keygen -lf -").stdout
        return {line.split()[1] for line in told.splitlines()}

    @staticmethod
    def recorded(known_hosts: Path) -> set[str]:
        told = subprocess.run(
            ["ssh-keygen", "-lf", str(known_hosts)], capture_output=True, text=True, check=True
        ).stdout
        return {line.split()[1] for line in told.splitlines()}

    def test_first_contact(
        self, controller: Controller, lab: Lab, tmp_path: Path, config: Path, known_hosts: Path
    ) -> None:
        known_hosts.write_bytes(b"# mine\nelsewhere ssh-ed25519 AAAA no newline")
        before = known_hosts.read_bytes()
        asked = controller.runbook("trust", config=config)
        assert (asked.status, known_hosts.read_bytes()) == (2, before)
        assert "--yes" in asked.stderr

        ran = controller.runbook("trust", "--yes", config=config)
        assert ran.status == 0, ran.text
        truth = {print_ for host in lab.hosts for print_ in self.fingerprints(lab, host.name)}
        assert truth <= set(ran.stdout.split())
        assert truth <= self.recorded(known_hosts)
        assert known_hosts.read_bytes().startswith(before + b"\n")
        assert known_hosts.stat().st_mode & 0o777 == 0o644

        content = known_hosts.read_bytes()
        again = controller.runbook("trust", config=config)
        assert (again.status, known_hosts.read_bytes()) == (0, content)
        assert "All host keys are known." in again.stdout
        changes = {f"{SSH}known_hosts": str(known_hosts)}
        assert who(session_on(controller, tmp_path, changes)).startswith("root ")

    def test_an_unknown_key_is_told_with_its_fingerprint(
        self, controller: Controller, lab: Lab, tmp_path: Path, known_hosts: Path
    ) -> None:
        status, sentence = refusal(controller, tmp_path, {f"{SSH}known_hosts": str(known_hosts)})
        assert status == 3
        assert f"is not in {known_hosts}; run runbooks/trust.py" in sentence
        assert any(print_ in sentence for print_ in self.fingerprints(lab, "m2"))

    def test_a_changed_key(
        self, controller: Controller, lab: Lab, tmp_path: Path, config: Path, known_hosts: Path
    ) -> None:
        known_hosts.write_bytes((lab.folder / "known_hosts").read_bytes())
        before = known_hosts.read_bytes()
        with other_host_key(lab, "m3"):
            changes = {f"{SSH}known_hosts": str(known_hosts)}
            status, sentence = refusal(controller, tmp_path, changes, host="m3")
            assert (status, f"is not the one in {known_hosts}" in sentence) == (3, True)

            ran = controller.runbook("trust", "--yes", config=config)
            assert (ran.status, known_hosts.read_bytes()) == (1, before)
            assert "m3: its host key is not the one in" in ran.stderr
            assert "--replace m3" in ran.stderr
            assert "CHANGED" in ran.stdout

            ran = controller.runbook("trust", "--yes", "--replace", "m3", config=config)
            assert ran.status == 0, ran.text
            lines = known_hosts.read_text().splitlines()
            mine = [line for line in lines if line.startswith(f"{address(lab, 'm3')} ")]
            assert len(mine) == 1
            assert [line for line in before.decode().splitlines() if "m3" not in line] == [
                line for line in lines if "m3" not in line and line not in mine
            ]
            assert who(session_on(controller, tmp_path, changes, host="m3")).startswith("root ")

    def test_unreachable_hosts_do_not_keep_the_others(
        self, controller: Controller, lab: Lab, tmp_path: Path, known_hosts: Path
    ) -> None:
        changes = {f"{SSH}known_hosts": str(known_hosts), "hosts.m2.port": OTHER_PORT}
        config = controller.inventory(tmp_path / "inventory", changes)
        ran = controller.runbook("trust", "--yes", config=config)
        assert ran.status == 3
        (sentence,) = ran.stderr.strip().splitlines()
        assert sentence.startswith(f"m2: root@{address(lab, 'm2')} port {OTHER_PORT}: refuses connections")
        assert self.recorded(known_hosts) == self.fingerprints(lab, "m1") | self.fingerprints(lab, "m3")

    def test_the_jump_host_is_trusted_before_those_behind_it(
        self, controller: Controller, lab: Lab, tmp_path: Path, known_hosts: Path
    ) -> None:
        changes = {f"{SSH}known_hosts": str(known_hosts), f"{SSH}jump_host": f"root@{address(lab, 'm1')}"}
        config = controller.inventory(tmp_path / "inventory", changes)
        ran = controller.runbook("trust", "--filter", "name=m2,m3", "--yes", config=config)
        assert ran.status == 0, ran.text
        assert f"jump host {address(lab, 'm1')}" in ran.stdout
        assert [line.split()[0] for line in known_hosts.read_text().splitlines()] == [
            address(lab, host) for host in ("m1", "m1", "m2", "m2", "m3", "m3")
        ]

    def test_replace_wants_a_selected_host(self, controller: Controller, config: Path) -> None:
        ran = controller.runbook("trust", "--replace", "m9", config=config)
        assert (ran.status, ran.stderr.startswith("--replace m9: not among the selected hosts")) == (2, True)
