"""A program that makes a cluster's material in processes that are killed; driven by test_crash.py.

It reads orders, one JSON object a line, and answers each with "killed" or "done". It only forks, and never
makes anything itself: a process that has used OpenSSL in threads may hold locks that a fork keeps locked.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kubenorn.cluster_secrets import ensure_cluster_secrets
from kubenorn.pki.keys import KeyType
from kubenorn.pki.layout import PkiRequest
from kubenorn.pki.store import PkiStore


@dataclass(frozen=True)
class Order:
    """Make the material in `folder`; die right before a rename (from 1), or be killed after some seconds."""

    folder: str
    now: str
    vip: str
    at_rename: int | None = None
    after_seconds: float | None = None

    def run(self) -> None:
        request = PkiRequest({"m1": "192.168.80.7"}, self.vip, "10.254.0.1", key_type=KeyType.ECDSA_P256)
        ensure_cluster_secrets(Path(self.folder))
        PkiStore(Path(self.folder)).ensure(request, now=datetime.fromisoformat(self.now))


def die_at_rename(number: int) -> None:
    original, count, lock = Path.replace, [0], threading.Lock()  # certificates are written by threads

    def replace_or_die(self: Path, target: Path) -> Path:
        with lock:
            count[0] += 1
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, target)

    Path.replace = replace_or_die  # type: ignore[method-assign,assignment]


def in_child(order: Order) -> None:
    try:
        signal.alarm(30)  # SIGALRM ends a child that hangs, and the answer tells
        if order.at_rename is not None:
            die_at_rename(order.at_rename)
        order.run()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def answer(order: Order) -> str:
    child = os.fork()
    if child == 0:
        in_child(order)
    if order.after_seconds is not None:
        time.sleep(order.after_seconds)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "done", -signal.SIGKILL: "killed"}.get(code, f"failed with {code}")


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(answer(Order(**json.loads(line))) + "\n")
        sys.stdout.flush()
