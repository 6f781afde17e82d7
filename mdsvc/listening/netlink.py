"""Asking the kernel about one network namespace: a route netlink socket, with pyroute2's messages
but for two.

pyroute2's own sockets each run an event loop, of several file descriptors and hundreds of KiB; here
there may be a thousand. The kernel works on a request while it is sent, so the answer is there at
once.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    rtnl,
)
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, IFA_F_PERMANENT, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_LOOPBACK, IFF_NOARP, IFF_POINTOPOINT, ifinfmsg
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from mdsvc.errors import Unavailable

_SECONDS = 2
"""How long an answer may take; others may hold the kernel's lock on network settings."""

_LARGEST = 65536

# The kernel's structures, of linux/netlink.h, rtnetlink.h and neighbour.h.
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_CODE = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")  # length with these, number
_NUMBER = struct.Struct("=I")
_ROUTE = struct.Struct("=8BI")  # family, length of the prefix, …, type as the eighth, flags
_NEIGHBOUR = struct.Struct("=B3xiHBB")  # family, link, state, …
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_VIA = 1, 4, 5, 18
_RTN_LOCAL = 2
_NDA_DST, _NDA_LLADDR = 1, 2
_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # reachable, stale, delay, probe, permanent
_NOTHING = (errno.ENOENT, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENODEV, errno.EINVAL)

_GROUPS = rtnl.RTMGRP_LINK | rtnl.RTMGRP_IPV4_IFADDR | rtnl.RTMGRP_IPV6_IFADDR

_BELOW_A_BRIDGE = ("bond", "bridge", "openvswitch", "team")
"""Kinds of masters; what is below one of them has no addresses that matter."""


class Link(NamedTuple):
    """A network interface. ``resolves``: whether it finds its neighbours' MAC addresses."""

    number: int
    name: str
    is_loopback: bool
    is_enslaved: bool
    resolves: bool


class AddressOf(NamedTuple):
    """An address of an interface, and the number of who has put it there (``IFA_PROTO``)."""

    link: int
    ip: str
    made_by: int


class Route(NamedTuple):
    """Where packets go: whether to this namespace itself, or by which link, straight or not."""

    is_local: bool
    link: int
    is_direct: bool


class RouteNetlink:
    """Of the namespace that the thread is in when it is made; it holds on to that."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.bind((0, _GROUPS))
            limit = struct.pack("@ll", _SECONDS, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        except OSError:
            self._socket.close()
            raise
        self._number = 0
        self._has_news = True

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def has_news(self) -> bool:
        """Whether links or addresses may have changed since this was asked last."""
        while self._is_told():
            self._has_news = True
        has_news, self._has_news = self._has_news, False
        return has_news

    def _is_told(self) -> bool:
        try:
            self._socket.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # some are lost, and that is news too
                raise
        return True

    def links(self) -> list[Link]:
        """Every interface."""
        message = ifinfmsg()
        return [_link(reply) for reply in self._ask(message, rtnl.RTM_GETLINK, NLM_F_DUMP)]

    def addresses(self) -> list[AddressOf]:
        """Every address of every interface."""
        replies = self._ask(ifaddrmsg(), rtnl.RTM_GETADDR, NLM_F_DUMP)
        return [
            AddressOf(
                reply["index"],
                reply.get_attr("IFA_LOCAL") or reply.get_attr("IFA_ADDRESS"),
                reply.get_attr("IFA_PROTO") or 0,
            )
            for reply in replies
        ]

    def add_address(self, link: int, ip: str, prefix: int, made_by: int) -> None:
        """Add it, in use at once. Raises OSError, as where it is there already."""
        message = _address_message(link, ip, prefix)
        message["flags"] = IFA_F_PERMANENT | IFA_F_NODAD
        message["attrs"].append(("IFA_PROTO", made_by))
        self._change(message, rtnl.RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL)

    def remove_address(self, link: int, ip: str, prefix: int) -> None:
        """Raises OSError, as where it is gone."""
        self._change(_address_message(link, ip, prefix), rtnl.RTM_DELADDR)

    def route(self, ip: str, link: int | None) -> Route | None:
        """How to reach an address, from that link alone where one is given; None for not at all."""
        family, address = _packed(ip)
        body = _ROUTE.pack(family, len(address) * 8, 0, 0, 0, 0, 0, 0, 0)
        attributes = [(_RTA_DST, address)]
        if link is not None:
            attributes.append((_RTA_OIF, _NUMBER.pack(link)))
        reply = self._one(rtnl.RTM_GETROUTE, body, attributes)
        if reply is None:
            return None
        kind = _ROUTE.unpack_from(reply)[7]
        told = _attributes(reply, _ROUTE.size)
        to = _NUMBER.unpack(told[_RTA_OIF])[0] if _RTA_OIF in told else 0
        return Route(kind == _RTN_LOCAL, to, not told.keys() & {_RTA_GATEWAY, _RTA_VIA})

    def neighbour(self, ip: str, link: int) -> str | None:
        """The MAC address to which packets for an address on a link go; None where none is known,
        or the kernel has failed to find it.
        """
        family, address = _packed(ip)
        body = _NEIGHBOUR.pack(family, link, 0, 0, 0)
        reply = self._one(rtnl.RTM_GETNEIGH, body, [(_NDA_DST, address)])
        if reply is None or not _NEIGHBOUR.unpack_from(reply)[2] & _VALID:
            return None
        mac = _attributes(reply, _NEIGHBOUR.size).get(_NDA_LLADDR, b"")
        return mac.hex(":") or None

    # ---- requests ----

    def _one(self, kind: int, body: bytes, attributes: list[tuple[int, bytes]]) -> bytes | None:
        """The one reply without its header; None where the kernel says that there is nothing.

        These two questions are asked for each connection; by pyroute2's messages they take ten
        times as long.
        """
        body += b"".join(_ATTRIBUTE.pack(4 + len(v), number) + v for number, v in attributes)
        number = self._next()
        length = _HEADER.size + len(body)
        request = _HEADER.pack(length, kind, NLM_F_REQUEST, number, 0) + body
        try:
            return next(self._replies(request, is_dump=False))[_HEADER.size :]
        except OSError as error:
            if error.errno in _NOTHING:
                return None
            raise

    def _change(self, message: Any, kind: int, flags: int = 0) -> None:
        list(self._ask(message, kind, flags | NLM_F_ACK))

    def _ask(self, message: Any, kind: int, flags: int = 0) -> Iterator[Any]:
        """What the kernel replies. Raises Unavailable where it does not, OSError if it refuses."""
        header = message["header"]
        header["type"] = kind
        header["flags"] = flags | NLM_F_REQUEST
        header["sequence_number"] = self._next()
        message.encode()
        for data in self._replies(message.data, is_dump=bool(flags & NLM_F_DUMP)):
            for reply in MarshalRtnl().parse(data):
                if reply["header"]["type"] not in (NLMSG_DONE, NLMSG_ERROR):
                    yield reply

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _replies(self, request: bytes, *, is_dump: bool) -> Iterator[bytes]:
        """What is received for a request; what is told of others' doing is noted."""
        try:
            self._socket.send(request)
            while True:
                data = self._received()
                if not data:
                    continue
                _, kind, *_ = _HEADER.unpack_from(data)
                if kind == NLMSG_ERROR and (code := _CODE.unpack_from(data, _HEADER.size)[0]):
                    raise OSError(-code, os.strerror(-code))  # which is of a class for the code
                yield data
                if not is_dump or _ends_dump(data):
                    return
        except BlockingIOError:
            raise Unavailable("the kernel does not say who the neighbours are") from None

    def _received(self) -> bytes:
        """What is received next for the last request; nothing where it is something else."""
        try:
            data = self._socket.recv(_LARGEST)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._has_news = True
            return b""
        *_, number, _ = _HEADER.unpack_from(data)
        if number == self._number:
            return data
        self._has_news = self._has_news or number == 0
        return b""


def _ends_dump(data: bytes) -> bool:
    """Whether the last message is the one that says so."""
    at = 0
    while at < len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if kind in (NLMSG_DONE, NLMSG_ERROR):
            return True
        at += _aligned(length)
    return False


def _attributes(message: bytes, at: int) -> dict[int, bytes]:
    """Those that follow a message's fixed part, by number."""
    attributes = {}
    while at + _ATTRIBUTE.size <= len(message):
        length, number = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        attributes[number] = message[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return attributes


def _aligned(length: int) -> int:
    return length + 3 & ~3


def _packed(ip: str) -> tuple[int, bytes]:
    family = _family(ip)
    return family, socket.inet_pton(family, ip)


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _address_message(link: int, ip: str, prefix: int) -> Any:
    message = ifaddrmsg()
    message["family"] = _family(ip)
    message["index"] = link
    message["prefixlen"] = prefix
    message["scope"] = _LINK_SCOPE
    message["attrs"] = [("IFA_LOCAL", ip), ("IFA_ADDRESS", ip)]
    return message


_LINK_SCOPE = 253


def _link(reply: Any) -> Link:
    info = reply.get_attr("IFLA_LINKINFO")
    above = info.get_attr("IFLA_INFO_SLAVE_KIND") if info else None
    return Link(
        number=reply["index"],
        name=reply.get_attr("IFLA_IFNAME"),
        is_loopback=bool(reply["flags"] & IFF_LOOPBACK),
        is_enslaved=above in _BELOW_A_BRIDGE,
        resolves=not reply["flags"] & (IFF_LOOPBACK | IFF_NOARP | IFF_POINTOPOINT),
    )
