"""How sudo is asked, how it asks back, and what its refusals mean."""

import shlex

SUDO_PROMPT = "[kubenorn needs the sudo password]"
SUDO_READY = "[kubenorn is root]"
SUDO_SECONDS = 30
"""How long sudo may take to ask, or to judge a password: PAM may ask a directory first."""


def as_root_line(command: str, password: str) -> str:
    """Return the line of shell that runs `command` as root and says SUDO_READY on stderr once it may.

    With a `password` sudo asks for it by SUDO_PROMPT; it is to be answered on standard input, and only then.
    """
    # -k: never a cached credential, so that sudo either asks now or never; see _Conversation._become_root
    how = f"-S -k -p {shlex.quote(SUDO_PROMPT)}" if password else "-n"
    ready = f"echo {shlex.quote(SUDO_READY)} >&2; {command}"
    # LC_ALL: sudo's refusals are recognised by their words.
    return f"env LC_ALL=C sudo {how} -- sh -c {shlex.quote(ready)}"


def sudo_refusal(stderr: str) -> str:
    """Return in a sentence why sudo let nobody in, from what it said on stderr, and what to do."""
    said = " ".join(stderr.split()) or "no reason given"
    if "password is required" in said:
        return (
            "sudo asks for a password; run again with --ask-sudo-password, "
            "or set KUBENORN_SUDO_PASSWORD, or allow NOPASSWD"
        )
    if "Sorry, try again" in said or "incorrect password" in said:
        return "sudo refused the password; correct it and run again"
    return f"sudo refused ({said}); let the user run commands as root with sudo"
