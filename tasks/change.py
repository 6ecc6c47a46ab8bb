"""What surrounds every change of hosts: the lock, a way to stop, and a watch on the API through the VIP."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kubenorn.api_prober import ApiProber
from kubenorn.cluster import Cluster
from kubenorn.pki.shelf import CONTROLLER
from tasks.deployment import Deployment
from tasks.host_lock import Lock, locked
from tasks.interrupt import Interrupt, interruptible
from tasks.looking import in_use
from tasks.recording import Recording


@dataclass(frozen=True)
class Change:
    """A change of hosts that is under way."""

    interrupt: Interrupt
    lock: Lock | None = None
    """None where there is nothing to change."""

    def found_ready(self, hosts: Collection[str]) -> None:
        """Note that hosts that were changed are ready: they stay as they are, should this run die now.

        Raises HostsWrongError when a lock was lost: a host whose lock ended may have judged by itself.
        """
        if self.lock:
            self.lock.check()
            self.lock.judged(hosts)


@contextmanager
def changing(
    run: Deployment, recording: Recording, *, what: str, break_lock: bool, always: bool = False
) -> Iterator[Change]:
    """Hold the lock of every cluster that is about to be changed, and watch the API of those in use.

    Once nobody else can change them the hosts are looked at again; `run.replanned` says whether the plan is another
    one now.

    What was measured is noted in `recording`. Where the plan is empty there is nothing to lock or to watch, unless
    the caller changes hosts `always`. Raises like `locked`.
    """
    with ExitStack() as stack:
        interrupt, lock = stack.enter_context(interruptible()), None
        if always or not run.empty:
            masters = [master.name for cluster in run.session.clusters for master in cluster.masters]
            lock = stack.enter_context(
                locked(
                    run.session.everyone, masters, needed=run.session.hosts, what=what, break_lock=break_lock
                )
            )
            interrupt.watch(lock.check)
            run.look_again()
            for cluster in run.session.clusters:
                if in_use(run, cluster):
                    prober = stack.enter_context(_prober(run, cluster))
                    recording.probers[cluster.name] = prober
        yield Change(interrupt, lock)


def _prober(run: Deployment, cluster: Cluster) -> ApiProber:
    own = run.session.artifacts / cluster.name / "hosts" / CONTROLLER
    settings = cluster.settings
    return ApiProber(
        str(settings.vip),
        settings.vip_port,
        "/version",
        ca=run.material[cluster.name].ca,
        certificate=own / "admin.pem",
        key=own / "admin-key.pem",
    )
