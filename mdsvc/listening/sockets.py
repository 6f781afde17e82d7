"""Listening sockets, in this network namespace or another.

A socket stays in the namespace it was made in, so one server can listen in many of them.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from mdsvc.errors import BadInput
from mdsvc.override import override

_LISTEN = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|(?P<v4>[^:\[\]]+)):(?P<port>[0-9]{1,5})"
)


class Listen(msgspec.Struct, frozen=True):
    """Where a listener is: an address, IPv6 without its brackets, and a TCP port (0 = any)."""

    address: str
    port: int

    @classmethod
    def parse(cls, text: str, field: str = "address") -> Listen:
        """Read ``ADDR:PORT``, ``[ADDR6]:PORT`` or ``[ADDR6%INTERFACE]:PORT``."""
        match = _LISTEN.fullmatch(text)
        if not match or int(match["port"]) > 65535:
            expected = "expected ADDR:PORT like 127.0.0.1:8775 or [::1]:8775"
            raise ValueError(f"{field}: {expected}, got {text!r}")
        return cls(match["v6"] or match["v4"], int(match["port"]))

    @override
    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"


class UnixListen(msgspec.Struct, frozen=True):
    """Where a listener is: the path of a Unix socket, and who may connect to it, as a file mode."""

    path: str
    mode: int = 0o600

    @override
    def __str__(self) -> str:
        return f"{_UNIX}{self.path}"


_UNIX = "unix:"


def parse_listen(text: str, field: str = "address", mode: int = 0o600) -> Listen | UnixListen:
    """Read ``unix:/PATH``, or what ``Listen.parse`` reads."""
    if not text.startswith(_UNIX):
        return Listen.parse(text, field)
    path = text.removeprefix(_UNIX)
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"{field}: expected unix:/PATH, an absolute path, got {text!r}")
    return UnixListen(path, mode)


def listen(where: Listen | UnixListen, namespace: str | None = None) -> socket.socket:
    """A listening socket, in the named namespace if one is given. Raises BadInput."""
    try:
        if isinstance(where, UnixListen):
            return _unix_socket(where)
        with _inside(namespace):
            return _socket(where)
    except (OSError, OverflowError, UnicodeError) as error:
        place = f" in namespace {namespace}" if namespace else ""
        raise BadInput(f"cannot listen on {where}{place}: {error}") from None


def _socket(where: Listen) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        where.address, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _unix_socket(where: UnixListen) -> socket.socket:
    """A socket file that nobody listens on any more is replaced."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        if _is_stale(where.path):
            Path(where.path).unlink()
        before = os.umask(0o777 & ~where.mode)  # nobody else may connect before it has its mode
        try:
            sock.bind(where.path)
        finally:
            os.umask(before)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _is_stale(path: str) -> bool:
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except ConnectionRefusedError:
            return True
    return False


_UNREAD_MS = 30_000
"""Milliseconds that a guest may leave an answer unread; then the kernel ends its connection."""


def near(sock: socket.socket, ttl: int) -> None:
    """What a listener of guests hands on to its connections: replies go so many hops at most (0:
    as the system has it), so that none gets behind a router in a guest; and none is kept for ever.
    """
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
    if not ttl:
        return
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


@contextmanager
def removed_in_the_end(sock: socket.socket) -> Iterator[None]:
    """Take a Unix socket's file along, unless another process has put its own there since. Whoever
    was forked within the block leaves it.
    """
    if sock.family != socket.AF_UNIX:
        yield
        return
    file = Path(sock.getsockname())
    made, owner = file.stat(), os.getpid()
    try:
        yield
    finally:
        with suppress(OSError):
            if os.getpid() == owner and os.path.samestat(file.stat(), made):
                file.unlink()


def is_local(sock: socket.socket) -> bool:
    """Whether only this machine can reach it."""
    if sock.family == socket.AF_UNIX:
        return True
    address = sock.getsockname()[0].partition("%")[0]
    return ipaddress.ip_address(address).is_loopback


@contextmanager
def _inside(namespace: str | None) -> Iterator[None]:
    """This thread, for a moment, in the named namespace."""
    if namespace is None:
        yield
        return
    from pyroute2 import netns  # slow to import, and few listen in namespaces

    netns.pushns()
    try:
        netns.setns(namespace, flags=os.O_RDONLY)  # the default makes what is missing
        yield
    finally:
        netns.popns()
