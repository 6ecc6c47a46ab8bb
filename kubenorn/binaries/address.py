"""Addresses of mirrors, whose user and password must not be shown, logged or written anywhere."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from kubenorn.errors import InputWrongError

_MASK = "***"


def masked(url: str) -> str:
    """Return the address as it may be shown: without user and password, without a query.

    Everything up to the last `@` goes: an unescaped `/` or `@` in a password must not give away the rest.
    """
    shown = re.sub(r"//.*@", f"//{_MASK}@", url, flags=re.DOTALL)
    return re.sub(r"[?#].*", "?…", shown, flags=re.DOTALL)


@dataclass(frozen=True)
class Mirror:
    """The address of a mirror, taken apart."""

    base: str
    """Without user and password, without a slash at the end."""
    shown: str
    login: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, value: str, key: str) -> "Mirror":
        """Return the mirror at the http(s) address `value` of the setting `key`.

        Raises InputWrongError when it is no such address.
        """
        wrong = f"{key}: {masked(value)} is no address of a mirror"
        try:
            parts = urlsplit(value)
            port = parts.port  # raises ValueError when it is no number
        except ValueError:
            # The reason is left out: it may quote what belongs to a password.
            raise InputWrongError(f"{wrong}: escape signs in the password as %XX") from None
        if "@" in parts.path:  # more likely a password with a slash in it than a path
            raise InputWrongError(f"{wrong}: escape / in the password as %2F, @ in the path as %40")
        if parts.query or parts.fragment:
            raise InputWrongError(f"{wrong}: leave out what follows ? or #, paths are added to it")
        if not parts.hostname:
            raise InputWrongError(f"{wrong}: write https://HOST/PATH")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        place = host if port is None else f"{host}:{port}"
        login = (
            (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
        )
        path = parts.path.rstrip("/")
        return cls(f"{parts.scheme}://{place}{path}", masked(value).rstrip("/"), login)

    def url(self, path: str) -> str:
        """Return the address of a file below the mirror, without user and password."""
        return f"{self.base}/{path}"
