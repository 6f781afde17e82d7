"""The MAC address of whoever asks, as the kernel sends the answers there.

A guest that takes another one's IP address has to be answered at its own MAC address, or it gets
no answer: so where these do not belong together, it is not the guest. Nothing of it is kept: an
address that is another guest's now is so at once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from mdsvc.errors import Unresolved
from mdsvc.listening.netlink import Route


class Kernel(Protocol):
    """What is asked of ``netlink.RouteNetlink``."""

    def route(self, ip: str, link: int | None) -> Route | None: ...

    def neighbour(self, ip: str, link: int) -> str | None: ...


def mac_of(kernel: Kernel, ip: str, link: int | None, resolving: Collection[int]) -> str | None:
    """The MAC address of a peer; None for one that has none that says who it is: this machine, one
    behind a router, or one on a link of no such addresses, which is not among the ``resolving``.

    ``link`` is where it asks, if only that is listened on. Raises Unresolved.
    """
    route = kernel.route(ip, link)
    if route is None:
        raise Unresolved(f"there is no way to {ip}")
    if route.is_local or not route.is_direct or route.link not in resolving:
        return None
    mac = kernel.neighbour(ip, route.link)
    if mac is None:
        raise Unresolved(f"the neighbour {ip} is not known")
    return mac
