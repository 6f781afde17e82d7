"""Whether a request calls the listener by its name (its ``Host`` header).

A web page can have its own name resolve to this machine (DNS rebinding), and then asks as if it
were from here; but it cannot hide the name. The port is not looked at: it is no part of what a page
could forge, and another one where the listener is reached through a tunnel.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection

from mdsvc.errors import Forbidden
from mdsvc.names import canonical_ip

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


def check_host(host: str | None, address: object, names: Collection[str]) -> None:
    """``host`` is the header, ``address`` the socket's own, and ``names`` what else it is called.

    A socket in the file system has no address, and no browser reaches it. Raises Forbidden.
    """
    if not isinstance(address, tuple):
        return
    match = _HOST.fullmatch(host or "")
    called = (match["v6"] or match["name"]).rstrip(".").lower() if match else ""
    if not called or called not in _names(str(address[0]), names):
        raise Forbidden(
            "expected a Host header that names this server: its address, or one of operator_names"
        )


def own_name(address: str) -> set[str]:
    """What a listener is called by the address that it is given: nothing where that is no name."""
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return {address}
    return set()


def _names(address: str, names: Collection[str]) -> set[str]:
    ip = canonical_ip(address.partition("%")[0])
    known = {ip, *(name.lower() for name in names), socket.gethostname().lower()}
    return known | {"localhost"} if ipaddress.ip_address(ip).is_loopback else known
