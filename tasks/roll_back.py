"""Tasks: what a host keeps of earlier runs, and putting one of them back."""

import shlex
from dataclasses import dataclass

from nornir.core.task import Result, Task

from kubenorn.change_sets import parse_change_sets
from kubenorn.errors import HostsWrongError
from kubenorn.layout import CHANGE_SETS, STATE
from kubenorn.payload import ANOTHER_RUN_STATUS, READY_SECONDS
from tasks.apply_plan import Heard, Told
from tasks.exec_channel import expect_success, run_command, run_script

NOTHING = "nothing to roll back"
WAIT_SECONDS = READY_SECONDS + 30
"""How long a roll-back that the host does by itself is waited for."""


@dataclass(frozen=True)
class RolledBack:
    """What roll-back did on a host, and what its units that were not active had last said."""

    done: str
    said: tuple[str, ...]


LIST_SECONDS = 30
_LIST = f"""
for journal in {CHANGE_SETS}/*/journal; do
    [ -s "$journal" ] || continue
    set=${{journal%/journal}}
    printf 'set\\t%s\\n' "${{set##*/}}"
    sed 's/^/unit\t/' "$set/units"
done
"""


def kept_change_sets(task: Task) -> Result:
    """Look which runs the host can put back. The result is a list of ChangeSet."""
    completed = expect_success(run_script(task, _LIST, timeout=LIST_SECONDS), "listing the change sets")
    return Result(host=task.host, result=parse_change_sets(completed.stdout))


def rolling_back(folder: str) -> str:
    """Return the shell command that puts a change set back, alone on its host: by itself the host may do so, too."""
    alone = f"exec 9<>{STATE}/lock && flock -w {WAIT_SECONDS} 9 || exit {ANOTHER_RUN_STATUS}"
    return f"{alone}; [ -f {folder}/journal ] || exit 0; sh {folder}/rollback.sh"


def roll_back(task: Task, change_set: str, told: Told) -> Result:
    """Put back the change set called `change_set`, unless it was put back already.

    The result is a `RolledBack`, whose `done` is NOTHING where there was nothing to put back. Raises
    HostsWrongError when the host does not become ready with its previous files either.
    """
    folder = CHANGE_SETS / shlex.quote(change_set)
    heard = Heard(task.host.name, told)
    completed = run_command(
        task, rolling_back(str(folder)), timeout=WAIT_SECONDS + READY_SECONDS + 60, on_line=heard.line
    )
    if completed.exit_status == ANOTHER_RUN_STATUS:
        raise HostsWrongError("what another run does on this host does not end; look at this host")
    if heard.rollback_failure or completed.exit_status != 0:
        raise HostsWrongError(
            heard.rollback_failure or "the roll-back did not run to its end; look at this host"
        )
    done = RolledBack(heard.rolled_back or NOTHING, tuple(heard.said))
    return Result(host=task.host, changed=bool(heard.rolled_back), result=done)
