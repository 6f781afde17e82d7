"""Asking the kernel about one network namespace: a route netlink socket, and pyroute2's messages.

pyroute2's own sockets each run an event loop, of several file descriptors and hundreds of KiB; here
there may be a thousand. The kernel works on a request while it is sent, so the answer is there at
once.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
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
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mdsvc.errors import Unavailable

_SECONDS = 2
"""How long an answer may take; others may hold the kernel's lock on network settings."""

_LARGEST = 65536
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port

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
        message = rtmsg()
        message["family"] = _family(ip)
        message["dst_len"] = 128 if ":" in ip else 32
        message["attrs"] = [("RTA_DST", ip)]
        if link is not None:
            message["attrs"].append(("RTA_OIF", link))
        reply = self._one(message, rtnl.RTM_GETROUTE)
        if reply is None:
            return None
        is_direct = not reply.get_attr("RTA_GATEWAY") and not reply.get_attr("RTA_VIA")
        return Route(reply["type"] == _LOCAL, reply.get_attr("RTA_OIF") or 0, is_direct)

    def neighbour(self, ip: str, link: int) -> str | None:
        """The MAC address to which packets for an address on a link go; None where none is known,
        or the kernel has failed to find it.
        """
        message = ndmsg()
        message["family"] = _family(ip)
        message["ifindex"] = link
        message["attrs"] = [("NDA_DST", ip)]
        reply = self._one(message, rtnl.RTM_GETNEIGH)
        if reply is None or not reply["state"] & _VALID:
            return None
        mac: str | None = reply.get_attr("NDA_LLADDR")
        return mac

    # ---- requests ----

    def _change(self, message: Any, kind: int, flags: int = 0) -> None:
        list(self._ask(message, kind, flags | NLM_F_ACK))

    def _one(self, message: Any, kind: int) -> Any:
        """The one reply; None where the kernel says that there is nothing."""
        try:
            return next(iter(self._ask(message, kind)), None)
        except OSError as error:
            if error.errno in _NOTHING:
                return None
            raise

    def _ask(self, message: Any, kind: int, flags: int = 0) -> Iterator[Any]:
        """What the kernel replies. Raises Unavailable where it does not, OSError if it refuses."""
        self._number += 1
        header = message["header"]
        header["type"] = kind
        header["flags"] = flags | NLM_F_REQUEST
        header["sequence_number"] = self._number
        message.encode()
        try:
            self._socket.send(message.data)
            replies: list[Any] = []
            is_done = False
            while not is_done:
                some, is_done = self._received(in_parts=bool(flags & NLM_F_DUMP))
                replies += some
        except BlockingIOError:
            raise Unavailable("the kernel does not say who the neighbours are") from None
        return iter(replies)

    def _received(self, *, in_parts: bool) -> tuple[Sequence[Any], bool]:
        """Replies to the last request, and whether these are all; others' news are noted."""
        try:
            data = self._socket.recv(_LARGEST)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._has_news = True
            return [], False
        *_, number, _ = _HEADER.unpack_from(data)
        if number != self._number:
            self._has_news = self._has_news or number == 0
            return [], False
        replies: list[Any] = []
        for reply in MarshalRtnl().parse(data):
            if reply["header"]["type"] == NLMSG_DONE:
                return replies, True
            if reply["header"]["type"] == NLMSG_ERROR:
                if reply["error"]:
                    raise OSError(-reply["error"], os.strerror(-reply["error"]))
                return replies, True
            replies.append(reply)
        return replies, not in_parts


_LOCAL = 2  # RTN_LOCAL of linux/rtnetlink.h
_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # reachable, stale, delay, probe, permanent
_NOTHING = (errno.ENOENT, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENODEV, errno.EINVAL)


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
