"""Shows and records the host keys of the selected hosts at first contact."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from kubenorn.console import console
from kubenorn.known_hosts import KeyState
from kubenorn.options import (
    DEFAULT_CONFIG,
    AskPasswordOption,
    ConfigOption,
    FilterOption,
    VerboseOption,
    WorkersOption,
    YesOption,
    ask_passwords,
    confirm,
    run_runbook,
)
from tasks.session import open_session
from tasks.trust_hosts import FirstContact, Stop

ReplaceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--replace",
        metavar="HOST",
        help="Replace the recorded keys of this host (its name or address), after a reinstallation; repeatable.",
    ),
]
_STYLES = {
    KeyState.NEW: "yellow",
    KeyState.KNOWN: "green",
    KeyState.CHANGED: "bold red",
    KeyState.REVOKED: "bold red",
}


def trust(
    config: ConfigOption = DEFAULT_CONFIG,
    filters: FilterOption = None,
    replace: ReplaceOption = None,
    yes: YesOption = False,
    workers: WorkersOption = None,
    ask_password: AskPasswordOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the host keys of the selected hosts, and record the new ones in data.ssh.known_hosts.

    The other runbooks log in to no host whose key is not recorded. Compare the fingerprints with those on the
    hosts' consoles (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) before you say yes. Nobody logs in to
    the hosts themselves; a jump host is logged in to, once its own key is known. A key that differs from the
    recorded one is never replaced without --replace.

    [bold]Examples[/bold]

    python runbooks/trust.py --filter role=master

    python runbooks/trust.py --filter name=m2 --replace m2

    [bold]Exit codes[/bold]  0 all keys are known or recorded now; 1 a host's key has changed; 2 the input is
    wrong and nothing was recorded; 3 some hosts could not be reached (the others are recorded).
    """
    session = open_session(
        config, filters or [], workers=workers, passwords=ask_passwords(ssh=ask_password, sudo=False)
    )
    contact = FirstContact(session, replace or [], verbose=verbose)
    for number in contact.rounds:
        stops = contact.fetch(number)
        if stops:
            console.print(_table(stops))
        _record(contact, stops, yes=yes)
    contact.raise_problems()


def _record(contact: FirstContact, stops: Sequence[Stop], *, yes: bool) -> None:
    new = [key for stop in stops for key in stop.to_record]
    files = ", ".join(sorted({str(stop.known_hosts) for stop in stops if stop.to_record}))
    if new:
        confirm(f"Record {_keys(len(new))} in {files}?", yes=yes)
        contact.record(stops)
        console.print(f"Recorded {_keys(len(new))} in {files}.", style="bold", markup=False)
    elif stops and not any(stop.changed for stop in stops):
        console.print("All host keys are known.", style="bold")


def _keys(count: int) -> str:
    return f"{count} host {'key' if count == 1 else 'keys'}"


def _table(stops: Sequence[Stop]) -> Table:
    table = Table("host", "key", "fingerprint", "state", box=None, pad_edge=False)
    for stop in stops:
        for index, (key, state) in enumerate(stop.keys.items()):
            label = stop.label if index == 0 else ""
            kind = key.type.removeprefix("ssh-").removeprefix("ecdsa-sha2-")
            word = "replaced" if stop.replaced and key in stop.to_record else state
            table.add_row(
                Text(label), kind, Text(key.fingerprint, overflow="fold"), Text(word, _STYLES[state])
            )
    return table


if __name__ == "__main__":
    run_runbook(trust)
