"""The files that components were given: without one of them, the next start fails."""

import re
from collections.abc import Iterator

from kubenorn.audit.context import HostAudit
from kubenorn.audit.finding import Finding, Group, Severity

FILE_FLAG = re.compile(
    r"(^|-)(file|certfile|keyfile|cafile|kubeconfig|config)$|^kubelet-client-(certificate|key)$"
)
WRITTEN = frozenset({"log-file"})
"""Flags of files that components write themselves."""
CERTIFICATE_FLAG = re.compile(
    r"(^|-)(cert-file|certfile|ca-file|cafile)$|^kubelet-client-certificate$"  # of several, in one file, too
)


def given_files(name: str, host: HostAudit) -> Iterator[Finding]:
    """Yield files that a running component of the host was given, and that are gone, or hold no certificate.

    What a container has for files is not seen from here.
    """
    seen = host.collected
    for component, process in seen.processes.items():
        for flag, path in process.flags.items() if not process.in_container else ():
            if not path.startswith("/") or " " in path or not FILE_FLAG.search(flag) or flag in WRITTEN:
                continue
            said = ""
            if path not in seen.files:
                said = "does not exist any more"
            elif CERTIFICATE_FLAG.search(flag) and path not in seen.certificates:
                said = "holds no certificate"
            if said:
                unit = seen.unit_of(component)
                evidence = f"{said}, and {component} has it as --{flag}: its next start fails"
                remedy = f"put it back before anything restarts {unit}"
                yield Finding(Severity.ERROR, Group.SERVICES, name, path, evidence, remedy, differs=True)
