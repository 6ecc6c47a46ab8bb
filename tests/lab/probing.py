"""Asks the API through the VIP ten times a second, from a process of its own, and counts what fails."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lab.lab import Lab

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
            failures.append((began, "HTTP %d" % answer.status))
    except OSError as error:
        failures.append((began, repr(error)))
    finally:
        connection.close()
    done += 1
print(json.dumps({"done": done, "failures": failures}))
"""


@dataclass
class Probes:
    """What came of the probes; known when the block is over."""

    done: int = 0
    failures: list[tuple[float, str]] = field(default_factory=list)


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
