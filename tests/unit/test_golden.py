"""Rendered files of one master, by Kubernetes version and by setting, as diffs against tests/golden/.

`1.20.2` holds every file that is rendered; the other folders hold only those that differ from it.
`pytest --update-golden` writes them anew.
"""

import difflib
from pathlib import Path

import pytest

from tests.unit.rendered import CASES, rendered

GOLDEN = Path(__file__).parents[1] / "golden"
REFERENCE = "1.20.2"


@pytest.mark.parametrize("case", CASES)
def test_rendered_files_are_as_reviewed(case: str, request: pytest.FixtureRequest) -> None:
    files = rendered(**CASES[case])
    if case != REFERENCE:
        reference = rendered()
        files = {name: text for name, text in files.items() if reference.get(name) != text}
    if request.config.getoption("--update-golden"):
        _write(GOLDEN / case, files)
    differences = "".join(_difference(GOLDEN / case / name, text) for name, text in sorted(files.items()))
    assert not differences, f"review, then pytest --update-golden\n{differences}"
    assert {path.name for path in (GOLDEN / case).iterdir()} == set(files)


def _difference(path: Path, text: str) -> str:
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    name = str(path.relative_to(GOLDEN.parent))
    lines = difflib.unified_diff(before.splitlines(True), text.splitlines(True), name, f"{name} (now)")
    return "".join(lines)


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for path in folder.iterdir()} - set(files):
        (folder / stale).unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def test_every_folder_is_a_case() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)


def test_the_key_type_changes_no_rendered_file() -> None:
    assert rendered(pki={"key_type": "ecdsa-p256"}) == rendered()
