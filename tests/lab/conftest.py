"""The tests' own lab beside a demo's: three real hosts, and a control plane deployed on them once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lab.facts import lab_folder
from lab.lab import Lab

ROOT = Path(__file__).parents[2]
NAME = "test"
KEEP = os.environ.get("KUBENORN_KEEP_TEST_LAB") == "1"
"""Leave the tests' lab up for a look around, and for a quicker next run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ROOT / "tests" / "lab" in item.path.parents:
            item.add_marker(pytest.mark.lab)


@dataclass(frozen=True)
class Ran:
    """How a runbook ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


@dataclass(frozen=True)
class Controller:
    """Runs runbooks against the tests' lab, as an operator would: in a process of their own."""

    lab: Lab

    def runbook(
        self, name: str, *arguments: str, config: Path | None = None, stdin: str = "", **environment: str
    ) -> Ran:
        """Run runbooks/NAME.py and return how it ended; `environment` is added to the present one."""
        command = [sys.executable, str(ROOT / "runbooks" / f"{name}.py")]
        command += ["--config", str(config or self.lab.config), *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env={**os.environ, "COLUMNS": "200", **environment},
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def deploy(self, *arguments: str, config: Path | None = None, **environment: str) -> Ran:
        """Deploy on all masters without being asked."""
        return self.runbook(
            "deploy", "--filter", "role=master", "--yes", *arguments, config=config, **environment
        )

    def inventory(self, folder: Path, changes: dict[str, Any]) -> Path:
        """Write a copy of the lab's inventory into `folder` and return its config.yaml.

        `changes` maps a dotted path in one of the files (`groups.test.data.cluster.vip`) to its new value;
        None removes the key. Artifacts stay the lab's own.
        """
        yaml = YAML()
        documents = {
            name: yaml.load((self.lab.folder / f"{name}.yaml").read_text()) or {}
            for name in ("config", "hosts", "groups", "defaults")
        }
        documents["config"].setdefault("user_defined", {})["artifacts"] = str(self.lab.folder / "artifacts")
        for path, value in changes.items():
            *parents, last = path.split(".")
            place = documents
            for parent in parents:
                place = place.setdefault(parent, {})
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        folder.mkdir(exist_ok=True)
        for name, document in documents.items():
            with (folder / f"{name}.yaml").open("w") as file:
                yaml.dump(document, file)
        return folder / "config.yaml"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The tests' lab with its three hosts running. Where CI=true it must come up; elsewhere it needs root."""
    if os.environ.get("CI") != "true" and (not sys.platform.startswith("linux") or os.geteuid() != 0):
        pytest.skip("needs root on Linux")
    made = Lab.plan(lab_folder(ROOT, NAME), name=NAME)
    made.up()
    try:
        yield made
    finally:
        if not KEEP:
            made.down()


@pytest.fixture(scope="session")
def controller(lab: Lab) -> Controller:
    """Runs runbooks against the lab's hosts, whatever state these are in."""
    return Controller(lab)


@pytest.fixture(scope="session")
def cluster(controller: Controller) -> Controller:
    """The lab with a control plane on all three hosts, deployed by the runbook."""
    ran = controller.deploy()
    assert ran.status == 0, ran.text
    return controller
