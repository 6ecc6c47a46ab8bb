"""What the probe and the verify script share: records, one a line, fields by tabs, parsed into types."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class UnitState:
    """A systemd unit as `systemctl show` has it. Times are UTC; None: never."""

    name: str
    load: str
    active: str
    sub: str
    result: str
    enabled: str
    restarts: int
    main_pid: int
    needs_daemon_reload: bool
    active_since: datetime | None
    started: datetime | None
    """When its main process was started, and so read its files; a notify unit becomes active later."""
    changed: datetime | None
    """When the state last changed: for a unit that reloads, when it last took its configuration."""
    counts_restarts: bool = True
    """Whether systemd counts `restarts`, as it does since 235; before they are 0."""

    @property
    def is_active(self) -> bool:
        """Whether `systemctl is-active` says active (a reloading unit is)."""
        return self.active in {"active", "reloading"}


@dataclass(frozen=True)
class ListeningSocket:
    """A TCP socket that listens; `process` is the program's name, cut to 15 characters by the kernel."""

    address: str
    port: int
    process: str
    pid: int | None


def records(output: str) -> Iterator[list[str]]:
    """Yield the fields of every record of a script's output."""
    # not splitlines(), which also splits at signs a program's message may have in it
    for line in output.split("\n"):
        if line:
            yield line.split("\t")


def unit_blocks(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the properties of each unit from blocks of `KEY=VALUE` lines, an empty line between."""
    block: dict[str, str] = {}
    for line in [*lines, ""]:
        if line:
            key, _, value = line.partition("=")
            block[key] = value
        elif block:
            yield block
            block = {}


def parse_units(lines: Iterable[str]) -> dict[str, UnitState]:
    """Return units by name (without `.service`) from blocks of `KEY=VALUE` lines, an empty line between."""
    return {unit.name: unit for unit in map(_unit, unit_blocks(lines))}


def _unit(block: dict[str, str]) -> UnitState:
    return UnitState(
        name=block["Id"].removesuffix(".service"),
        load=block.get("LoadState", ""),
        active=block.get("ActiveState", ""),
        sub=block.get("SubState", ""),
        result=block.get("Result", ""),
        enabled=block.get("UnitFileState", ""),
        restarts=_count(block.get("NRestarts", "")),
        main_pid=_count(block.get("MainPID", "")),
        needs_daemon_reload=block.get("NeedDaemonReload") == "yes",
        active_since=parse_timestamp(block.get("ActiveEnterTimestamp", "")),
        started=parse_timestamp(block.get("ExecMainStartTimestamp", "")),
        changed=parse_timestamp(block.get("StateChangeTimestamp", "")),
        counts_restarts="NRestarts" in block,
    )


def _count(text: str) -> int:
    # systemd writes "[not set]" where it has no number
    return int(text) if text.isdigit() else 0


def parse_timestamp(text: str) -> datetime | None:
    """Return a time such as `Sat 2026-11-21 00:45:01.123456 UTC`; None for an empty one or `n/a`.

    systemd before 248 cuts it to the second. Such a time counts as the end of its second: else a unit that
    was started half a second after a file was written would seem older than the file, on every run.
    """
    match = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{1,6})?", text)
    return datetime.fromisoformat(match[1] + (match[2] or ".999999")).replace(tzinfo=UTC) if match else None


def parse_listener(tool: str, text: str) -> ListeningSocket | None:
    """Return the socket in one line of `netstat -lnpt` or `ss -lntp`; None when it is no such line."""
    fields = text.split()
    if tool == "netstat" and len(fields) >= 6:
        # tcp 0 0 127.0.0.1:10257 0.0.0.0:* LISTEN 17906/kube-controll
        pid, _, process = fields[6].partition("/") if len(fields) > 6 else ("", "", "")
        # netstat prints argv[0] up to a colon or space: "nginx: master" is nginx
        return _socket(fields[3], process.rstrip(":"), pid)
    if tool == "ss" and len(fields) >= 4:
        # LISTEN 0 4096 127.0.0.1:10257 0.0.0.0:* users:(("kube-controller",pid=17906,fd=7)); iproute 3.10 has
        # users:(("kube-controller",17906,7))
        user = re.search(r'\(\("([^"]*)",(?:pid=)?(\d+)', text)
        return _socket(fields[3], user[1] if user else "", user[2] if user else "")
    return None


def _socket(endpoint: str, process: str, pid: str) -> ListeningSocket | None:
    address, _, port = endpoint.rpartition(":")
    if not port.isdecimal():
        return None
    return ListeningSocket(address.strip("[]"), int(port), process, int(pid) if pid.isdecimal() else None)


def is_process(socket: ListeningSocket, process: str) -> bool:
    """Whether the socket's process is `process`, whose name netstat and the kernel may have cut."""
    return (
        bool(socket.process)
        and process.startswith(socket.process)
        and len(socket.process) >= min(len(process), 10)
    )
