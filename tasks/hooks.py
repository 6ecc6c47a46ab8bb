"""The operator's own commands for what no host can do to itself: hanging, and losing its power."""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubenorn.drill.guard import DISARM, MENDED
from kubenorn.drill.scenarios import Hook
from kubenorn.errors import HostsWrongError

HOOK_SECONDS = 300
"""How long a hook may take."""


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
        words = self.words(hook, host)
        try:
            done = subprocess.run(
                words,
                cwd=self.folder,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=HOOK_SECONDS,
                check=False,
                # Ctrl-C is for the drill, which then mends; it must not end what mends.
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostsWrongError(f"{host}: the hook {hook} ({words[0]}) failed: {error}.") from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise HostsWrongError(f"{host}: the hook {hook} ended with {done.returncode}: {said}")


class HookGuard:
    """A process that runs a hook should this one die, or take too long; see kubenorn/drill/guard.py.

    It waits `seconds`, and as long as the hook that breaks the host may take.
    """

    def __init__(self, hooks: Hooks, hook: Hook, host: str, seconds: float) -> None:
        command = [sys.executable, "-m", "kubenorn.drill.guard", str(HOOK_SECONDS + seconds)]
        command += hooks.words(hook, host)
        self._process = subprocess.Popen(
            command,
            cwd=hooks.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for the drill, which mends by itself; the guard is for when it cannot.
            start_new_session=True,
        )

    def disarm(self) -> None:
        """End the guard without its doing anything. Raises HostsWrongError when it has acted already."""
        self._process.communicate(DISARM, timeout=HOOK_SECONDS)
        if self._process.returncode != 0:
            how = "mended the host" if self._process.returncode == MENDED else "failed to mend the host"
            raise HostsWrongError(
                f"this machine's dead-man switch {how} before the drill did; what was measured does not count"
            )
