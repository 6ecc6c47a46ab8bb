"""The lock of a run: held on every master of the clusters it changes, so that no second run changes them too.

A shell on each host holds a flock(1) for as long as the controller feeds it. It ends with the connection, so a
controller that was killed leaves no lock; one that is cut off without a word leaves a lock nobody feeds, which
shows in its age and can be broken. Before it ends it waits for what a killed controller's script still does, and
judges in the controller's stead: units that do not stay up with what was changed get their previous files back.
"""

import getpass
import os
import shlex
import socket
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from nornir.core import Nornir
from nornir.core.task import Result, Task
from nornir.plugins.runners import ThreadedRunner

from kubenorn.console import console
from kubenorn.errors import HostsUnreachableError, HostsWrongError, KubenornError
from kubenorn.layout import STATE, UNJUDGED_FILE
from kubenorn.render import Render
from tasks.exec_channel import StandardInput, run_command
from tasks.rendering import renderer

FEED_SECONDS = 1.0
STALE_SECONDS = 30
"""A lock that was not fed for this long belongs to a controller that is cut off or dead."""
HOLD_SECONDS = 24 * 3600
ANSWER_SECONDS = 60
ORPHAN_SECONDS = 420
"""How long the script of a run whose controller is gone is waited for: it waits for units, and undoes what it did."""
DYING_SECONDS = 4
"""How long the lock of a controller that was killed a moment ago may still stand."""
LOCKED, REFUSED = "locked", "refused"


def hold_script(render: Render) -> str:
    """Return what holds the lock on a host: a shell script of two arguments, `keep` or `break` and the owner."""
    return render(
        "lock.sh.j2",
        {
            "state": STATE,
            "unjudged": UNJUDGED_FILE,
            "orphan_seconds": ORPHAN_SECONDS,
            "dying_seconds": DYING_SECONDS,
            "stale_seconds": STALE_SECONDS,
        },
    )


class Lock:
    """The lock on some hosts, held by a thread each."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.answers: dict[str, str] = {}
        """By host, for good: locked, refused, or why it could not be asked."""
        self.holders: dict[str, tuple[int, str]] = {}
        """By host: since how many seconds its present lock was not fed, and whose it is."""
        self.lost: dict[str, str] = {}
        """By host that was locked and is no longer: why."""
        self.changed = threading.Condition()
        self._judged: set[str] = set()

    def judged(self, hosts: Collection[str]) -> None:
        """Tell hosts that what was changed on them is well: it stays, should this run die."""
        self._judged.update(hosts)

    def check(self) -> None:
        """Raise HostsWrongError when a host's lock is lost: somebody else may be changing the cluster."""
        if self.lost:
            lines = [f"{host}: its lock is lost ({why})" for host, why in self.lost.items()]
            raise HostsWrongError("\n".join([*lines, "Nothing more is changed; run again."]))

    def hold(self, task: Task, owner: str, break_lock: bool) -> Result:
        """Hold the lock on the task's host until it is released."""
        name, waiting = task.host.name, set[str]()

        def hear(line: str) -> None:
            kind, _, rest = line.partition("\t")
            if kind == "locked":
                self._answer(name, LOCKED)
            elif kind == "held":
                age, _, owner = rest.partition("\t")
                self.holders[name] = (int(age) if age.isdigit() else 0, owner)
            elif kind == "busy" and name not in waiting:
                waiting.add(name)
                console.print(f"{name}: waiting for what an earlier run still does there …", markup=False)

        def feed(pipe: StandardInput) -> None:
            while not self.release.wait(FEED_SECONDS):
                # One that is judged between two looks at the set would be forgotten.
                if judged := name in self._judged:
                    self._judged.discard(name)
                pipe.write(b"judged\n" if judged else b"\n")
            pipe.write(b"judged\n")

        script = hold_script(renderer(task))
        words = ["sh", "-c", script, "sh", "break" if break_lock else "keep", owner]
        try:
            run_command(task, shlex.join(words), feed=feed, timeout=HOLD_SECONDS, on_line=hear)
        except KubenornError as error:
            self._ended(name, str(error), str(error))
            raise
        self._ended(name, REFUSED, "another run took it")
        return Result(host=task.host)

    def _ended(self, host: str, answer: str, why: str) -> None:
        if self.answers.get(host) == LOCKED and not self.release.is_set():
            self.lost[host] = why
        self._answer(host, answer)

    def _answer(self, host: str, answer: str) -> None:
        with self.changed:
            self.answers.setdefault(host, answer)
            self.changed.notify_all()

    def wait_for(self, hosts: Sequence[str]) -> None:
        """Wait until every host has answered for good, or long enough."""
        with self.changed:
            self.changed.wait_for(
                lambda: all(host in self.answers for host in hosts), ANSWER_SECONDS + ORPHAN_SECONDS
            )


@contextmanager
def locked(
    nornir: Nornir, hosts: Sequence[str], *, needed: Collection[str], what: str, break_lock: bool = False
) -> Iterator[Lock]:
    """Hold the lock on `hosts` while the block runs. `what` says what the run is, such as its runbook.

    A host that is not `needed` for the run may be out of reach: then the others' locks stand for it. The first
    host is locked before the others, so that of two runs that begin together one gets all. The lock that is given
    tells by `check` when it was lost. `break_lock` takes one that was silent for STALE_SECONDS. Raises
    HostsWrongError that names who holds it, HostsUnreachableError when a host cannot be asked.
    """
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    owner = f"{what} of {getpass.getuser()}@{socket.gethostname()} (pid {os.getpid()}) since {since}"
    lock = Lock()
    threads = []
    try:
        for group in (hosts[:1], hosts[1:]):
            if group:
                threads.append(_start(nornir, lock, group, owner, break_lock))
                lock.wait_for(group)
                _refuse(lock, group, needed, break_lock=break_lock)
        yield lock
    finally:
        lock.release.set()
        for thread in threads:
            thread.join(ANSWER_SECONDS)


def _start(
    nornir: Nornir, lock: Lock, hosts: Sequence[str], owner: str, break_lock: bool
) -> threading.Thread:
    chosen = nornir.filter(filter_func=lambda host: host.name in hosts).with_runner(
        ThreadedRunner(num_workers=len(hosts))
    )
    thread = threading.Thread(
        target=chosen.run, kwargs={"task": lock.hold, "owner": owner, "break_lock": break_lock}, daemon=True
    )
    thread.start()
    return thread


def _refuse(lock: Lock, hosts: Sequence[str], needed: Collection[str], *, break_lock: bool) -> None:
    held, unreachable = [], []
    for host in hosts:
        answer = lock.answers.get(host, "no answer")
        if answer == REFUSED:
            age, owner = lock.holders.get(host, (0, ""))
            remedy = "wait for it"
            if break_lock:
                remedy += f"; --break-lock takes only a lock that is silent for {STALE_SECONDS} s"
            if age > STALE_SECONDS:
                remedy = (
                    f"it has been silent for {age} s, cut off or dead: --break-lock takes the lock from it"
                )
            held.append(f"{host}: is being changed by {owner or 'another run'}; {remedy}.")
        elif answer != LOCKED and host in needed:
            unreachable.append(f"{host}: cannot be locked: {answer}.")
    if held:
        raise HostsWrongError("\n".join(held))
    if unreachable:
        raise HostsUnreachableError("\n".join(unreachable))
