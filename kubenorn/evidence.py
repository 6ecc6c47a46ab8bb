"""What the verify script of one host brought back, parsed into types."""

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubenorn.errors import HostsWrongError
from kubenorn.records import ListeningSocket, UnitState, parse_listener, parse_units, records


@dataclass(frozen=True)
class HttpAnswer:
    """What one URL answered to curl on the host. `status` is 0 when nothing did; `seconds` is the whole time.

    `size` is in bytes; of measurements the body is but a part.
    """

    status: int
    seconds: float
    size: int
    body: bytes
    error: str

    @property
    def text(self) -> str:
        """The (kept part of the) body on one line."""
        return " ".join(self.body.decode(errors="replace").split())

    def json(self) -> dict[str, Any]:
        """Return the body as JSON; empty when it is none."""
        try:
            loaded = json.loads(self.body)
        except ValueError:
            return {}
        return loaded if isinstance(loaded, dict) else {}


@dataclass(frozen=True)
class StoredSecret:
    """A Secret as it lies in etcd: its key there, and its first bytes."""

    key: str
    beginning: bytes


@dataclass(frozen=True)
class Evidence:
    """Everything a host said when it was verified."""

    clock: datetime
    hostname: str
    addresses: tuple[tuple[str, str], ...]
    """Interface and address."""
    units: dict[str, UnitState]
    listeners: tuple[ListeningSocket, ...]
    http: dict[str, HttpAnswer]
    etcd_status: dict[str, Any] | None
    """One entry of `etcdctl endpoint status -w json`."""
    etcd_error: str
    cluster_info: str
    secrets: tuple[StoredSecret, ...]

    def metrics(self, component: str) -> str:
        """Return what is kept of a component's measurements; for an audit its version and its leadership."""
        answer = self.http.get(f"metrics-{component}")
        return answer.body.decode(errors="replace") if answer else ""


def parse_evidence(output: str) -> Evidence:
    """Return what a verify script printed. Raises HostsWrongError when it did not end, or makes no sense."""
    try:
        return _parse(output)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise HostsWrongError(
            f"the verify script's answer makes no sense ({type(error).__name__}); run again with --verbose"
        ) from error


def _parse(output: str) -> Evidence:
    single: dict[str, list[str]] = {}
    many: dict[str, list[list[str]]] = {}
    unit_lines: list[str] = []
    for kind, *fields in records(output):
        if kind == "unit":
            unit_lines.append(fields[0])
        elif kind in {"http", "address", "secret", "netstat", "ss", "body"}:
            many.setdefault(kind, []).append(fields)
        else:
            single[kind] = fields
    if single.get("verify") != ["2"] or "end" not in single:
        raise HostsWrongError("the verify script did not run to its end; run again with --verbose")
    status = _decode(single["etcd-status"][0]) if "etcd-status" in single else b""
    listeners = [parse_listener(tool, text) for tool in ("netstat", "ss") for (text,) in many.get(tool, [])]
    bodies = {name: _body(text) for name, text in many.get("body", [])}
    return Evidence(
        clock=datetime.fromtimestamp(float(single["clock"][0]), UTC),
        hostname=single["hostname"][0],
        addresses=tuple((interface, address) for interface, address in many.get("address", [])),
        units=parse_units(unit_lines),
        listeners=tuple(listener for listener in listeners if listener),
        http={name: _answer(fields, bodies.get(name, b"")) for name, *fields in many.get("http", [])},
        etcd_status=_first(status),
        etcd_error=single["etcd-status"][1] if "etcd-status" in single else "",
        cluster_info=_without_colours(single["cluster-info"][0]) if "cluster-info" in single else "",
        secrets=tuple(
            StoredSecret(_decode(key).decode(errors="replace"), _decode(value[: len(value) // 4 * 4]))
            for key, value in many.get("secret", [])
        ),
    )


def _answer(fields: list[str], body: bytes) -> HttpAnswer:
    if len(fields) == 2:  # curl was killed before it could print its status
        fields = ["0", "0", "0", fields[1]]
    status, seconds, size, *errors = fields
    error = " ".join(errors)
    return HttpAnswer(int(status or 0), float(seconds or 0), int(float(size or 0)), body, error.strip())


def _body(text: str) -> bytes:
    """Return the lines of a body; the script has put other signs for their ends and for tabs."""
    return text.replace("\x01", "\n").replace("\x02", "\t").encode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text)


def _without_colours(text: str) -> str:
    # kubectl cluster-info colours its output, terminal or not
    return re.sub(r"\x1b\[[0-9;]*m", "", _decode(text).decode(errors="replace"))


def _first(status: bytes) -> dict[str, Any] | None:
    try:
        entries = json.loads(status)
    except ValueError:
        return None
    member = entries[0]["Status"] if entries else None
    return member if member and {"member_id", "cluster_id"} <= member["header"].keys() else None
