"""Every flag we give, asked of the real programs: `PROGRAM FLAGS --version` parses them and prints its version.

Unlike `--help` this knows deprecated flags too, which are hidden there.
"""

import re
import subprocess
from pathlib import Path

import pytest

from kubenorn.flags import FLAGS, FlagContext, command_line
from kubenorn.layout import Layout
from lab.binaries import BUILT_VERSIONS, binaries_folder
from tests.unit.builders import a_cluster
from tests.unit.flag_history import ADDED, REMOVED

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
RELEASE = (1, 20)
HIDDEN = {"kube-apiserver": {"insecure-port"}}
"""Deprecated in 1.20: accepted, with a warning, but not in `--help`."""


@pytest.fixture(scope="module")
def binaries() -> Path:
    folder = binaries_folder()
    if not (folder / "kube-apiserver").is_file():
        pytest.skip("the lab's binaries are not built; run `python -m lab binaries`")
    return folder


def ask(program: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def emitted(component: str) -> list[str]:
    cluster = a_cluster(kubernetes_version=BUILT_VERSIONS.kubernetes, etcd={"version": BUILT_VERSIONS.etcd})
    return command_line(component, FlagContext(cluster, cluster.masters[0], Layout(cluster)))


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_program_takes_all_our_flags(binaries: Path, component: str) -> None:
    status, said = ask(binaries / component, *emitted(component), "--version")
    assert status == 0, said


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_flag_is_in_help(binaries: Path, component: str) -> None:
    _, text = ask(binaries / component, "--help")
    known = set(re.findall(r"^ +(?:-\w, )?--([a-z0-9-]+)", text, re.MULTILINE))
    names = {word.removeprefix("--").partition("=")[0] for word in emitted(component)}
    assert names - known == HIDDEN.get(component, set())


@pytest.mark.parametrize(("component", "flag", "gone"), REMOVED)
def test_what_we_call_removed_is(binaries: Path, component: str, flag: str, gone: tuple[int, int]) -> None:
    _, said = ask(binaries / component, f"--{flag}=0", "--version")
    assert (f"unknown flag: --{flag}" in said) == (gone <= RELEASE), said


@pytest.mark.parametrize(("component", "flag", "first"), ADDED)
def test_what_we_call_not_yet_accepted_is(
    binaries: Path, component: str, flag: str, first: tuple[int, int]
) -> None:
    _, said = ask(binaries / component, f"--{flag}=0", "--version")
    assert (f"unknown flag: --{flag}" in said) == (first > RELEASE), said


def test_a_flag_we_no_longer_give_is_gone_or_deprecated_or_not_wanted(binaries: Path) -> None:
    not_wanted = {"endpoint-reconciler-type", "apiserver-count", "token-auth-file"}
    cluster = a_cluster()
    context = FlagContext(cluster, cluster.masters[0], Layout(cluster))
    ours = {(flag.component, flag.name) for flag in FLAGS if flag.applies(RELEASE)}
    ended = [f for f in FLAGS if f.until and f.until <= RELEASE and (f.component, f.name) not in ours]
    assert ended
    for flag in ended:
        _, said = ask(binaries / flag.component, f"--{flag.name}={flag.value(context)}", "--version")
        _, usage = ask(binaries / flag.component, "--help")
        gone = (
            f"unknown flag: --{flag.name}" in said
            or f"Flag --{flag.name} has been deprecated" in said
            or re.search(rf"^ *--{flag.name} .*DEPRECATED", usage, re.MULTILINE) is not None
        )
        assert gone != (flag.name in not_wanted), (flag, said)
