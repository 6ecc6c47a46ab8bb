import errno
import getpass
import socket
import subprocess
from pathlib import Path

import paramiko
import pytest
from netmiko.exceptions import NetmikoTimeoutException
from nornir.core.inventory import Host

from kubenorn.errors import HostsUnreachableError, InputWrongError
from kubenorn.known_hosts import HostKey, KeyState
from kubenorn.options import Passwords
from kubenorn.settings import SshSettings
from tasks.endpoint import Endpoint, endpoint_of, parse_jump
from tasks.login import connection_options, login_of
from tasks.login_failure import Attempt, HostKeyRefusedError, login_failure
from tasks.ssh_keys import load_key
from tasks.wire import JumpHosts


def settings(folder: Path, ssh_config: str | None = None, **values: object) -> SshSettings:
    if ssh_config is not None:
        (folder / "ssh_config").write_text(ssh_config)
        values["config_file"] = "ssh_config"
    return SshSettings.model_validate(values, context={"folder": folder})


class TestEndpoint:
    def test_the_inventory_alone(self, tmp_path: Path) -> None:
        host = Host("m1", hostname="10.0.0.1", port=2222, username="ops")
        endpoint = endpoint_of(host, settings(tmp_path, key_file="id"))
        assert endpoint == Endpoint("10.0.0.1", 2222, "ops", (str(tmp_path / "id"),))
        assert endpoint.known_name == "[10.0.0.1]:2222"

    def test_the_login_name_is_the_last_resort(self, tmp_path: Path) -> None:
        assert endpoint_of(Host("m1"), settings(tmp_path)).username == getpass.getuser()

    def test_ssh_config_fills_in_what_the_inventory_leaves_open(self, tmp_path: Path) -> None:
        config = "Host m1\n HostName 10.0.0.9\n Port 2200\n User core\n IdentityFile /k/one\n IdentityFile /k/two\n"
        endpoint = endpoint_of(Host("m1"), settings(tmp_path, config))
        assert endpoint == Endpoint("10.0.0.9", 2200, "core", ("/k/one", "/k/two"))

    def test_the_inventory_wins_over_ssh_config_also_in_tokens(self, tmp_path: Path) -> None:
        config = "Host *\n Port 2200\n User core\n IdentityFile /k/one\n ProxyCommand nc -u %r %h %p\n"
        host = Host("m1", hostname="10.0.0.1", port=2222, username="ops")
        endpoint = endpoint_of(host, settings(tmp_path, config, key_file="/k/mine"))
        assert endpoint == Endpoint(
            "10.0.0.1", 2222, "ops", ("/k/mine",), proxy_command="nc -u ops 10.0.0.1 2222"
        )

    def test_jump_host_of_the_inventory_comes_before_ssh_config(self, tmp_path: Path) -> None:
        config = "Host m1\n ProxyJump other\n"
        host = Host("m1", username="ops")
        endpoint = endpoint_of(host, settings(tmp_path, config, jump_host="root@10.0.0.7:2222"))
        assert endpoint.jump == Endpoint("10.0.0.7", 2222, "root")

    def test_several_jumps_and_their_own_sections(self, tmp_path: Path) -> None:
        config = (
            "Host m1\n ProxyJump root@first,second\nHost second\n HostName 10.0.0.2\n User two\n"
            "Host first\n HostName 10.0.0.3\n Port 24\n"
        )
        route = endpoint_of(Host("m1", username="ops"), settings(tmp_path, config)).route
        assert [str(stop) for stop in route] == ["root@10.0.0.3 port 24", "two@10.0.0.2", "ops@m1"]

    def test_proxy_none_is_none(self, tmp_path: Path) -> None:
        config = "Host m1\n ProxyJump none\n ProxyCommand none\n"
        endpoint = endpoint_of(Host("m1"), settings(tmp_path, config))
        assert endpoint.jump is None
        assert endpoint.proxy_command is None

    def test_a_circle_of_jumps_is_told(self, tmp_path: Path) -> None:
        config = "Host a\n ProxyJump b\nHost b\n ProxyJump a\n"
        with pytest.raises(InputWrongError, match="circle"):
            endpoint_of(Host("a"), settings(tmp_path, config))

    @pytest.mark.parametrize("text", ["a b", "user@", "host:port", "host:123456", "@host", "::1"])
    def test_a_jump_host_of_no_known_form_is_told(self, text: str) -> None:
        with pytest.raises(InputWrongError, match="user@host:port"):
            parse_jump(text)

    def test_jump_host_forms(self) -> None:
        assert [(j.username, j.name, j.port) for j in map(parse_jump, ("h", "u@h:23", "ssh://u@h:23"))] == [
            (None, "h", None),
            ("u", "h", 23),
            ("u", "h", 23),
        ]
        assert parse_jump("u@[fd00::1]:23").name == "fd00::1"

    def test_a_missing_or_broken_ssh_config_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputWrongError, match=r"cannot be read .*data\.ssh\.config_file"):
            endpoint_of(Host("m1"), settings(tmp_path, config_file="none"))
        with pytest.raises(InputWrongError, match=r"data\.ssh\.config_file.*cannot be used"):
            endpoint_of(Host("m1"), settings(tmp_path, "Host m1\n=\n"))
        (tmp_path / "port").mkdir()
        with pytest.raises(InputWrongError, match="Port none is not a port"):
            endpoint_of(Host("m1"), settings(tmp_path / "port", "Port none\n"))


class TestKeys:
    @staticmethod
    def make(folder: Path, kind: str = "ed25519", passphrase: str = "", *options: str) -> str:
        path = folder / f"{kind}{len(list(folder.iterdir()))}"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, *options, "-f", str(path)], check=True
        )
        return str(path)

    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
    def test_a_key_is_read_whatever_its_mode(self, tmp_path: Path, kind: str) -> None:
        file = self.make(tmp_path, kind)
        Path(file).chmod(0o644)
        key = load_key(file, "unused", named=True, use_agent=False)
        assert key
        assert key.get_base64() in Path(f"{file}.pub").read_text()

    @pytest.mark.parametrize("options", [(), ("-m", "PEM")])
    def test_an_encrypted_key(self, tmp_path: Path, options: tuple[str, ...]) -> None:
        file = self.make(tmp_path, "rsa", "secret", *options)
        assert load_key(file, "secret", named=True, use_agent=False)
        with pytest.raises(InputWrongError, match=r"encrypted; add it to an agent .*KUBENORN_KEY_PASSPHRASE"):
            load_key(file, "", named=True, use_agent=False)
        with pytest.raises(InputWrongError, match="KUBENORN_KEY_PASSPHRASE does not open it") as caught:
            load_key(file, "guessed", named=True, use_agent=False)
        assert "guessed" not in str(caught.value)
        assert load_key(file, "", named=True, use_agent=True) is None

    def test_a_missing_key(self, tmp_path: Path) -> None:
        with pytest.raises(InputWrongError, match=r"data\.ssh\.key_file\) does not exist"):
            load_key(str(tmp_path / "none"), "", named=True, use_agent=False)
        assert load_key(str(tmp_path / "none"), "", named=False, use_agent=False) is None

    def test_what_is_no_key(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no key")
        for passphrase in ("", "secret"):
            with pytest.raises(InputWrongError, match="is not a private key"):
                load_key(str(tmp_path / "text"), passphrase, named=True, use_agent=False)


def attempt(**values: object) -> Attempt:
    endpoint = Endpoint("10.0.0.1", 22, "ops")
    return Attempt(endpoint, Path("known_hosts"), 10.0, ("the key /k/id",), **values)  # type: ignore[arg-type]


def behind_netmiko(cause: Exception) -> Exception:
    """Return what netmiko makes of anything but a refused login."""
    try:
        try:
            raise cause  # noqa: TRY301
        except Exception:
            raise NetmikoTimeoutException("TCP connection to device failed.\n\nCommon causes")  # noqa: B904
    except NetmikoTimeoutException as error:
        return error


KEY = HostKey("ssh-ed25519", "AAAA")
REFUSED = paramiko.AuthenticationException("Authentication failed.")
FAILURES: list[tuple[Exception, dict[str, object], str]] = [
    (HostKeyRefusedError(KeyState.NEW, KEY), {}, r"is not in known_hosts; run runbooks/trust\.py"),
    (HostKeyRefusedError(KeyState.CHANGED, KEY), {}, r"is not the one in known_hosts.*trust\.py --replace"),
    (HostKeyRefusedError(KeyState.REVOKED, KEY), {}, "is revoked"),
    (
        paramiko.ssh_exception.IncompatiblePeer("no acceptable host key"),
        {"types_known": True},
        "not the one in",
    ),
    (paramiko.ssh_exception.IncompatiblePeer("no acceptable kex algorithm"), {}, "no algorithm in common"),
    (REFUSED, {"host_key_verified": True}, r"refused the login with the key /k/id; check username"),
    (
        paramiko.SSHException("No authentication methods available"),
        {"host_key_verified": True},
        "agent does not",
    ),
    (
        paramiko.AuthenticationException("Authentication timeout."),
        {"host_key_verified": True},
        "within 10 s",
    ),
    (
        paramiko.BadAuthenticationType("Bad", ["publickey"]),
        {"host_key_verified": True},
        "accepts publickey only",
    ),
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), {}, "refuses connections on port 22"),
    (TimeoutError("timed out"), {}, "no answer within 10 s"),
    (OSError(errno.EHOSTUNREACH, "No route to host"), {}, "No route to host"),
    (
        socket.gaierror(-2, "Name or service not known"),
        {},
        r"the name 10\.0\.0\.1 cannot be resolved; check hostname",
    ),
    (paramiko.SSHException("Error reading SSH protocol banner"), {}, "no SSH server answered within 10 s"),
    (paramiko.SSHException("No existing session"), {}, "no SSH server answered within 10 s"),
    (paramiko.ChannelException(1, "Prohibited"), {}, "does not forward"),
    (paramiko.ChannelException(2, "Connect failed"), {}, "jump host cannot connect to it"),
    (EOFError(), {"proxy_complaint": "nc: bad host"}, r"ProxyCommand fails \(nc: bad host\)"),
]


@pytest.mark.parametrize(("cause", "values", "sentence"), FAILURES)
def test_every_failure_is_one_sentence(cause: Exception, values: dict[str, object], sentence: str) -> None:
    for error in (cause, behind_netmiko(cause)):
        told = login_failure(error, attempt(**values))
        assert isinstance(told, HostsUnreachableError)
        assert str(told).startswith("ops@10.0.0.1: ")
        assert "\n" not in str(told)
        assert "Common causes" not in str(told)
        with pytest.raises(HostsUnreachableError, match=sentence):
            raise told


def test_the_jump_host_is_named_and_its_failure_is_not_told_again() -> None:
    at_jump = login_failure(REFUSED, attempt(is_jump_host=True, host_key_verified=True))
    assert str(at_jump).startswith("jump host ops@10.0.0.1: refused the login")
    assert login_failure(behind_netmiko(at_jump), attempt()) is at_jump


def test_no_password_in_any_repr(tmp_path: Path) -> None:
    passwords = Passwords("ssh-secret", "sudo-secret", "key-secret")
    login = login_of(Host("m1"), settings(tmp_path), passwords, JumpHosts())
    assert "secret" not in repr(login)
    assert "ssh-secret" not in repr((connection_options(login).extras or {})["kubenorn_login"])
