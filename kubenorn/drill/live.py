"""What is on the screen while a drill runs: who has the VIP, how the API answers, how long it takes."""

import time
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from kubenorn.drill.board import Board
from kubenorn.drill.events import Answer, Probe

HELD = "●"
BARS = "▁▂▃▄▅▆▇█"
SLOW_SECONDS = 0.2
"""A probe this slow has the tallest bar."""


def sparkline(probes: Sequence[Probe]) -> Text:
    """Return a sign for each probe: the taller the slower, a red ✗ for one that failed."""
    line = Text()
    for probe in probes:
        if probe.answer is Answer.FAILED:
            line.append("✗", "red")
            continue
        share = min((probe.end - probe.start) / SLOW_SECONDS, 1.0)
        colour = "yellow" if probe.answer is Answer.DRAINING else "green"
        line.append(BARS[round(share * (len(BARS) - 1))], colour)
    return line


class LiveView:
    """A rich renderable that is as things stand whenever it is drawn."""

    def __init__(self, board: Board, hosts: Sequence[str], vip: str) -> None:
        self._board = board
        self._hosts = hosts
        self._vip = vip
        self._began = time.monotonic()
        self.title = ""
        self.planned = ""
        """How many faults there will be, for people: " of 10", or nothing where nobody knows."""
        self.doing = ""

    def begin(self, title: str) -> None:
        """Begin with another fault; the seconds start anew."""
        self.title, self.doing, self._began = title, "", time.monotonic()

    def __rich__(self) -> Group:
        glance = self._board.glance()
        table = Table.grid(padding=(0, 2))
        for host in self._hosts:
            mine = Text(f"{HELD} {self._vip}", "green") if host in glance.holders else Text("–", "dim")
            state = glance.states.get(host)
            table.add_row(f"  {host}", mine, Text(state.value if state else "", "dim"))
        elapsed = f"{time.monotonic() - self._began:5.1f} s"
        heading = Text.assemble((self.title, "bold"), f"  {self.doing}  ", (elapsed, "dim"))
        watch = Text("watch up", "green") if glance.watching else Text("watch lost", "red")
        return Group(heading, table, Text.assemble("  API ", sparkline(glance.probes), "  ", watch))
