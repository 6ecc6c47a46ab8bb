"""What the hosts keep of earlier runs, and which of it is put back on demand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubenorn.errors import InputWrongError


@dataclass(frozen=True)
class ChangeSet:
    """What one run replaced on one host: the run's id, and by unit what putting it back does with it."""

    run_id: str
    units: Mapping[str, str]

    @property
    def stops(self) -> list[str]:
        """Return the units that were not running before that run, and would be stopped again."""
        return [unit for unit, action in self.units.items() if action == "stop"]


def parse_change_sets(text: str) -> list[ChangeSet]:
    """Return what a host tells of its change sets: a line `set RUN_ID` each, lines `unit ACTION NAME` after it."""
    found: list[ChangeSet] = []
    units: dict[str, str] = {}
    for line in text.splitlines():
        match line.split("\t"):
            case ["set", run_id]:
                units = {}
                found.append(ChangeSet(run_id, units))
            case ["unit", action, name, *_]:
                units[name] = action
    return found


def to_put_back(kept: Mapping[str, Sequence[ChangeSet]], wanted: str | None) -> dict[str, ChangeSet]:
    """Return by host what is put back: the run `wanted`, or the newest that any of the hosts keeps.

    One run on all hosts: after a rollout that stopped half-way, each host's own newest would be another one. Hosts
    that the run did not change, or that were put back already, are left out. Empty where there is nothing at all.

    Raises InputWrongError when nobody keeps the run that is wanted, and when putting it back would stop what it
    started: that would take the control plane away.
    """
    runs = sorted({each.run_id for sets in kept.values() for each in sets})
    if wanted and wanted not in runs:
        raise InputWrongError(
            f"--run {wanted}: none of the selected hosts can put it back (it was put back, or is older than what "
            f"they keep); they have {', '.join(runs) or 'no run'}."
        )
    if not runs:
        return {}
    run_id = wanted or runs[-1]
    chosen = {host: each for host, sets in kept.items() for each in sets if each.run_id == run_id}
    problems = [
        f"{host}: run {run_id} started {', '.join(each.stops)}, which would be stopped again, and the host would "
        "serve nothing; roll-back is for changes of what was running. Nothing was touched."
        for host, each in chosen.items()
        if each.stops
    ]
    if problems:
        raise InputWrongError.of(problems)
    return chosen
