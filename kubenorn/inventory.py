"""The files an operator writes, before Nornir reads them: YAML, and of the shape Nornir expects.

Nornir itself ignores keys it does not know and answers a wrong type with a traceback.
"""

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from kubenorn.drill.scenarios import Hook
from kubenorn.errors import InputWrongError
from kubenorn.problem import Problem

ELEMENT_KEYS = (
    "name",
    "hostname",
    "port",
    "username",
    "password",
    "platform",
    "groups",
    "data",
    "connection_options",
)
CONFIGURATION_KEYS = ("core", "inventory", "logging", "runner", "ssh", "user_defined")
REMEDY_FOR_PASSWORDS = "remove it and use a key, --ask-password or KUBENORN_SSH_PASSWORD"


@dataclass(frozen=True)
class Document:
    """A YAML file's content, and the file's name as messages give it."""

    place: str
    data: Any


def read_document(path: Path, place: str) -> Document:
    """Return the file's content. Raises OSError, or InputWrongError with line and reason when it is no YAML.

    The reason never quotes the file: it may hold a secret.
    """
    try:
        return Document(place, YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise InputWrongError(f"{place}: is not UTF-8 text; save it as such.") from error
    except MarkedYAMLError as error:
        raise InputWrongError(f"{place}{_line(error)}: is not YAML: {_reason(error)}.") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputWrongError(f"{place}: is not YAML that can be read ({type(error).__name__}).") from error


def _line(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _reason(error: MarkedYAMLError) -> str:
    problem = " ".join(str(error.problem or error.context or "it cannot be parsed").split())
    # ruamel quotes both values of a key that stands twice
    twice = re.match(r'found duplicate key "([^"]*)"', problem)
    return f"{twice[1]} stands there twice; remove one" if twice else problem


def configuration_problems(configuration: Document) -> Iterator[Problem]:
    """Yield what is wrong with the shape of Nornir's configuration."""
    place, data = configuration.place, configuration.data
    if not isinstance(data, Mapping):
        yield Problem(place, None, "is not a mapping; see Nornir's configuration, or copy the example")
        return
    yield from _unknown_keys(f"{place}: ", data, CONFIGURATION_KEYS, "a section of Nornir's configuration")
    for name in CONFIGURATION_KEYS:
        section = data.get(name)
        if section is not None and not isinstance(section, Mapping):
            yield Problem(f"{place}: {name}", None, f"is {_kind(section)}, not a mapping")
        elif section and not isinstance(section.get("options") or {}, Mapping):
            yield Problem(f"{place}: {name}.options", None, f"is {_kind(section['options'])}, not a mapping")
    for section_name, key in (
        ("inventory.options", "host_file"),
        ("inventory.options", "group_file"),
        ("inventory.options", "defaults_file"),
        ("user_defined", "artifacts"),
    ):
        value = _at(data, f"{section_name}.{key}")
        if value is not None and not (isinstance(value, str) and value):
            yield Problem(f"{place}: {section_name}.{key}", value, "is not a path")
    yield from _hook_problems(f"{place}: user_defined.hooks", _at(data, "user_defined.hooks"))
    workers = _at(data, "runner.options.num_workers")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        yield Problem(f"{place}: runner.options.num_workers", workers, "is not a whole number from 1 on")


def _hook_problems(place: str, hooks: Any) -> Iterator[Problem]:
    if hooks is None:
        return
    if not isinstance(hooks, Mapping):
        yield Problem(place, None, f"is {_kind(hooks)}, not a mapping")
        return
    yield from _unknown_keys(f"{place}.", hooks, tuple(Hook), "a hook")
    for name in Hook:
        line = hooks.get(name.value)
        if line is None:
            continue
        if not (isinstance(line, str) and "{host}" in line):
            # Never quoted: a hook may hold a password.
            yield Problem(f"{place}.{name}", None, "is no command line with {host} in it")
            continue
        try:
            shlex.split(line)
        except ValueError as error:
            yield Problem(f"{place}.{name}", None, f"is no command line: {error}")


def _at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def inventory_problems(hosts: Document, groups: Document, defaults: Document) -> Iterator[Problem]:
    """Yield what is wrong with the shape of the three files of Nornir's SimpleInventory."""
    if hosts.data is None or hosts.data == {}:
        yield Problem(hosts.place, None, "has no host; add one")
    for document, what in ((hosts, "host"), (groups, "group")):
        if document.data is None:
            continue
        if not isinstance(document.data, Mapping):
            yield Problem(
                document.place, None, f"is {_kind(document.data)}, not a mapping of {what}s by name"
            )
            continue
        for name, element in document.data.items():
            where = f"{document.place}: {name}"
            if not isinstance(name, str):
                yield Problem(where, None, f"is not text; put the {what}'s name in quotes")
            if isinstance(element, Mapping):
                yield from _element(f"{where}.", element, what, ELEMENT_KEYS)
                yield from _groups_of(f"{where}.groups", element.get("groups"), groups)
            else:
                yield Problem(where, None, f"is {_kind(element)}, not a mapping; see Nornir's inventory")
    if isinstance(defaults.data, Mapping):
        keys = [key for key in ELEMENT_KEYS if key not in {"name", "groups"}]
        yield from _element(f"{defaults.place}: ", defaults.data, "default", keys)
    elif defaults.data is not None:
        yield Problem(
            defaults.place, None, f"is {_kind(defaults.data)}, not a mapping; see Nornir's inventory"
        )
    yield from _cycles(groups)


def _element(prefix: str, element: Mapping[Any, Any], what: str, known: Sequence[str]) -> Iterator[Problem]:
    yield from _unknown_keys(prefix, element, known, f"a key of a {what}", otherwise="write it under data")
    for key, kind, message in (
        ("hostname", str, "is not text; put it in quotes"),
        ("username", str, "is not text; put it in quotes"),
        ("platform", str, "is not text; put it in quotes"),
        ("port", int, "is not a whole number"),
        ("data", Mapping, "is not a mapping"),
        ("connection_options", Mapping, "is not a mapping"),
    ):
        value = element.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            yield Problem(f"{prefix}{key}", None if kind is Mapping else value, message)
    yield from _passwords(prefix, element)


def _groups_of(where: str, names: Any, groups: Document) -> Iterator[Problem]:
    if names is None:
        return
    if not isinstance(names, list):
        yield Problem(where, names, "is not a list; write [production]")
        return
    if groups.data is not None and not isinstance(groups.data, Mapping):
        return  # which is told for itself
    known = [name for name in groups.data or () if isinstance(name, str)]
    for name in names:
        if not isinstance(name, str) or name not in known:
            yield Problem(where, name, f"is no group of {groups.place}; {_hint(name, known)}")


def _passwords(prefix: str, element: Mapping[Any, Any]) -> Iterator[Problem]:
    found = [key for key in ("password",) if element.get(key)]
    options = element.get("connection_options")
    for connection, option in options.items() if isinstance(options, Mapping) else ():
        if not isinstance(option, Mapping):
            yield Problem(f"{prefix}connection_options.{connection}", None, "is not a mapping")
            continue
        inside = {
            "password": option,
            "extras.password": option.get("extras"),
            "extras.secret": option.get("extras"),
        }
        for path, mapping in inside.items():
            if isinstance(mapping, Mapping) and mapping.get(path.rpartition(".")[2]):
                found.append(f"connection_options.{connection}.{path}")
    for path in found:
        yield Problem(f"{prefix}{path}", None, f"stands in clear text; {REMEDY_FOR_PASSWORDS}")


def _cycles(groups: Document) -> Iterator[Problem]:
    if not isinstance(groups.data, Mapping):
        return
    parents = {
        name: [parent for parent in element.get("groups") or [] if isinstance(parent, str)]
        for name, element in groups.data.items()
        if isinstance(element, Mapping) and isinstance(element.get("groups"), list)
    }
    for name, first in parents.items():
        seen: set[str] = set()
        ahead = list(first)
        while ahead:
            ancestor = ahead.pop()
            if ancestor == name:
                yield Problem(
                    f"{groups.place}: {name}.groups", None, f"lead back to {name} itself; break the circle"
                )
                break
            if ancestor not in seen:
                seen.add(ancestor)
                ahead += parents.get(ancestor, [])


def _unknown_keys(
    prefix: str, data: Mapping[Any, Any], known: Sequence[str], what: str, otherwise: str | None = None
) -> Iterator[Problem]:
    for key in data:
        if key not in known:
            yield Problem(f"{prefix}{key}", None, f"is not {what}; {_hint(key, known, otherwise)}")


def _hint(name: Any, known: Sequence[str], otherwise: str | None = None) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]}?" if close else otherwise or f"known {_are(known)}"


def _are(names: Sequence[str]) -> str:
    return f"are {', '.join(names)}" if names else "is none, the file is missing or empty"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case list():
            return "a list"
        case Mapping():
            return "a mapping"
        case str():
            return "text"
        case _:
            return "a single value"
