"""Parses what the audit's own part of the script printed."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePosixPath

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kubenorn.audit.collected import (
    Collected,
    EtcdMember,
    FileSeen,
    JournalErrors,
    KubeconfigSeen,
    Process,
    Usage,
    public_half,
)
from kubenorn.errors import HostsWrongError
from kubenorn.records import parse_units, records, unit_blocks

_Records = Mapping[str, list[list[str]]]
CONTAINER_GROUPS = ("kubepods", "docker", "containerd", "crio", "libpod")


def parse_collected(output: str) -> Collected:
    """Return what the audit's part of the script printed. Raises HostsWrongError when it makes no sense."""
    try:
        return _parse(output)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise HostsWrongError(
            f"the audit script's answer makes no sense ({type(error).__name__}); run again with --verbose"
        ) from error


def _parse(output: str) -> Collected:
    many: dict[str, list[list[str]]] = {}
    for kind, *fields in records(output):
        many.setdefault(kind, []).append(fields)
    if many.get("audit") != [["2"]] or "end" not in many:
        raise HostsWrongError("the audit script did not run to its end; run again with --verbose")
    lines = [fields[0] if fields else "" for fields in many.get("unit", [])]
    blocks = {block["Id"].removesuffix(".service"): block for block in unit_blocks(lines)}
    digests = {path: digest for digest, path in many.get("sha256", [])}
    keepalived = many.get("keepalived", [["", "", ""]])[0]
    return Collected(
        processes=_processes(many),
        units=parse_units(lines),
        started_with={unit: _exec_start(block.get("ExecStart", "")) for unit, block in blocks.items()},
        unit_files={
            unit: (*block.get("FragmentPath", "").split(), *block.get("DropInPaths", "").split())
            for unit, block in blocks.items()
        },
        certificates={path: _pem(text) for path, text in many.get("certificate", [])},
        public_halves=dict(_public_halves(many)),
        files={
            path: FileSeen(
                int(mode, 8),
                owner,
                datetime.fromtimestamp(float(modified), UTC),
                kind == "d",
                digests.get(path, ""),
            )
            for mode, owner, _, modified, kind, path in many.get("file", [])
        },
        kubeconfigs={
            path: KubeconfigSeen(server, _bytes(authority), _bytes(certificate), *files)
            for path, server, authority, certificate, *files in many.get("kubeconfig", [])
        },
        served={PurePosixPath(path).name: _pem(text) for path, text in many.get("served", [])},
        keepalived_file=keepalived[0],
        password_digest=keepalived[1],
        keepalived=_text(keepalived[2]),
        alarms=tuple(text for (text,) in many.get("alarm", []) if text.strip()),
        members=_members(many),
        file_systems={
            mount: Usage(_percent(used), _percent(inodes)) for mount, used, inodes in many.get("usage", [])
        },
        swap=tuple(text for (text,) in many.get("swap", [])),
        reboot_pending="reboot" in many,
        default_credentials=many.get("default-credentials", [[""]])[0][0],
        journal={
            program: JournalErrors(int(count), text, datetime.fromtimestamp(float(at), UTC))
            for program, count, at, text in many.get("journal", [])
        },
        vip_neighbours=frozenset(address.lower() for _, address in many.get("neighbour", []) if address),
        macs={device: address.lower() for device, address in many.get("mac", [])},
        lacks=frozenset(what for (what,) in many.get("lacks", [])),
        has_openssl="openssl" in many,
    )


def _processes(many: _Records) -> dict[str, Process]:
    """Return the main process of each component: one that no process of the same program started."""
    words: dict[str, list[str]] = {}
    for pid, word in many.get("argument", []):
        words.setdefault(pid, []).append(word)
    variables: dict[str, list[str]] = {}
    for pid, line in many.get("variable", []):
        variables.setdefault(pid, []).append(line)
    found: dict[str, dict[int, tuple[int, str, str]]] = {}
    for component, pid, parent, group, program in many.get("process", []):
        found.setdefault(component, {})[int(pid)] = (int(parent), group, program)
    processes = {}
    for component, each in found.items():
        mains = [pid for pid, (parent, *_) in each.items() if parent not in each]
        # Of several, the one in the component's own unit.
        mains.sort(key=lambda pid: (_unit(each[pid][1]) != component, pid))
        _, group, program = each[mains[0]]
        processes[component] = Process(
            pid=mains[0],
            executable=program,
            arguments=tuple(words.get(str(mains[0]), [program])),
            unit=_unit(group),
            in_container=_in_container(group),
            variables=_variables(variables.get(str(mains[0]), [])),
            others=tuple(pid for pid in mains[1:] if not _in_container(each[pid][1])),
        )
    return processes


def _public_halves(many: _Records) -> Iterator[tuple[str, str]]:
    """Yield the path and the public half of each private key; a key that nobody can read has none."""
    for path, kind, *numbers in many.get("public-half", []):
        # An INTEGER of DER has a zero before it where its first bit would be a sign.
        yield path, " ".join([kind, *(number.lstrip("0") if kind == "rsa" else number for number in numbers)])
    for path, pem in many.get("public", []):
        with suppress(ValueError, UnsupportedAlgorithm):
            yield path, public_half(load_pem_public_key(_pem(pem)))


def _unit(group: str) -> str:
    """Return the unit in a control group's path: /system.slice/etcd.service is etcd."""
    found = re.findall(r"([^/]+)\.service(?:/|$)", group)
    return found[-1] if found else ""


def _in_container(group: str) -> bool:
    return any(word in group for word in CONTAINER_GROUPS)


def _variables(lines: Iterable[str]) -> dict[str, str]:
    """Return etcd's variables as flags: ETCD_CERT_FILE is cert-file (etcd's configuration guide)."""
    pairs = (line.partition("=") for line in lines)
    return {name.removeprefix("ETCD_").lower().replace("_", "-"): value for name, _, value in pairs}


def _members(many: _Records) -> tuple[EtcdMember, ...] | None:
    text = _text(many.get("members", [[""]])[0][0])
    if not text:
        return None
    return tuple(
        EtcdMember(each.get("name", ""), tuple(each.get("peerURLs") or ()), bool(each.get("isLearner")))
        for each in json.loads(text).get("members") or []
    )


def _bytes(text: str) -> bytes:
    """Return what base64 says; of text that is none, the text, which no certificate is made of."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text.encode()


def _text(text: str) -> str:
    return _bytes(text).decode(errors="replace")


def _pem(text: str) -> bytes:
    """Return PEM whose lines the script ended by |."""
    return text.replace("|", "\n").encode()


def _percent(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _exec_start(text: str) -> str:
    """Return the command line in `{ path=… ; argv[]=… ; ignore_errors=no ; … }`."""
    return text.partition("argv[]=")[2].partition(" ; ")[0].strip()
