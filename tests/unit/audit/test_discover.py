"""The script that finds components by their processes, run here on a process of this test's own."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kubenorn.render import render_purely
from tasks.verify_host import own_tools
from tests.unit.builders import a_cluster

SAY = render_purely("say.sh.j2", {})


def test_where_a_program_stands_is_told_in_one_field(tmp_path: Path) -> None:
    """Anybody may start one called etcd in any folder, and an audit of that host must go on."""
    found = tmp_path / "found"
    found.mkdir()
    processes = []
    try:
        for name in ("a\tb", "a\n/proc/1 /x", "plain"):
            (tmp_path / name).mkdir(parents=True)
            shutil.copy("/bin/sleep", tmp_path / name / "etcd")
            processes.append(subprocess.Popen([tmp_path / name / "etcd", "60"]))
        script = render_purely("discover.sh.j2", {"units": "", "tools": own_tools(a_cluster())})
        links = " ".join(f"/proc/{process.pid}/exe" for process in processes)
        subprocess.run(
            ["sh", "-s"],
            input=SAY + script.replace("/proc/[0-9]*/exe", links),
            env={**os.environ, "found": str(found)},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        for process in processes:
            process.kill()
            process.wait()
    told = [line.split("\t") for line in (found / "processes").read_text().splitlines()]
    programs = {fields[2]: fields[-1] for fields in told if fields[0] == "process"}
    tabbed, _, plain = (str(process.pid) for process in processes)
    assert programs == {tabbed: f"{tmp_path}/a b/etcd", plain: f"{tmp_path}/plain/etcd"}
    assert {len(fields) for fields in told if fields[0] == "process"} == {6}


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("https://10.0.0.7:2379,https://x:1", "https://10.0.0.7:2379"),
        ("http://[::1]:2379", "http://[::1]:2379"),
        ("-K/tmp/evil", "https://127.0.0.1:2379"),
        ("https://x/$(id)", "https://127.0.0.1:2379"),
        ("file:///etc/shadow", "https://127.0.0.1:2379"),
    ],
)
def test_what_anybody_says_of_etcd_is_an_address_or_nothing(tmp_path: Path, said: str, asked: str) -> None:
    """It becomes a word on the command line of root's curl."""
    shutil.copy("/bin/sleep", tmp_path / "etcd")
    (tmp_path / "found").mkdir()
    process = subprocess.Popen([tmp_path / "etcd", "60"], env={"ETCD_ADVERTISE_CLIENT_URLS": said})
    try:
        script = render_purely("discover.sh.j2", {"units": "", "tools": own_tools(a_cluster())})
        script = script.replace("/proc/[0-9]*/exe", f"/proc/{process.pid}/exe")
        done = subprocess.run(
            ["sh", "-s"],
            input=f'{SAY}{script}\nprintf "%s" "$etcd_url"',
            env={**os.environ, "found": str(tmp_path / "found")},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        process.kill()
        process.wait()
    assert done.stdout == asked


@pytest.mark.parametrize(("folder", "program"), [(0o755, 0o755), (0o777, 0o755), (0o755, 0o777)])
def test_what_stands_beside_etcd_is_run_only_where_nobody_else_can_have_put_it(
    tmp_path: Path, folder: int, program: int
) -> None:
    """Anybody may call a program etcd, and an audit runs as root."""
    beside, found = tmp_path / "bin", tmp_path / "found"
    beside.mkdir()
    found.mkdir()
    shutil.copy("/bin/sleep", beside / "etcd")
    (beside / "etcdctl").write_text("#!/bin/sh\n")
    (beside / "etcdctl").chmod(program)
    beside.chmod(folder)
    process = subprocess.Popen([beside / "etcd", "60"])
    try:
        script = render_purely("discover.sh.j2", {"units": "", "tools": own_tools(a_cluster())})
        # Of this process alone, and as on a host without an etcdctl where one is usual.
        script = script.replace("/proc/[0-9]*/exe", f"/proc/{process.pid}/exe")
        script = re.sub(r"^choose etcdctl .*$", "choose etcdctl /nowhere", script, flags=re.MULTILINE)
        done = subprocess.run(
            ["sh", "-s"],
            input=f'{SAY}{script}\nprintf "%s" "$etcdctl"',
            env={**os.environ, "found": str(found)},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        process.kill()
        process.wait()
    told = (found / "processes").read_text()
    assert f"process\tetcd\t{process.pid}\t" in told
    is_safe = (folder, program) == (0o755, 0o755)
    assert done.stdout == (str(beside / "etcdctl") if is_safe else "")
    assert ("lacks\tetcdctl" in told) is not is_safe
