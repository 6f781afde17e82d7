"""Listening sockets that systemd made before the server started (sd_listen_fds(3)).

So a restart refuses nobody: connections wait in the socket meanwhile.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence

from mdsvc.errors import BadInput

FIRST = 3
"""The file descriptor of the first of them."""

GUEST, OPERATOR = "guest", "operator"
"""What ``FileDescriptorName=`` says of a socket unit, so that it is known whom to expect there."""


def inherited(
    environ: MutableMapping[str, str] = os.environ, first: int = FIRST
) -> Mapping[str, Sequence[socket.socket]]:
    """The sockets by who is expected there; those of other names are guests'.

    The variables are taken out of the environment, as they are not for programs that this one
    starts. Raises BadInput where what is said of the sockets is no such thing.
    """
    process, count, names = (
        environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if process != str(os.getpid()):
        return {}
    if not count.isdecimal():
        raise BadInput(f"LISTEN_FDS: expected a number, got {count!r}")
    named = names.split(":") if names else []
    sockets: dict[str, list[socket.socket]] = {}
    for at in range(int(count)):
        kind = OPERATOR if at < len(named) and named[at] == OPERATOR else GUEST
        sockets.setdefault(kind, []).append(_listening(first + at))
    return sockets


def _listening(number: int) -> socket.socket:
    expected = f"LISTEN_FDS: expected file descriptor {number} to be a listening stream socket"
    try:
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise BadInput(f"{expected}: {error.strerror}") from None
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise BadInput(f"{expected}; is Accept=no set?")
    os.set_inheritable(number, False)
    sock.setblocking(False)
    return sock
