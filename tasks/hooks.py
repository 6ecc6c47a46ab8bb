"""The operator's own commands for what no host can do to itself: hanging, and losing its power."""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubenorn.drill.guard import DISARM, MENDED, Orders, parse_broken, run_hook
from kubenorn.drill.scenarios import Hook
from kubenorn.errors import HostsWrongError

HOOK_SECONDS = 300
"""How long a hook may take."""
DISARM_SECONDS = 10
"""How long a guard may take to hear that it is disarmed; one that mends at the moment does not listen."""


@dataclass(frozen=True)
class Hooks:
    """Command lines by hook, with `{host}` for the host's name; they run in `folder`, without a shell."""

    commands: Mapping[Hook, str]
    folder: Path

    def words(self, hook: Hook, host: str) -> list[str]:
        """Return the command of a hook for a host, word by word. Raises KeyError where there is none."""
        return [word.replace("{host}", host) for word in shlex.split(self.commands[hook])]

    def mend(self, hook: Hook, host: str) -> None:
        """Run a hook that mends, and once more when it fails. Raises like `run`."""
        try:
            self.run(hook, host)
        except HostsWrongError:
            self.run(hook, host)

    def run(self, hook: Hook, host: str) -> None:
        """Run a hook. Raises HostsWrongError with its last words when it fails."""
        if wrong := run_hook(self.words(hook, host), HOOK_SECONDS, self.folder):
            raise HostsWrongError(f"{host}: the hook {hook} {wrong}.")


class HookGuard:
    """A process that breaks a host by a hook, and mends it should this one die; see kubenorn/drill/guard.py.

    It mends `seconds` after the hook that breaks has ended, should nobody disarm it.
    """

    def __init__(self, hooks: Hooks, breaking: Hook, mending: Hook, host: str, seconds: float) -> None:
        self._breaking, self._host, self._told = breaking, host, ""
        orders = Orders(hooks.words(breaking, host), hooks.words(mending, host), seconds, HOOK_SECONDS)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kubenorn.drill.guard", orders.to_json()],
            cwd=hooks.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl-C is for the drill, which mends by itself; the guard is for when it cannot.
            start_new_session=True,
        )

    def await_end_of_breaking(self) -> None:
        """Wait until the hook that breaks has ended, however it did: nothing may mend before."""
        assert self._process.stdout
        self._told = self._told or self._process.stdout.readline()

    def broken(self) -> float:
        """Wait until the host is broken, and return when that began (monotonic seconds).

        Raises HostsWrongError with the hook's last words when it fails.
        """
        self.await_end_of_breaking()
        try:
            began, wrong = parse_broken(self._told)
        except ValueError as error:
            raise HostsWrongError(
                f"{self._host}: the process that runs the hook {self._breaking} ended before the hook did; look "
                "whether this machine runs out of memory, and at the host's console."
            ) from error
        if wrong:
            raise HostsWrongError(f"{self._host}: the hook {self._breaking} {wrong}.")
        return began

    def disarm(self) -> None:
        """End the guard without its doing anything. Raises HostsWrongError when it has acted already."""
        try:
            self._process.communicate(DISARM, timeout=DISARM_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        if self._process.returncode != 0:
            how = "mended the host" if self._process.returncode == MENDED else "tried to mend the host"
            raise HostsWrongError(
                f"this machine's dead-man switch {how} before the drill did; what was measured does not count"
            )
