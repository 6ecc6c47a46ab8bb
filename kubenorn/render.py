"""Jinja2 templates: one environment for tasks (through nornir-jinja2) and for tests."""

import re
import shlex
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

Render = Callable[[str, Mapping[str, object]], str]
"""Renders the template of a name with variables; StrictUndefined: a missing variable is an error."""


def systemd_quote(text: str) -> str:
    """Return one word of an ExecStart= line.

    `%` and `$` are doubled and quotes are set where systemd would split or unescape (systemd.service(5),
    "Command lines"; systemd.unit(5), "Specifiers").
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[^\s;'\"\\]+", text) else f'"{escaped}"'


@cache
def environment() -> Environment:
    """Return the environment every template is rendered in; one, so that each is compiled once."""
    result = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # units, shell and configuration files, never HTML
    )
    result.filters["systemd_quote"] = systemd_quote
    result.filters["shell_quote"] = lambda value: shlex.quote(str(value))
    return result


def render_page(name: str, variables: Mapping[str, object]) -> str:
    """Render a template of an HTML page: what is put in is escaped."""
    pages = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["ms"] = lambda value: "–" if value is None else f"{value:.0f}"
    return pages.get_template(name).render(**variables)


def render_purely(name: str, variables: Mapping[str, object]) -> str:
    """Render outside Nornir: for tests and golden files."""
    return environment().get_template(name).render(**variables)
