"""A program of its own that breaks a host by a hook and mends it, should the drill die: a dead-man switch here.

    python -m kubenorn.drill.guard JSON

It runs the hook that breaks, and prints what came of it as a line (see `parse_broken`). It mends when its standard
input ends, or after so many seconds, whichever is first; a line on standard input that says `disarm` ends it. As it
is the one that breaks, it never mends while that is still under way: what breaks would come after what mends. The
drill starts it in a session of its own, in the hooks' folder.
"""

import json
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

DISARM = "disarm\n"
MENDED, FAILED = 3, 4
"""Exit statuses of a guard that had to act: with success, or without."""


@dataclass(frozen=True)
class Orders:
    """The hooks word by word, and times in seconds."""

    breaking: Sequence[str]
    mending: Sequence[str]
    dead_man: float
    """How long after the host was broken it is mended, should nobody disarm."""
    longest: float
    """How long a hook may take."""
    pause: float = 5.0
    """Between two tries to mend."""
    trying: float = 300.0
    """How long mending is tried."""

    def to_json(self) -> str:
        """Return the program's argument."""
        return json.dumps(asdict(self))


def parse_broken(line: str) -> tuple[float, str]:
    """Return when breaking began (this machine's monotonic seconds), and what went wrong; empty: nothing did.

    Raises ValueError when the line is none of a guard's.
    """
    try:
        began, wrong = json.loads(line)
        return float(began), str(wrong)
    except TypeError as error:
        raise ValueError(f"no line of a guard: {line[:100]!r}") from error


def run_hook(words: Sequence[str], seconds: float, folder: Path = Path()) -> str:
    """Run a hook in a folder for so many seconds at most, and return what went wrong; empty: nothing did.

    The answer never quotes the hook, which may hold a password, but for its own last words.
    """
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
            # Ctrl-C is for the drill, which then mends; it must not end what mends.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {seconds:.0f} s"
    except (OSError, ValueError) as error:
        return f"could not be run: {getattr(error, 'strerror', None) or type(error).__name__}"
    if done.returncode == 0:
        return ""
    said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
    return f"ended with {done.returncode}: {said}"


def main() -> int:
    """Break, wait, then mend; return 0 when it was disarmed, else MENDED or FAILED."""
    orders = Orders(**json.loads(sys.argv[1]))
    began = time.monotonic()
    wrong = run_hook(orders.breaking, orders.longest)
    with suppress(OSError):  # a drill that is gone does not listen
        print(json.dumps([began, wrong]), flush=True)  # noqa: T201  # it is how the guard tells
    heard, _, _ = select.select([sys.stdin], [], [], orders.dead_man)
    if heard and sys.stdin.readline() == DISARM:
        return 0
    return _mend(orders)


def _mend(orders: Orders) -> int:
    """Mend, again and again: a power supply that was just told something may not listen yet."""
    deadline = time.monotonic() + orders.trying
    while run_hook(orders.mending, orders.longest):
        if time.monotonic() > deadline:
            return FAILED
        time.sleep(orders.pause)
    return MENDED


if __name__ == "__main__":
    sys.exit(main())
