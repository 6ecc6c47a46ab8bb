"""Runs the prober in a process of its own and brings what it saw to the board."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from kubenorn.cluster import Cluster
from kubenorn.console import console
from kubenorn.drill.board import Board
from kubenorn.drill.prober import Target, parse_line
from kubenorn.errors import InputWrongError
from kubenorn.pki.shelf import CONTROLLER
from tasks.forward import forwarded
from tasks.login import login_to
from tasks.session import Session

FIRST_ANSWER_SECONDS = 5.0
ROUTE_SECONDS = 1.0
"""How long a connection to the VIP may take before the jump host is asked instead."""


def target_of(session: Session, cluster: Cluster, interval: float) -> Target:
    """Return how the cluster's API is asked through the VIP every `interval` seconds, as the administrator.

    Raises InputWrongError when this machine has no administrator's certificate for it.
    """
    settings = cluster.settings
    folder = session.artifacts / cluster.name
    own = folder / "hosts" / CONTROLLER
    files = {"ca": folder / "pki" / "ca.pem", "certificate": own / "admin.pem", "key": own / "admin-key.pem"}
    for path in files.values():
        if not path.is_file():
            raise InputWrongError(
                f"{path}: is missing; the drill asks the API as administrator, so run it where runbooks/deploy.py "
                f"keeps the artifacts of {cluster.name}."
            )
    in_leases = settings.kubernetes_version.leaders_in_leases
    kind = "apis/coordination.k8s.io/v1" if in_leases else "api/v1"
    return Target(
        host=str(settings.vip),
        reached_at=str(settings.vip),
        port=settings.vip_port,
        path=settings.kubernetes_version.readiness_path,
        watch_path=f"/{kind}/namespaces/kube-system/{'leases' if in_leases else 'endpoints'}?watch=1",
        interval=interval,
        **{name: str(path) for name, path in files.items()},
    )


@contextmanager
def reachable(session: Session, target: Target, host: str) -> Iterator[Target]:
    """Give how the VIP is reached: straight, or through the jump host of `host` where there is no route to it."""
    login = login_to(session.everyone.inventory.hosts[host])
    try:
        socket.create_connection((target.reached_at, target.port), ROUTE_SECONDS).close()
    except OSError:
        if login.endpoint.jump is None:
            yield target  # the first probe will tell what is wrong
            return
        with forwarded(login, target.host, target.port) as (address, port):
            console.print(
                f"{target.host} is not reached from here, so it is probed from {login.endpoint.jump}."
            )
            yield replace(target, reached_at=address, port=port)
    else:
        yield target


@contextmanager
def probing(target: Target, board: Board) -> Iterator[None]:
    """Ask the API while the block runs.

    Raises InputWrongError when there is no good answer at first: nothing could be measured from here.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "kubenorn.drill.prober", target.to_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C is for the drill: it goes on measuring until the host is mended.
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    lines = process.stdout

    def listen() -> None:
        try:
            for line in lines:
                board.add(parse_line(line))
        except ValueError as error:
            board.failure = str(error)
        else:
            board.failure = "the prober ended"

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        _await_answer(target, board)
        yield
    finally:
        process.stdin.close()
        process.wait(FIRST_ANSWER_SECONDS)
        listener.join(FIRST_ANSWER_SECONDS)


def _await_answer(target: Target, board: Board) -> None:
    deadline = time.monotonic() + FIRST_ANSWER_SECONDS
    while time.monotonic() < deadline:
        if board.good_since(0) and board.glance().watching:
            return
        time.sleep(0.05)
    probes = board.glance().probes
    said = probes[-1].reason if probes else "no answer"
    raise InputWrongError(
        f"{target.host} does not answer from this machine ({said or 'the watch is refused'}), so there "
        "is nothing to measure with; run the drill where there is a route to the VIP, or behind a jump host "
        "that has one."
    )
