"""The PKI of one cluster on the controller: makes what is missing, reissues for a reason, loses nothing.

artifacts/CLUSTER/pki/ca.pem ca-key.pem …           the authorities
artifacts/CLUSTER/pki/service-account.pub, -key.pem
artifacts/CLUSTER/pki/own-authorities.json          fingerprints of the operator's own CAs
artifacts/CLUSTER/hosts/HOST/NAME.pem NAME-key.pem  what HOST gets
artifacts/CLUSTER/hosts/_controller/admin.pem …     the controller's own, for its admin.kubeconfig
"""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kubenorn.files import folder_lock
from kubenorn.pki.jobs import Job, Meter, Progress, run_jobs
from kubenorn.pki.layout import PkiRequest, controller_certificate_specs, host_certificate_specs
from kubenorn.pki.leaves import Leaf, issue_leaf, judge_leaf, refuse_unsignable
from kubenorn.pki.material import KeyPair, PkiPolicy, PkiResult
from kubenorn.pki.roots import complete_roots, find_roots
from kubenorn.pki.shelf import CONTROLLER, PKI, Shelf


class PkiStore:
    """The folder artifacts/CLUSTER/ of one cluster, as far as keys and certificates go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ensure(
        self,
        request: PkiRequest,
        policy: PkiPolicy | None = None,
        *,
        dry_run: bool = False,
        now: datetime | None = None,
        progress: Progress | None = None,
    ) -> PkiResult:
        """Return all material of the cluster after making what is missing and reissuing what must be.

        A dry run writes nothing and returns the same changes, with what is missing made in memory only.
        `now` (aware) is the present by default. `progress` hears of each thing made, and nothing when
        nothing has to be made. A reissued certificate gets a new key: no key outlives its certificate.
        Raises InputWrongError, before anything is written, when a CA, its key or the service-account key
        is lost, expired or not the cluster's; or when another process works in the folder.
        """
        shelf = Shelf(self._folder, dry_run=dry_run)
        lock = contextlib.nullcontext() if dry_run else folder_lock(self._folder / PKI)
        with lock:
            if not dry_run:
                shelf.clean()
            return _ensure(shelf, request, policy or PkiPolicy(), now or datetime.now(UTC), progress)


def _ensure(
    shelf: Shelf, request: PkiRequest, policy: PkiPolicy, now: datetime, progress: Progress | None
) -> PkiResult:
    roots = find_roots(shelf, request, policy, now)
    states = [judge_leaf(shelf, leaf, roots.found, policy, now) for leaf in _leaves(request)]
    due = [state for state in states if state.reason is not None]
    refuse_unsignable(shelf, due, roots.found)

    meter = Meter(roots.to_make + len(due), progress)
    made = complete_roots(shelf, roots, request, policy, now=now, meter=meter)
    jobs = [
        Job(str(state.leaf), partial(issue_leaf, shelf, state.leaf, made.authorities, policy, now))
        for state in due
    ]
    new = dict(zip((state.leaf for state in due), run_jobs(jobs, meter), strict=True))
    pairs = {state.leaf: state.pair or new[state.leaf] for state in states}
    return PkiResult(
        changes=(*made.changes, *(state.change for state in due)),
        notices=made.notices,
        authorities={name: made.pair(name) for name in request.authorities},
        service_account=made.service_account,
        hosts={host: _of_host(pairs, host) for host in request.masters},
        controller=_of_host(pairs, CONTROLLER),
    )


def _leaves(request: PkiRequest) -> list[Leaf]:
    hosts = [Leaf(host, spec) for host in request.masters for spec in host_certificate_specs(request, host)]
    return [*hosts, *(Leaf(CONTROLLER, spec) for spec in controller_certificate_specs(request))]


def _of_host(pairs: Mapping[Leaf, KeyPair], host: str) -> dict[str, KeyPair]:
    return {leaf.spec.name: pair for leaf, pair in pairs.items() if leaf.host == host}
