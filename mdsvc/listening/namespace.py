"""One network namespace with the listeners in it.

They listen before the address is there (``IP_FREEBIND``), so none is too late for a guest. IPv4
takes one socket; a link-local IPv6 address is one of a link, so each link has its own.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase

import msgspec
from pyroute2 import netns

from mdsvc.listening.netlink import Link, RouteNetlink

IPV4, IPV6 = "169.254.169.254", "fe80::a9fe:a9fe"
"""Where guests ask for metadata."""

_PORT = 80
_PREFIXES = {IPV4: 32, IPV6: 64}

_OURS = 0xA9
"""Who made an address (``IFA_PROTO``), so that one is known that a killed server has left."""

_IPV6_FREEBIND = 78  # linux/in6.h
_IP_FREEBIND = 15  # linux/in.h

_log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True):
    """Which namespaces, and the network of each: those that are named; and where there is a prefix,
    those of which the rest of the name is the network's. ``add_to`` is a pattern of the names of
    interfaces that are to be given the addresses; None for none. ``shared``: several processes of
    this user follow the same ones, and each has listeners of its own at the same port.
    """

    named: Mapping[str, str] = {}
    prefix: str | None = None
    add_to: str | None = None
    shared: bool = False

    def network_of(self, name: str) -> str | None:
        """The network of a namespace; None where it is not wanted."""
        if name in self.named:
            return self.named[name]
        if self.prefix and name.startswith(self.prefix):
            return name.removeprefix(self.prefix) or None
        return None


class Listener:
    """A listening socket for the guests of a network. ``link`` is the only one where these are."""

    def __init__(self, namespace: Namespace, link: int | None, sock: socket.socket) -> None:
        self.namespace = namespace
        self.link = link
        self.sock = sock


Changed = Callable[[Listener], None]


class Namespace:
    """What is in one of them. All but its names belongs to the thread that has made it."""

    def __init__(self, name: str, network: str, path: str, inode: int, home: int) -> None:
        """Enter it by its path, for a moment; ``home`` is an open one. Raises OSError."""
        self.name = name
        self.network = network
        self.inode = inode
        self.resolving: frozenset[int] = frozenset()
        self.listeners: dict[int | None, Listener] = {}
        self.trouble = "not looked at yet"
        self._path = path
        self._home = home
        with self._inside():
            self.netlink = RouteNetlink()

    def refresh(self, opened: Changed, closed: Changed, wanted: Wanted) -> None:
        """Listen on links that are new, and no more on those that are gone; add the addresses that
        are wanted. Raises OSError, having done what could be done.
        """
        links = self.netlink.links()
        self.resolving = frozenset(link.number for link in links if link.resolves)
        served = {link.number: link for link in links if not link.is_loopback | link.is_enslaved}
        for gone in self.listeners.keys() - served.keys() - {None}:
            closed(self.listeners.pop(gone))
        missing = [link for link in (None, *served) if link not in self.listeners]
        errors = self._listen(missing, opened, shared=wanted.shared) if missing else []
        if (pattern := wanted.add_to) is not None:
            self._add_addresses([w for w in served.values() if fnmatchcase(w.name, pattern)])
        if errors:
            raise errors[0]

    def _listen(self, missing: list[int | None], opened: Changed, *, shared: bool) -> list[OSError]:
        errors = []
        with self._inside():
            for index in missing:
                try:
                    sock = _listening(index, shared=shared)
                except OSError as error:
                    errors.append(error)
                    continue
                if sock:
                    self.listeners[index] = Listener(self, index, sock)
                    opened(self.listeners[index])
        return errors

    def close(self, closed: Changed) -> None:
        """Give up the listeners, and take the addresses along that were added."""
        for listener in self.listeners.values():
            closed(listener)
        self.listeners.clear()
        with suppress(OSError):
            for address in self.netlink.addresses():
                if address.made_by == _OURS and address.ip in _PREFIXES:
                    self.netlink.remove_address(address.link, address.ip, _PREFIXES[address.ip])
        self.netlink.close()

    def _add_addresses(self, links: list[Link]) -> None:
        there = {(address.link, address.ip) for address in self.netlink.addresses()}
        for link in links:
            for ip, prefix in _PREFIXES.items():
                if (link.number, ip) not in there:
                    with suppress(FileExistsError):  # another process was first
                        self.netlink.add_address(link.number, ip, prefix, _OURS)
                        _log.info("namespace %s: added %s to %s", self.name, ip, link.name)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """This thread, for a moment, in the namespace, if that is still what is there."""
        file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(file).st_ino != self.inode:
                raise FileNotFoundError(errno.ENOENT, "another one has taken its place")
            netns.setns(file)
        finally:
            os.close(file)
        try:
            yield
        finally:
            netns.setns(self._home)


def _listening(link: int | None, *, shared: bool) -> socket.socket | None:
    """A socket for IPv4, or for IPv6 on a link; None where the kernel has no IPv6 there."""
    family = socket.AF_INET if link is None else socket.AF_INET6
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if link is None:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            sock.bind((IPV4, _PORT))
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            sock.bind((IPV6, _PORT, 0, link))
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        if sock:
            sock.close()
        if link is not None and error.errno in _NO_IPV6:
            return None
        raise
    return sock


_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENODEV)
