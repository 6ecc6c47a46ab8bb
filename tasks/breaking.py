"""Breaks a host and always mends it again: by commands that mend themselves, or by the operator's hooks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from kubenorn.drill.board import Board
from kubenorn.drill.live import LiveView
from kubenorn.drill.scenarios import (
    Fault,
    Scenario,
    arming,
    breaking_while_armed,
    dead_man_unit,
    disarming,
)
from kubenorn.errors import HostsUnreachableError, HostsWrongError
from tasks.hooks import HookGuard, Hooks
from tasks.observing import ANSWER_SECONDS, Observers, Order
from tasks.session import Session

BOOT_SECONDS = 600
"""How long a host with power may take until it answers; real ones test their memory first."""
MEND_SECONDS = 90
"""How long the command that mends may take: a kube-apiserver says when it is ready."""


@dataclass
class Breaker:
    """Breaks and mends hosts during one drill."""

    session: Session
    board: Board
    observers: Observers
    hooks: Hooks
    view: LiveView
    run_id: str
    away: set[str] = field(default_factory=set)
    """Hosts that cannot answer, as they hang or have no power."""
    _number: int = 0

    @contextmanager
    def broken(self, fault: Fault) -> Iterator[float]:
        """Break a host and give when (monotonic seconds); however the block ends, it is mended."""
        with self._hooked(fault) if fault.traits.hooks else self._commanded(fault) as broken:
            yield broken

    @contextmanager
    def _commanded(self, fault: Fault) -> Iterator[float]:
        """Break by a command on the host, which mends itself when nobody else does."""
        observer = self.observers[fault.host]
        self._number += 1
        name = dead_man_unit(fault, self.run_id, self._number)
        armed = observer.run(arming(fault, name))
        if armed.status != 0:
            raise HostsWrongError(
                f"{fault.host}: the dead-man switch cannot be armed ({armed.said}); nothing was stopped there."
            )
        order: Order | None = None
        try:
            observer.mend_with(fault.mending)
            order = observer.begin(breaking_while_armed(fault, name))
            self.view.doing = "broken"
            yield self._began(order, fault)
            if order.ended.done() and order.ended.result().status != 0:
                raise HostsWrongError(
                    f"{fault.host}: `{fault.breaking}` failed, so nothing was measured: {order.ended.result().said}"
                )
        finally:
            self._mend(fault, order)
            observer.mend_with("")
            observer.run(disarming(name))

    def _began(self, order: Order, fault: Fault) -> float:
        try:
            return order.began.result(ANSWER_SECONDS)
        except TimeoutError:
            raise HostsUnreachableError(f"{fault.host}: no answer within {ANSWER_SECONDS:.0f} s") from None

    def _mend(self, fault: Fault, order: Order | None) -> None:
        """Mend a host by its command. Raises with what is to be done by hand when that cannot be seen to work."""
        observer = self.observers[fault.host]
        try:
            mended = observer.run(fault.mending, seconds=MEND_SECONDS)
            if order:
                # What breaks may still have been on its way, and come after what mends.
                order.ended.result(MEND_SECONDS)
                mended = observer.run(fault.mending, seconds=MEND_SECONDS)
        except (HostsUnreachableError, TimeoutError) as error:
            raise HostsUnreachableError(
                f"{fault.host}: whether it is mended could not be seen ({error}). It mends itself within "
                f"{fault.dead_man_seconds} s of being broken; by hand: {fault.mending}"
            ) from error
        if mended.status != 0:
            raise HostsWrongError(
                f"{fault.host}: `{fault.mending}` ended with {mended.status} ({mended.said}). The host tries that "
                f"again by itself within {fault.dead_man_seconds} s of being broken (systemctl list-timers)."
            )

    @contextmanager
    def _hooked(self, fault: Fault) -> Iterator[float]:
        """Break by the operator's hook, in a process of its own that mends should this one die."""
        assert fault.traits.hooks
        breaking, mending = fault.traits.hooks
        guard = HookGuard(self.hooks, breaking, mending, fault.host, fault.dead_man_seconds)
        try:
            self.away.add(fault.host)
            self.view.doing = "broken"
            began = guard.broken()
            if fault.scenario is Scenario.POWER_OFF:
                self.board.gone(fault.host, began)
            yield began
        finally:
            guard.await_end_of_breaking()
            self.hooks.mend(mending, fault.host)
            guard.disarm()
            if fault.scenario is Scenario.POWER_OFF:
                self._observe_again(fault.host)
            else:
                self.observers[fault.host].synchronise()
            self.away.discard(fault.host)

    def _observe_again(self, host: str) -> None:
        """Observe a host anew that was off; its old connection is dead."""
        self.session.everyone.inventory.hosts[host].close_connections()
        attempts = Retrying(
            retry=retry_if_exception_type(HostsUnreachableError),
            stop=stop_after_delay(BOOT_SECONDS),
            wait=wait_fixed(1.0),
        )
        try:
            attempts(lambda: self.observers.start([host]))
        except RetryError as error:
            raise HostsUnreachableError(
                f"{host}: does not come back within {BOOT_SECONDS} s; look at its console."
            ) from error
