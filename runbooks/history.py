"""Lists the runs of the selected clusters, or shows one whole. Looks at this machine's journal only."""

from pathlib import Path
from typing import Annotated

import typer

from kubenorn.console import console
from kubenorn.errors import InputWrongError
from kubenorn.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    FilterOption,
    JsonOption,
    VerboseOption,
    run_runbook,
)
from kubenorn.report import write_json
from kubenorn.run_journal import DamagedRecord, RunJournal, runs_folder
from kubenorn.run_record import RunRecord
from kubenorn.run_tables import run_view, runs_table
from tasks.session import open_session

LATEST = "last"
Runs = dict[str, list[RunRecord | DamagedRecord]]


def history(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN_ID", help="Show this run whole: its id or the beginning of it, or `last`."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    filters: FilterOption = None,
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="How many runs a cluster.")] = 20,
    json_file: JsonOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  run_runbook reads it
) -> None:
    """List the recorded runs of the selected clusters, newest first, or show one whole.

    Every run that got as far as a cluster is there: who ran what, what was planned, what came of it on each
    host. One that was killed stays visible as killed. No host is connected to; the records stand under
    artifacts/CLUSTER/runs/, the 200 newest.

    [bold]Examples[/bold]

    python runbooks/history.py

    python runbooks/history.py --filter group=production --last 5

    python runbooks/history.py last

    python runbooks/history.py 2026-11-21T02-15 --json run.json

    [bold]Exit codes[/bold]  0 as asked; 2 the input is wrong, or there is no such run.
    """
    # Runs are of masters: whatever else the filters select has no part in them.
    session = open_session(config, [*(filters or []), "role=master"])
    runs: Runs = {
        cluster.name: RunJournal(runs_folder(session.artifacts, cluster.name)).load_all()
        for cluster in session.clusters
    }
    if run is not None:
        _show(_chosen(runs, run), json_file)
        return
    shown = {cluster: found[:last] for cluster, found in runs.items()}
    for cluster, found in shown.items():
        if found:
            console.print(runs_table(cluster, found))
        else:
            console.print(f"No runs of {cluster} are recorded.", markup=False)
    write_json(
        json_file, {"clusters": {name: [_as_dict(each) for each in all_] for name, all_ in shown.items()}}
    )


def _chosen(runs: Runs, wanted: str) -> Runs:
    """Return the run asked for, in each cluster it was on. Raises InputWrongError when it is not one."""
    ids = sorted({each.id for found in runs.values() for each in found})
    if not ids:
        raise InputWrongError(f"no run is recorded of {', '.join(runs)}; deploy first, or correct --filter.")
    matching = ids[-1:] if wanted == LATEST else [each for each in ids if each.startswith(wanted)]
    if wanted in matching:
        matching = [wanted]
    if not matching:
        raise InputWrongError(f"there is no run {wanted}; the newest is {ids[-1]}.")
    if len(matching) > 1:
        several = ", ".join(matching[:5])
        raise InputWrongError(
            f"{wanted} is the beginning of {len(matching)} runs: {several}; say more of it."
        )
    return {name: [each for each in found if each.id in matching] for name, found in runs.items()}


def _show(runs: Runs, json_file: Path | None) -> None:
    found = [each for records in runs.values() for each in records]
    for each in found:
        if isinstance(each, DamagedRecord):
            raise InputWrongError(f"the record of {each.id} cannot be read: {each.problem}.")
        console.print(run_view(each))
    write_json(json_file, {"runs": [_as_dict(each) for each in found]})


def _as_dict(run: RunRecord | DamagedRecord) -> dict[str, object]:
    return {"id": run.id, "damaged": run.problem} if isinstance(run, DamagedRecord) else run.to_dict()


if __name__ == "__main__":
    run_runbook(history)
