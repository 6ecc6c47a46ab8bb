"""Whether a host that says nothing is still there."""

import threading
import time

import paramiko

SILENCE_SECONDS = 15
"""After this the host is asked whether it is still there."""
ANSWER_SECONDS = 60
"""How long it may take to answer: the question waits behind up to 2 MB that are still on a slow line."""


class Pulse:
    """Notices a host that went away in silence: powered off, hung, or cut off behind a jump host.

    TCP alone would wait for a quarter of an hour, and for ever when there is nothing to send.
    """

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport
        self._last = time.monotonic()
        self._asking: threading.Thread | None = None
        self._asked_at = 0.0

    @property
    def silence(self) -> float:
        """Seconds since the host last gave a sign of life."""
        return time.monotonic() - self._last

    def felt(self) -> None:
        """The host gave a sign of life."""
        self._last = time.monotonic()

    def check(self) -> None:
        """Ask the host when it was silent for long. Raises EOFError, the connection closed, without an answer."""
        if self._asking and self._asking.is_alive():
            if time.monotonic() - self._asked_at > ANSWER_SECONDS:
                self._transport.close()
                raise EOFError(f"the host has not answered for {self.silence:.0f} s")
        elif self.silence > SILENCE_SECONDS:
            self._asked_at = time.monotonic()
            # In a thread, as paramiko waits for the answer without a limit.
            self._asking = threading.Thread(target=self._ask, daemon=True)
            self._asking.start()

    def _ask(self) -> None:
        try:
            self._transport.global_request("keepalive@openssh.com", wait=True)
        except (OSError, EOFError, paramiko.SSHException):
            return
        if self._transport.is_active():
            self.felt()
