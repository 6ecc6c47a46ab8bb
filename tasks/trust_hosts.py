"""The phases of first contact: fetch the host keys, tell what is new, record what the operator trusts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kubenorn.console import phase
from kubenorn.errors import HostsUnreachableError, HostsWrongError, InputWrongError
from kubenorn.known_hosts import HostKey, KeyState, KnownHosts, record_keys
from tasks.endpoint import Endpoint
from tasks.fetch_host_keys import fetch_host_keys
from tasks.fleet_run import run_on_hosts
from tasks.login import login_to
from tasks.session import Session


@dataclass(frozen=True)
class Stop:
    """A host, or a jump host on the way to some, with the keys it offers and what known_hosts says of each."""

    label: str
    endpoint: Endpoint
    known_hosts: Path
    keys: Mapping[HostKey, KeyState]
    replaced: bool
    """Whether the operator said --replace for it."""

    @property
    def changed(self) -> bool:
        """Whether it may be another host than the one recorded, and is not to be replaced."""
        doubtful = {KeyState.CHANGED, KeyState.REVOKED} & set(self.keys.values())
        return KeyState.REVOKED in doubtful or bool(doubtful and not self.replaced)

    @property
    def to_record(self) -> list[HostKey]:
        """The keys to be appended to known_hosts; with --replace they take the place of all recorded ones."""
        if self.changed or all(state is KeyState.KNOWN for state in self.keys.values()):
            return []
        if self.replaced:
            return list(self.keys)
        return [key for key, state in self.keys.items() if state is KeyState.NEW]


@dataclass
class FirstContact:
    """One run of the trust runbook."""

    session: Session
    replace: Collection[str]
    verbose: bool = False
    problems: dict[str, Exception] = field(default_factory=dict)
    """By label: why a stop's keys are neither known nor recorded."""
    _routes: dict[str, tuple[Endpoint, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._routes = {
            name: login_to(host).endpoint.route for name, host in self.session.nornir.inventory.hosts.items()
        }
        labels = {name for stop in self._stops() for name in (stop[0], stop[1].hostname)}
        unknown = sorted(set(self.replace) - labels)
        if unknown:
            raise InputWrongError(
                f"--replace {', '.join(unknown)}: not among the selected hosts; give a host's name or address."
            )

    @property
    def rounds(self) -> range:
        """Numbers of the rounds: a jump host's key must be trusted before the hosts behind it can be asked."""
        return range(max(map(len, self._routes.values())))

    def fetch(self, number: int) -> list[Stop]:
        """Return the stops that are reached in round `number`; who cannot be reached is added to the problems."""
        asked: dict[tuple[str, Path], tuple[str, Endpoint, str]] = {}
        for label, endpoint, host in self._stops(number):
            asked.setdefault((endpoint.known_name, self._known_hosts(host)), (label, endpoint, host))
        by_host = {host: (label, endpoint) for label, endpoint, host in asked.values()}
        with phase("Host keys", total=len(by_host)) as shown:
            outcome = run_on_hosts(
                self.session.nornir,
                fetch_host_keys,
                list(by_host),
                on_host_done=lambda _: shown.advance(),
                verbose=self.verbose,
                stops={host: endpoint for host, (_, endpoint) in by_host.items()},
            )
            shown.remark = f"{len(outcome.results)} of {len(by_host)} hosts answered"
        self.problems |= {by_host[host][0]: error for host, error in outcome.failures.items()}
        stops = [self._stop(host, *by_host[host], keys) for host, keys in outcome.results.items()]
        self.problems |= {stop.label: _changed(stop) for stop in stops if stop.changed}
        return stops

    def record(self, stops: Collection[Stop]) -> int:
        """Append the new keys of `stops` to known_hosts and return how many. Raises InputWrongError."""
        for path in {stop.known_hosts for stop in stops}:
            mine = [stop for stop in stops if stop.known_hosts == path and stop.to_record]
            record_keys(
                path,
                {stop.endpoint.known_name: stop.to_record for stop in mine},
                replace={stop.endpoint.known_name for stop in mine if stop.replaced},
            )
        return sum(len(stop.to_record) for stop in stops)

    def raise_problems(self) -> None:
        """Raise one error that names everything that went wrong, of the gravest kind; nothing when all is well."""
        lines = [f"{label}: {error}." for label, error in self.problems.items()]
        for kind in (HostsUnreachableError, InputWrongError, HostsWrongError):
            if any(isinstance(error, kind) for error in self.problems.values()):
                raise kind("\n".join(lines))
        if lines:
            raise HostsWrongError("\n".join(lines))

    def _stops(self, number: int | None = None) -> list[tuple[str, Endpoint, str]]:
        """Return label, endpoint and inventory host of all stops, or of those of one round."""
        return [
            (host if stop == route[-1] else f"jump host {stop.hostname}", stop, host)
            for host, route in self._routes.items()
            for index, stop in enumerate(route)
            if number in (None, index)
        ]

    def _stop(self, host: str, label: str, endpoint: Endpoint, keys: list[HostKey]) -> Stop:
        path = self._known_hosts(host)
        states = KnownHosts.read(path).states(endpoint.known_name, keys)
        replaced = bool({label, endpoint.hostname} & set(self.replace))
        return Stop(label, endpoint, path, states, replaced)

    def _known_hosts(self, host: str) -> Path:
        return self.session.fleet.ssh[host].known_hosts


def _changed(stop: Stop) -> HostsWrongError:
    if KeyState.REVOKED in stop.keys.values():
        return HostsWrongError(f"its host key is revoked in {stop.known_hosts}; do not log in, find out why")
    return HostsWrongError(
        f"its host key is not the one in {stop.known_hosts}: either the host was reinstalled or somebody else "
        "answers in its place; compare the fingerprint on the host's console, then run again with "
        f"--replace {stop.label.removeprefix('jump host ')}"
    )
