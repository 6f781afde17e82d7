"""Sockets that somebody else listens on already."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mdsvc.errors import BadInput
from mdsvc.listening.activation import GUEST, OPERATOR, inherited

FIRST = 200
"""A file descriptor that nobody has; tests have others in use where systemd's begin."""


@pytest.fixture
def given() -> Iterator[list[socket.socket]]:
    """Two sockets, passed on as systemd would. The first listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for at, sock in enumerate(sockets):
            sock.bind(("127.0.0.1", 0))
            os.dup2(sock.fileno(), FIRST + at)
        sockets[0].listen()
        yield sockets
        os.closerange(FIRST, FIRST + len(sockets))  # whoever took one may have closed it


def environment(count: object = 1, names: str = "", process: int | None = None) -> dict[str, str]:
    return {
        "LISTEN_PID": str(process or os.getpid()),
        "LISTEN_FDS": str(count),
        "LISTEN_FDNAMES": names,
    }


def test_without_the_variables_there_are_none() -> None:
    assert inherited({}) == {}


def test_sockets_of_another_process_are_left_alone(given: list[socket.socket]) -> None:
    assert inherited(environment(process=os.getpid() + 1), FIRST) == {}


@pytest.mark.parametrize(
    ("names", "kind"),
    [("guest", GUEST), ("operator", OPERATOR), ("mdsvc.socket", GUEST), ("", GUEST)],
)
def test_a_name_says_who_is_expected(given: list[socket.socket], names: str, kind: str) -> None:
    (sock,) = inherited(environment(names=names), FIRST)[kind]
    with sock:
        assert sock.getsockname() == given[0].getsockname()
        assert not sock.get_inheritable()


def test_programs_that_are_started_do_not_see_the_variables(given: list[socket.socket]) -> None:
    environ = {**environment(), "PATH": "/bin"}
    (sock,) = inherited(environ, FIRST)[GUEST]
    sock.close()
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize("count", ["", "x", "-1"])
def test_a_count_that_is_none_is_named(count: str) -> None:
    with pytest.raises(BadInput, match="LISTEN_FDS: expected a number"):
        inherited(environment(count), FIRST)


def test_a_socket_that_does_not_listen_is_refused(given: list[socket.socket]) -> None:
    with pytest.raises(BadInput, match=f"file descriptor {FIRST + 1} to be a listening"):
        inherited(environment(), FIRST + 1)


def test_a_number_that_is_no_socket_is_refused() -> None:
    with pytest.raises(BadInput, match=f"file descriptor {FIRST} to be a listening"):
        inherited(environment(), FIRST)
