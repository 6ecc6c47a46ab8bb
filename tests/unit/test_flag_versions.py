"""Flags and units of every supported version, against a table written apart from the code's."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubenorn.flags import FLAGS, FlagContext, command_line
from kubenorn.layout import Layout
from kubenorn.render import systemd_quote
from tests.unit.builders import a_cluster
from tests.unit.flag_history import ADDED, ALL_MINORS, API, DEPRECATED, MANAGER, REMOVED, SCHEDULER
from tests.unit.rendered import CASES, VARIANTS, rendered


def flags(component: str, version: str, **changes: Any) -> dict[str, str]:
    cluster = a_cluster(**({"kubernetes_version": version} | changes))
    line = command_line(component, FlagContext(cluster, cluster.masters[0], Layout(cluster)))
    pairs = [word.removeprefix("--").partition("=") for word in line]
    assert len({name for name, _, _ in pairs}) == len(pairs), "a flag twice"
    return {name: value for name, _, value in pairs}


def release(version: str) -> tuple[int, int]:
    major, minor, _ = version.split(".")
    return int(major), int(minor)


@pytest.mark.parametrize("version", ALL_MINORS)
def test_no_flag_is_too_old_or_too_new(version: str) -> None:
    given_flags = {component: flags(component, version) for component in (API, MANAGER, SCHEDULER)}
    too_old = [
        (c, f) for c, f, gone in (*REMOVED, *DEPRECATED) if release(version) >= gone and f in given_flags[c]
    ]
    too_new = [(c, f) for c, f, first in ADDED if release(version) < first and f in given_flags[c]]
    assert (too_old, too_new) == ([], [])


@pytest.mark.parametrize("version", ALL_MINORS)
def test_what_every_version_needs_is_there(version: str) -> None:
    api, manager, scheduler = (flags(c, version) for c in (API, MANAGER, SCHEDULER))
    since = release(version)
    # the insecure port is closed wherever it could be opened
    assert api.get("insecure-port") == ("0" if since < (1, 24) else None)
    assert api["anonymous-auth"] == "false"
    assert api["authorization-mode"] == "Node,RBAC"
    assert ("encryption-provider-config" in api) != ("experimental-encryption-provider-config" in api)
    assert ("admission-control" in api) != ("enable-admission-plugins" in api)
    assert ("enable-bootstrap-token-auth" in api) != ("experimental-bootstrap-token-auth" in api)
    if since >= (1, 20):
        for name in (
            "service-account-issuer",
            "service-account-signing-key-file",
            "service-account-key-file",
        ):
            assert api[name]
    assert ("cluster-signing-duration" in manager) != ("experimental-cluster-signing-duration" in manager)
    for component in (manager, scheduler):
        assert component["leader-elect"] == "true"
        assert component.get("bind-address", component.get("address")) == "127.0.0.1"
        if "secure-port" in component:
            assert component.get("port", "0") == "0"
            assert "address" not in component
    # since 1.11 the lease reconciler is the default; a count that is wrong makes masters fight
    assert ("apiserver-count" in api) == (since < (1, 9))


@pytest.mark.parametrize("version", ALL_MINORS)
def test_no_admission_plugin_is_unknown(version: str) -> None:
    api = flags(API, version)
    plugins = set((api.get("enable-admission-plugins") or api["admission-control"]).split(","))
    assert "NodeRestriction" in plugins
    assert "Initializers" not in plugins
    assert ("MutatingAdmissionWebhook" in plugins) == (release(version) >= (1, 9))


@pytest.mark.parametrize("version", ALL_MINORS)
def test_the_cas_key_signs_certificates_and_nothing_else(version: str) -> None:
    for component in (API, MANAGER, SCHEDULER, "etcd"):
        uses = {name for name, value in flags(component, version).items() if value.endswith("/ca-key.pem")}
        assert uses == ({"cluster-signing-key-file"} if component == MANAGER else set())
    assert flags(API, version)["service-account-key-file"].endswith("/service-account.pub")
    assert flags(MANAGER, version)["service-account-private-key-file"].endswith("/service-account-key.pem")


def test_every_flag_of_the_table_has_a_moment() -> None:
    releases = [release(version) for version in ALL_MINORS]
    assert [flag.name for flag in FLAGS if not any(map(flag.applies, releases))] == []


def test_extra_arguments_win_and_none_removes() -> None:
    extra = {"kube-apiserver": {"anonymous-auth": "true", "profiling": None, "v": "4", "not-there": None}}
    api = flags(API, "1.20.2", extra_arguments=extra)
    assert (api["anonymous-auth"], api["v"]) == ("true", "4")
    assert api.keys().isdisjoint({"profiling", "not-there"})
    assert flags(SCHEDULER, "1.20.2", extra_arguments=extra) == flags(SCHEDULER, "1.20.2")


# The mistakes of the guides, and what else no rendered file may have.
FORBIDDEN = {
    "a misspelt target": r"multi-user\.targe\b(?!t)",
    "Restart= with no such value": r"Restart=on$",
    "a full-width space": "\u3000",
    "any other space that programs do not split at": "[\u00a0\u2000-\u200b\ufeff]",
    "default credentials": r"admin:|123456|stats auth \S+:(admin|password|haproxy)",
    "an unrendered expression": r"\{\{|\{%|=None\b|Undefined",
    "space at the end of a line": r"[ \t]+$",
    "a tab": r"\t",
    "an unverified backend": r"verify none",
}


@pytest.mark.parametrize("case", CASES)
def test_no_mistake_of_the_guides_is_copied(case: str) -> None:
    for name, text in rendered(**CASES[case]).items():
        found = [what for what, pattern in FORBIDDEN.items() if re.search(pattern, text, re.MULTILINE)]
        assert not found, (name, found)
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name
        if name.endswith(".service"):
            assert len(re.findall(r"^Restart=", text, re.MULTILINE)) == 1, name
            assert re.findall(r"^WantedBy=(.*)$", text, re.MULTILINE) == ["multi-user.target"], name


@pytest.mark.parametrize("case", ["1.20.2", "vrrp2-password", "preempt"])
def test_keepalived_decides_by_a_file_and_cannot_split(case: str) -> None:
    text = rendered(**CASES[case])["keepalived.conf"]
    assert "weight 0" in text
    assert re.findall(r"^ *weight (.*)$", text, re.MULTILINE) == ["0", "0"]
    assert "state BACKUP" in text
    assert "state MASTER" not in text
    assert ("nopreempt" in text) == (case != "preempt")
    assert ("unicast_peer" in text) == (case != "vrrp2-password")
    assert ("auth_pass" in text) == (case == "vrrp2-password")
    assert "192.168.80.13/32" in text


def test_peers_are_all_the_others() -> None:
    text = rendered()["keepalived.conf"]
    block = text.partition("unicast_peer {")[2].partition("}")[0]
    assert block.split() == ["192.168.80.8", "192.168.80.9"]


def test_statistics_are_off_unless_credentials_are_given() -> None:
    text = rendered()["haproxy.cfg"]
    assert "stats auth" not in text
    # What is left is for root on the host alone: haproxy's own view, at a socket nobody else may open.
    binds = [line.split()[1:] for line in text.splitlines() if line.split()[:1] == ["bind"]]
    assert binds == [[":8443"], ["/run/haproxy-statistics.sock", "mode", "600", "user", "root"]]
    assert "stats auth watch:s3same" in rendered(**VARIANTS["statistics"])["haproxy.cfg"]


# How systemd reads a command line: systemd.syntax(7) "Quoting" and systemd.service(5) "Command lines".
ESCAPES = {"\\": "\\", '"': '"', "'": "'", "s": " ", "n": "\n", "t": "\t"}


def systemd_words(line: str) -> list[str]:
    """Split a command line as systemd does, then expand `%%` and `$$`."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(line)
    for character in characters:
        if character == "\\":
            word = (word or "") + ESCAPES[next(characters)]
        elif quote:
            if character == quote:
                quote = ""
            else:
                word = (word or "") + character
        elif character in "\"'" and word is None:
            quote, word = character, ""
        elif character.isspace():
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + character
    assert not quote
    words += [] if word is None else [word]
    for word in words:
        assert not re.search(r"(?<!%)(%%)*%(?!%)", word), word
        assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", word), word
    return [word.replace("%%", "%").replace("$$", "$") for word in words]


TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(" \t\"'\\%$;=,{}"), max_size=20
)


@example(
    ["--flag=100%", "--flag=$HOME ${HOME}", "--flag=%%$$", '--flag=say "it\'s"', "--flag=a\\", "--flag= "]
)
@given(st.lists(TEXT.map(lambda text: f"--flag={text}"), max_size=4))
def test_systemd_reads_every_value_back_as_it_was(words: list[str]) -> None:
    assert systemd_words(" ".join(map(systemd_quote, words))) == words
