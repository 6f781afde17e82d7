"""Small networks to try guests on: namespaces and veth pairs, which only the demo and tests make.

Making namespaces needs root; pyroute2 does the work.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import IPRoute, config, netns

from mdsvc.instance import Address

METADATA_IPV4 = "169.254.169.254"

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21  # linux/capability.h

config.default_communicate_timeout = 60
"""Seconds that pyroute2's child has to enter a namespace; its own 2 are few on a busy machine."""


def can_make_namespaces() -> bool:
    """Whether this process may make network namespaces; root in a container often may not."""
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)$", status)
    capabilities = int(effective[1], 16) if effective else 0
    return all(capabilities >> needed & 1 for needed in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))


@contextmanager
def guest_network(name: str, guests: Sequence[Address]) -> Iterator[tuple[str, list[str]]]:
    """A network for metadata: a server's namespace and one for each guest, one cable each.

    Gives the names of the server's namespace and of the guests'. The server's has the metadata
    address, and each guest's its own address and a route to that. All is removed at the end.
    """
    server = f"{name}-server"
    names = [f"{name}-guest{number}" for number in range(len(guests))]
    created: list[str] = []
    try:
        for namespace in (server, *names):
            netns.create(namespace)
            created.append(namespace)
            _set(namespace, "lo", state="up")
        _address(server, "lo", METADATA_IPV4)
        for number, guest in enumerate(guests):
            _cable(server, names[number], f"veth{number}", guest)
        yield server, names
    finally:
        for namespace in reversed(created):
            netns.remove(namespace)


def enter(namespace: str) -> None:
    """Move this process into the namespace, for good. For a child before it runs a program."""
    netns.setns(namespace, flags=os.O_RDONLY)


def _cable(server: str, namespace: str, port: str, guest: Address) -> None:
    """Join a guest to the server; its only neighbour and route is the metadata address."""
    with IPRoute(netns=server) as ipr:
        ipr.link("add", ifname=port, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace})
    if guest.mac:
        _set(namespace, "eth0", address=guest.mac)
    _set(server, port, state="up")
    _set(namespace, "eth0", state="up")
    _address(namespace, "eth0", guest.ip)
    _route(namespace, METADATA_IPV4, "eth0", prefsrc=guest.ip)
    _route(server, guest.ip, port)


def _index(ipr: IPRoute, name: str) -> int:
    return int(ipr.link_lookup(ifname=name)[0])


def _set(namespace: str, name: str, **what: str) -> None:
    with IPRoute(netns=namespace) as ipr:
        ipr.link("set", index=_index(ipr, name), **what)


def _address(namespace: str, name: str, ip: str) -> None:
    with IPRoute(netns=namespace) as ipr:
        ipr.addr("add", index=_index(ipr, name), address=ip, prefixlen=32)


def _route(namespace: str, to: str, name: str, **more: str) -> None:
    with IPRoute(netns=namespace) as ipr:
        ipr.route("add", dst=f"{to}/32", oif=_index(ipr, name), scope="link", **more)
