"""The metadata server's IPv6 address, which is one on every link (fe80::a9fe:a9fe)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.errors import Unreachable
from mdguest.sources.connection import connect, routes
from mdguest.sources.exchange import reason
from mdguest.sources.server import Server

if TYPE_CHECKING:
    from mdguest.sources.patience import Patience
    from mdguest.system import System

METADATA_IPV6 = "fe80::a9fe:a9fe"
_PORT = 80

_LINK_LOCAL = "20"
"""The scope in /proc/net/if_inet6 (IPV6_ADDR_LINKLOCAL)."""

_MOST = 32
"""Links; a guest with more has them for containers."""


def find(system: System, patience: Patience) -> Server:
    """The server on whichever link has one: all are tried at once, so that none holds up the rest.

    Raises Unreachable.
    """
    names = interfaces(system)
    if not names:
        raise Unreachable("IPv6: no interface has a link-local address")
    choices = []
    try:
        for name in names:
            choices += routes(Server(METADATA_IPV6, _PORT, name), patience.connect)
        server, connection = connect(choices, patience.connect)
    except OSError as error:
        where = f"http://[{METADATA_IPV6}%{'|'.join(names)}]"
        raise Unreachable(f"{where}: {reason(error)}") from None
    connection.close()
    return server


def interfaces(system: System) -> list[str]:
    """The interfaces with a link to ask on: up, and with a link-local address of their own.

    Where some have a device behind them it is these alone. At the other end of a container's
    cable is a container, which is not to tell its host what to do.
    """
    try:
        lines = system.read("/proc/net/if_inet6").splitlines()
    except OSError:  # no IPv6
        return []
    rows = [line.split() for line in lines]
    found = [row[5] for row in rows if len(row) == 6 and row[3] == _LINK_LOCAL]
    there = [name for name in dict.fromkeys(found) if _has_carrier(system, name)]
    real = [name for name in there if system.exists(f"/sys/class/net/{name}/device")]
    return (real or there)[:_MOST]


def _has_carrier(system: System, name: str) -> bool:
    """Whether there is somebody at the other end; ``operstate`` tells up to a second later."""
    try:
        return system.read(f"/sys/class/net/{name}/carrier") == "1"
    except OSError:  # the kernel's answer while the interface is down
        return False
