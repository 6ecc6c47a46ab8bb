"""A phase leaves one line in a log: its mark, title, remark and seconds."""

import re
from io import StringIO

import pytest
from rich.console import Console

from kubenorn import console as module
from kubenorn.console import phase


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    made = StringIO()
    monkeypatch.setattr(module, "console", Console(file=made, width=80, highlight=False))
    return made


def test_a_phase_that_went_well(stream: StringIO) -> None:
    with phase("Probe", total=2) as shown:
        shown.advance()
        shown.host("m1", "sending", 1, 2)
        shown.host("m1")
        shown.update(1, 2, "almost")
        shown.remark = "2 hosts"
    assert re.fullmatch(r"✓ Probe  2 hosts  \d+\.\d s\n", stream.getvalue())


def test_a_phase_that_failed(stream: StringIO) -> None:
    with pytest.raises(RuntimeError, match="x"), phase("Apply"):
        raise RuntimeError("x")
    assert re.fullmatch(r"✗ Apply  \d+\.\d s\n", stream.getvalue())


@pytest.mark.parametrize("text", ["[bold]", "[/healthz]", "[-]etcd failed", "m[1]"])
def test_what_hosts_say_is_never_markup(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = StringIO()
    terminal = Console(file=made, width=80, highlight=False, force_terminal=True, color_system=None)
    monkeypatch.setattr(module, "console", terminal)
    with phase("Apply", total=1) as shown:
        shown.host("m1", text, 1, 2)
        shown.update(0, 1, text)
        shown._progress.refresh()
        shown.log(f"m1 says {text}")
        shown.remark = text
    assert f"m1  {text}" in made.getvalue()
    assert f"m1 says {text}" in made.getvalue()
    assert f"✓ Apply  {text}" in made.getvalue()
