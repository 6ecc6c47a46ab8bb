"""Task: put back what a change set replaced on a host."""

import shlex
from dataclasses import dataclass

from nornir.core.task import Result, Task

from kubenorn.errors import HostsWrongError
from kubenorn.layout import CHANGE_SETS
from kubenorn.payload import READY_SECONDS
from tasks.apply_plan import Heard, Told
from tasks.exec_channel import run_command

NOTHING = "nothing to roll back"


@dataclass(frozen=True)
class RolledBack:
    """What roll-back did on a host, and what its units that were not active had last said."""

    done: str
    said: tuple[str, ...]


def roll_back(task: Task, change_set: str | None, told: Told) -> Result:
    """Put back the change set called `change_set`, or the newest that was not put back yet.

    The result is a `RolledBack`, whose `done` is NOTHING where there was nothing to put back. Raises
    HostsWrongError when the host does not become ready with its previous files either.
    """
    newest = f"journal=$(ls -1 {CHANGE_SETS}/*/journal 2>/dev/null | tail -n 1); set=${{journal%/journal}}"
    chosen = f"set={CHANGE_SETS / shlex.quote(change_set)}" if change_set else newest
    script = f'{chosen}; [ -n "$set" ] && [ -f "$set/journal" ] || exit 0; sh "$set/rollback.sh"'
    heard = Heard(task.host.name, told)
    completed = run_command(task, script, timeout=READY_SECONDS + 60, on_line=heard.line)
    if heard.rollback_failure or completed.exit_status != 0:
        raise HostsWrongError(
            heard.rollback_failure or "the roll-back did not run to its end; look at this host"
        )
    done = RolledBack(heard.rolled_back or NOTHING, tuple(heard.said))
    return Result(host=task.host, changed=bool(heard.rolled_back), result=done)
