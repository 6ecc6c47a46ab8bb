"""Asks the API through the VIP ten times a second, from a process of its own, and counts what fails."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lab.lab import Lab
from tests.lab.controller import Controller
from tests.lab.hosts import vip_holders

PROGRAM = """
import http.client, json, ssl, sys, threading, time
host, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=folder + "/pki/ca.pem")
own = folder + "/hosts/_controller/admin"
context.load_cert_chain(own + ".pem", own + "-key.pem")
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
done, failures = 0, []
while not stop.wait(0.1):
    began = time.time()
    connection = http.client.HTTPSConnection(host, port, timeout=3, context=context)
    try:
        connection.request("GET", "/version")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            failures.append((began, time.time(), "HTTP %d" % answer.status))
    except (OSError, http.client.HTTPException) as error:
        failures.append((began, time.time(), repr(error)))
    finally:
        connection.close()
    done += 1
print(json.dumps({"done": done, "failures": failures}))
"""

ENDED = ("EOF", "RemoteDisconnected")
"""What Python calls a connection that haproxy ended: in the handshake, and after it."""
Failure = tuple[float, float, str]
"""When a probe began and ended (seconds since 1970), and what went wrong."""


@dataclass
class Probes:
    """What came of the probes; known when the block is over."""

    done: int = 0
    failures: list[Failure] = field(default_factory=list)


@contextmanager
def probed(lab: Lab) -> Iterator[Probes]:
    """Probe the API of the lab's cluster through the VIP while the block runs."""
    folder = str(lab.folder / "artifacts" / lab.facts.name)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, lab.vip, "8443", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    probes = Probes()
    try:
        yield probes
    finally:
        output, _ = process.communicate("", timeout=15)
        found = json.loads(output)
        probes.done, probes.failures = found["done"], [tuple(each) for each in found["failures"]]


def unexplained(lab: Lab, failures: list[Failure]) -> list[Failure]:
    """Return the probes that failed and that the VIP holder's haproxy did not cut.

    A kube-apiserver that stops says that it is not ready and goes on serving; haproxy ends what is open to it when
    it has noticed (`on-marked-down shutdown-sessions`). Only a connection that ended, while the journal of that very
    haproxy names the moment, is explained so, and by each moment one probe alone.
    """
    (holder,) = vip_holders(lab)
    command = "journalctl -u haproxy -o short-unix --since -15min | grep ': Server kube-apiserver/.* is DOWN'"
    lines = lab.run(holder, command, check=False).stdout.splitlines()
    # haproxy says it twice: to syslog and to its standard error.
    moments = [float(line.split()[0]) for line in lines if "[WARNING]" not in line]
    left = []
    for failure in failures:
        began, ended, said = failure
        moment = next((at for at in moments if began <= at <= ended + 0.02), None)
        if moment is None or not any(word in said for word in ENDED):
            left.append(failure)
        else:
            moments.remove(moment)
    return left


@contextmanager
def available(cluster: Controller, excused: Callable[[Failure], bool] | None = None) -> Iterator[None]:
    """Fail when probes through the VIP failed meanwhile, or when two runs afterwards do not end in peace.

    A probe that haproxy cut is left out; `excused` tells of one other whether it was bound to fail.
    """
    with probed(cluster.lab) as probes:
        yield
    assert probes.done > 0
    failures = unexplained(cluster.lab, probes.failures)
    bound = [failure for failure in failures if excused and excused(failure)]
    assert len(bound) <= 1, "probes follow each other: one connection is open at a time"
    failures = [failure for failure in failures if failure not in bound]
    assert failures == []
    mended = cluster.deploy()
    assert mended.status == 0, mended.text
    assert "No changes." in cluster.deploy().stdout
