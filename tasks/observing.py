"""Observers: one exec channel a host that tells what happens there, and does what it is told.

A drill needs both at once, and needs the host to mend itself when this end is gone; see templates/observe.sh.j2.
"""

import itertools
import queue
import shlex
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from nornir.core import Nornir
from nornir.core.task import Result, Task
from nornir.plugins.runners import ThreadedRunner

from kubenorn.drill.board import Board
from kubenorn.drill.events import best_clock
from kubenorn.errors import HostsUnreachableError, HostsWrongError
from kubenorn.render import render_purely
from tasks.exec_channel import StandardInput, run_command

OBSERVE_SECONDS = 48 * 3600
"""How long an observer lives at most."""
PINGS = 9
"""Questions for a host's clock; the quickest answer counts."""
ANSWER_SECONDS = 20.0
"""How long a host may take to answer, or to run one of the drill's commands."""
START_SECONDS = 0.3
"""How long `ip monitor` and journalctl need until they hear everything."""


@dataclass(frozen=True)
class Ended:
    """How a command on a host went: when it began and ended (this machine's monotonic seconds), status, words."""

    began: float
    ended: float
    status: int
    said: str


@dataclass
class Order:
    """A command that a host was told to run."""

    began: "Future[float]" = field(default_factory=Future)
    ended: "Future[Ended]" = field(default_factory=Future)


class Observer:
    """The conversation with one host. Its events go to the board, on this machine's clock."""

    def __init__(self, host: str, board: Board) -> None:
        self.host = host
        self._board = board
        self._lines: queue.SimpleQueue[Callable[[], str] | None] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._orders: dict[str, Order] = {}
        self._asked: dict[str, float] = {}
        self._samples: list[tuple[float, float, float]] = []
        self._enough = threading.Event()
        self._offset = 0.0
        self.failure: Exception | None = None

    def converse(self, task: Task) -> Result:
        """Run the conversation until it is ended; the task's thread is taken for as long."""
        script = render_purely("observe.sh.j2", {"seconds": OBSERVE_SECONDS})
        command = f"sh -c {shlex.quote(script)}"
        try:
            run_command(task, command, feed=self._feed, timeout=OBSERVE_SECONDS, on_line=self._hear)
        except Exception as error:  # whatever it was, those who wait for the host must hear of it
            self._fail(error)
        else:
            self._fail(HostsUnreachableError("the observer on the host ended"))
        return Result(host=task.host)

    def end(self) -> None:
        """End the conversation; the host mends whatever `mend` was told last."""
        self._lines.put(None)

    def synchronise(self) -> None:
        """Learn how the host's clock stands to this machine's. Raises HostsUnreachableError without an answer."""
        self._samples.clear()
        self._enough.clear()
        for _ in range(PINGS):
            self._lines.put(self._ping)
        self._enough.wait(ANSWER_SECONDS)
        clock = best_clock(self._samples)
        if clock is None:
            raise HostsUnreachableError(
                f"{self.host}: {self.failure or f'no answer within {ANSWER_SECONDS:.0f} s'}"
            )
        self._offset = clock.offset
        self._board.set_clock(self.host, clock)

    def _ping(self) -> str:
        number = str(next(self._numbers))
        self._asked[number] = time.monotonic()
        return f"ping\t{number}"

    def begin(self, command: str) -> Order:
        """Tell the host to run a line of shell, and return at once."""
        number, order = str(next(self._numbers)), Order()
        self._orders[number] = order
        self._lines.put(lambda: f"run\t{number}\t{command}")
        if self.failure:
            self._fail(self.failure)
        return order

    def run(self, command: str, *, seconds: float = ANSWER_SECONDS) -> Ended:
        """Run a line of shell on the host and wait for its end; the caller judges its status.

        Raises HostsUnreachableError when there is no word within so many seconds.
        """
        try:
            return self.begin(command).ended.result(seconds)
        except TimeoutError:
            raise HostsUnreachableError(f"{self.host}: no answer within {seconds:.0f} s") from None

    def mend_with(self, command: str) -> None:
        """Say what the host is to do when this end is gone; empty: nothing."""
        self._lines.put(lambda: f"mend\t{command}")

    def _feed(self, stdin: StandardInput) -> None:
        while True:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                stdin.listen()
                continue
            if line is None:
                return
            stdin.write(f"{line()}\n".encode())

    def _hear(self, line: str) -> None:
        # What three writers say at once may arrive torn: a line that makes no sense is no line.
        with suppress(ValueError, LookupError, InvalidStateError):
            self._take(line)

    def _take(self, line: str) -> None:
        word, _, rest = line.partition("\t")
        fields = rest.split("\t")
        match word:
            case "pong":
                self._samples.append((self._asked.pop(fields[0]), float(fields[1]), time.monotonic()))
                if len(self._samples) == PINGS:
                    self._enough.set()
            case "began":
                self._orders[fields[0]].began.set_result(float(fields[1]) + self._offset)
            case "ended":
                order = self._orders.pop(fields[0])
                moment = float(fields[1]) + self._offset
                began = order.began.result(0) if order.began.done() else moment
                order.ended.set_result(Ended(began, moment, int(fields[2]), fields[3]))
            case _:
                self._board.host_line(self.host, line)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        for order in list(self._orders.values()):
            for future in (order.began, order.ended):
                if not future.done():
                    future.set_exception(HostsUnreachableError(f"{self.host}: {error}"))
        self._orders.clear()


class Observers:
    """The observers of a cluster's masters."""

    def __init__(self, nornir: Nornir, board: Board) -> None:
        self._nornir = nornir
        self._board = board
        self._by_host: dict[str, Observer] = {}
        self._threads: list[threading.Thread] = []

    def __getitem__(self, host: str) -> Observer:
        return self._by_host[host]

    def start(self, hosts: Collection[str]) -> None:
        """Start (or start anew) the observers of some hosts. Raises HostsUnreachableError with each that fails."""
        chosen = self._nornir.filter(filter_func=lambda host: host.name in hosts).with_runner(
            ThreadedRunner(num_workers=len(hosts))
        )
        new = {host: Observer(host, self._board) for host in hosts}
        self._by_host |= new

        def observe(task: Task) -> Result:
            return new[task.host.name].converse(task)

        # on_failed: a host that was away, and lost the run's lock with that, counts as failed in Nornir.
        thread = threading.Thread(target=chosen.run, kwargs={"task": observe, "on_failed": True}, daemon=True)
        thread.start()
        self._threads.append(thread)
        problems = []
        for observer in new.values():
            try:
                observer.synchronise()
            except HostsUnreachableError as error:
                problems.append(str(error))
        if problems:
            raise HostsUnreachableError("\n".join(problems))
        time.sleep(START_SECONDS)

    def synchronise(self) -> None:
        """Learn anew how every host's clock stands to this machine's: clocks drift."""
        for observer in self._by_host.values():
            observer.synchronise()

    def check(self, away: Collection[str]) -> None:
        """Raise HostsUnreachableError when a host that is not `away` on purpose is not observed any more."""
        for host, observer in self._by_host.items():
            if observer.failure and host not in away:
                raise HostsUnreachableError(f"{host}: is not observed any more: {observer.failure}")

    def require(self, programs: Collection[str]) -> None:
        """Raise HostsWrongError when a host lacks one of the programs, with every host's."""
        asked = "; ".join(f"command -v {each} >/dev/null || echo {each}" for each in programs)
        missing = {host: observer.run(asked).said.split() for host, observer in self._by_host.items()}
        problems = [f"{host}: has no {', '.join(each)}." for host, each in missing.items() if each]
        if problems:
            raise HostsWrongError("\n".join(problems))

    def require_one_of(self, programs: Sequence[str], what: str) -> None:
        """Raise HostsWrongError when a host has none of the programs, which are needed for `what`."""
        asked = " || ".join(f"command -v {each} >/dev/null" for each in programs)
        lacking = [host for host, observer in self._by_host.items() if observer.run(asked).status != 0]
        if lacking:
            raise HostsWrongError(
                f"{what}: {', '.join(lacking)} has neither {' nor '.join(programs)}; nothing was stopped."
            )

    def end(self) -> None:
        """End all of them."""
        for observer in self._by_host.values():
            observer.end()
        for thread in self._threads:
            thread.join(ANSWER_SECONDS)


@contextmanager
def observing(nornir: Nornir, hosts: Collection[str], board: Board) -> Iterator[Observers]:
    """Observe `hosts` while the block runs. Raises HostsUnreachableError when one cannot be."""
    observers = Observers(nornir, board)
    try:
        observers.start(hosts)
        yield observers
    finally:
        observers.end()
