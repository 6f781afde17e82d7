"""Where a cloud's metadata service is: a URL, or the path of a Unix socket."""

from __future__ import annotations

import msgspec

from mdsvc.outbound import is_plain_url
from mdsvc.override import override

_UNIX = "unix:"
_EXPECTED = "expected http://HOST:PORT, https://HOST:PORT or unix:/PATH"


class Upstream(msgspec.Struct, frozen=True):
    """``base`` is what paths are appended to; ``socket`` the Unix socket that is asked there."""

    base: str
    socket: str | None = None

    @override
    def __str__(self) -> str:
        return f"{_UNIX}{self.socket}" if self.socket else self.base


def parse_upstream(text: str, field: str = "upstream") -> Upstream:
    """Raises ValueError. A URL with a name and password is refused, as it would be shown."""
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError(f"{field}: expected unix:/PATH, an absolute path, got {text!r}")
        return Upstream("http://localhost", path)
    if not is_plain_url(text, without="@?#"):
        shown = "" if "@" in text else f", got {text!r}"
        raise ValueError(f"{field}: {_EXPECTED}, without a user, query or fragment{shown}")
    return Upstream(text.rstrip("/"))
