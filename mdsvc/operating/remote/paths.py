"""Where hosts and guests are, on a server.

What cannot be a host's name or a UUID has no path. It is not found, in the words of a store.
"""

from __future__ import annotations

from urllib.parse import quote

from mdsvc.errors import BadInput, NotFound
from mdsvc.names import is_host_name, is_uuid


def host_path(name: str) -> str:
    """The path of a host. Raises NotFound, and BadInput for what is no text."""
    if not is_host_name(_text(name)):
        raise NotFound.host(name)
    return f"/hosts/{_segment(name)}"


def instance_path(uuid: str) -> str:
    """The path of a guest. Raises NotFound, and BadInput for what is no text."""
    if not is_uuid(_text(uuid)):
        raise NotFound.instance(uuid)
    return f"/instances/{_segment(uuid)}"


def _text(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"expected text in UTF-8, got {name[:60]!r}") from None
    return name


def _segment(name: str) -> str:
    """As one part of a path; dots too, which alone would lead elsewhere."""
    return quote(name, safe="").replace(".", "%2E")
