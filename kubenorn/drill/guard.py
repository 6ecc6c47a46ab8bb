"""A program of its own that mends what a hook broke, should the drill die: a dead-man switch on this machine.

    python -m kubenorn.drill.guard SECONDS COMMAND [ARGUMENT…]

It runs the command when its standard input ends, or after so many seconds, whichever is first; a line on standard
input that says `disarm` ends it at once. The drill starts it in a session of its own.
"""

import selectors
import subprocess
import sys

DISARM = b"disarm\n"
MENDED, FAILED = 3, 4
"""Exit statuses of a guard that had to act: with success, or without."""


def main() -> int:
    """Wait, then mend; return 0 when it was disarmed, else MENDED or FAILED."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(sys.stdin.buffer, selectors.EVENT_READ)
        if waiting.select(float(sys.argv[1])) and sys.stdin.buffer.readline() == DISARM:
            return 0
    done = subprocess.run(sys.argv[2:], check=False, stdin=subprocess.DEVNULL)
    return MENDED if done.returncode == 0 else FAILED


if __name__ == "__main__":
    sys.exit(main())
