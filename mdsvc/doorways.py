"""The sockets that the settings ask for: where guests, operators and Nova are expected."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack

from mdsvc.errors import BadInput
from mdsvc.listening.activation import OPERATOR
from mdsvc.listening.sockets import Listen, UnixListen, listen, parse_listen, removed_in_the_end
from mdsvc.settings import Settings

TARGET = "vendordata"
"""Who is expected at sockets that are ``given``, beside guests and operators: Nova."""

_GUEST_MODE = 0o666
"""Of a guests' Unix socket: what a guest's requests are signed with says whose they are."""

_log = logging.getLogger(__name__)


def target_sockets(stack: AsyncExitStack | ExitStack, settings: Settings) -> list[socket.socket]:
    """Where Nova asks for vendor data, if it does; closed with the stack."""
    where = settings.vendordata
    return [_open(stack, "vendordata", parse_listen(where))] if where else []


def operator_sockets(
    stack: AsyncExitStack | ExitStack,
    settings: Settings,
    given: Mapping[str, Sequence[socket.socket]],
) -> Sequence[socket.socket]:
    """None where another process answers operators."""
    if OPERATOR in given:
        return given[OPERATOR]
    return [_open(stack, "operator", parse_listen(settings.operator))]


def guest_sockets(stack: AsyncExitStack | ExitStack, settings: Settings) -> list[socket.socket]:
    """Where guests ask, beside the namespaces of networks; closed with the stack."""
    listeners = [parse_listen(text, mode=_GUEST_MODE) for text in settings.guest_listeners]
    for where in listeners:
        if isinstance(where, UnixListen) and settings.identity == "address":
            text = "expected identity = neutron: whoever asks there has no address, and is refused"
            _log.warning("guest: %s: %s", where, text)
    return [_open(stack, "guest", where, settings.guest_namespace) for where in listeners]


def _open(
    stack: AsyncExitStack | ExitStack,
    setting: str,
    where: Listen | UnixListen,
    netns: str | None = None,
) -> socket.socket:
    """Listen where the setting says, as long as the stack. Raises BadInput."""
    try:
        sock = listen(where, netns)
    except BadInput as error:
        raise BadInput(f"{setting}: {error}") from None
    stack.callback(sock.close)  # also where it is never answered at, as another cannot be had
    stack.enter_context(removed_in_the_end(sock))
    return sock
