"""Errors an operator reads: one sentence that says what is wrong and what to do, and an exit code.

Exit codes of every runbook: 0 as asked; 1 something is wrong on the hosts; 2 the input is wrong and
nothing was touched; 3 some hosts could not be reached; 130 interrupted.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a runbook returns to its shell."""

    OK = 0
    HOSTS_WRONG = 1
    INPUT_WRONG = 2
    HOSTS_UNREACHABLE = 3
    INTERRUPTED = 130


class KubenornError(Exception):
    """Base of every error that is told to the operator without a traceback."""

    exit_code = ExitCode.HOSTS_WRONG


class HostsWrongError(KubenornError):
    """Something on the hosts is not as it should be."""


class RolledBackError(HostsWrongError):
    """A host did not become ready with what was changed, and is as it was before."""


class InterruptedByOperatorError(KubenornError):
    """The operator (or systemd, or a scheduler) asked the run to stop, and it did so between two hosts."""

    exit_code = ExitCode.INTERRUPTED


class DeclinedError(InterruptedByOperatorError):
    """The operator was asked and did not say yes; nothing was touched."""


class InputWrongError(KubenornError):
    """Settings, files or arguments are wrong; nothing was touched. May hold several problems, one a line."""

    exit_code = ExitCode.INPUT_WRONG

    @classmethod
    def of(cls, problems: list[str]) -> "InputWrongError":
        """Return one error that names every problem, one a line, so that all are mended in one go."""
        return cls("\n".join(problems))


class HostsUnreachableError(KubenornError):
    """Some hosts could not be reached or refused the login."""

    exit_code = ExitCode.HOSTS_UNREACHABLE
