"""Runs the project's programs against the tests' lab, in processes of their own, as an operator would."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lab.lab import Lab

ROOT = Path(__file__).parents[2]


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
            timeout=1200,  # a soak takes ten minutes of its own
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

        `changes` maps a dotted path to its new value: in one of the files (`hosts.m1.hostname`), in the lab's
        own group (`group.username`) or its cluster (`cluster.vip`). None removes the key. Artifacts stay
        the lab's own.
        """
        yaml = YAML()
        documents = {
            name: yaml.load((self.lab.folder / f"{name}.yaml").read_text()) or {}
            for name in ("config", "hosts", "groups", "defaults")
        }
        documents["config"].setdefault("user_defined", {})["artifacts"] = str(self.lab.folder / "artifacts")
        for path, value in changes.items():
            group = f"groups.{self.lab.facts.name}."
            full = re.sub(r"^cluster\.", f"{group}data.cluster.", re.sub(r"^group\.", group, path))
            *parents, last = full.split(".")
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
