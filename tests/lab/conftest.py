"""The tests' own lab beside a demo's: three real hosts, and a control plane deployed on them once."""

import os
import sys
from collections.abc import Iterator

import pytest

from lab.facts import lab_folder
from lab.lab import Lab
from tests.lab.controller import ROOT, Controller

NAME = os.environ.get("KUBENORN_TEST_LAB", "test")
"""Another name lets two runs of the tests live side by side."""
KEEP = os.environ.get("KUBENORN_KEEP_TEST_LAB") == "1"
"""Leave the tests' lab up for a look around, and for a quicker next run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ROOT / "tests" / "lab" in item.path.parents:
            item.add_marker(pytest.mark.lab)


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
