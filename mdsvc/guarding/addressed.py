"""What a guest may call the service (the ``Host`` header).

A web page in a guest's browser can have its own name resolve to 169.254.169.254 (DNS rebinding),
but it cannot hide the name. An address is no name, so every address will do: services are reached
through forwarded ports too. Nor is a name without a dot one that a page on the internet can have.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

from mdsvc.errors import BadInput, WrongName

_EXPECTED = "expected a Host header that names this service"

_HOST = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)(?:%[A-Za-z0-9._%-]+)?\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{0,5})?"
)


def check_called(target: str, hosts: Sequence[str], names: Collection[str]) -> None:
    """Of a request: its target as it was sent, and its ``Host`` headers, each of which names the
    service (RFC 9112, 3.2.2). Raises BadInput and WrongName.
    """
    check_host(hosts, names)
    if not target.startswith("/") and "://" in target:
        check_host([target.partition("://")[2].partition("/")[0]], names)


def check_host(hosts: Sequence[str], names: Collection[str]) -> None:
    """``hosts`` are the headers: none is for HTTP/1.0, and no browser. Raises BadInput where there
    are several, and WrongName.
    """
    if not hosts:
        return
    if len(hosts) > 1:
        raise BadInput("expected one Host header")
    called = _called(hosts[0]) if len(hosts[0]) <= _LONGEST_KEPT else _called.__wrapped__(hosts[0])
    if not (called.is_address_or_local or called.name in names):
        raise WrongName(f"{_EXPECTED}: its address, or one of guest_names")


class _Called(NamedTuple):
    """What a ``Host`` header says; no name where it cannot be read."""

    name: str
    is_address_or_local: bool


_LONGEST_KEPT = 100


@lru_cache(maxsize=256)
def _called(host: str) -> _Called:
    """A storm's are all alike."""
    match = _HOST.fullmatch(host.strip())
    called = (match["v6"] or match["name"]).rstrip(".").lower() if match else ""
    is_local = bool(called) and "." not in called
    return _Called(called, is_local or _is_address(called))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
