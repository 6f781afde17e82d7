"""`mdsvc serve` on sockets that systemd made: nobody is refused while it starts anew."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.cli.command import MDSVC, environment

START = 'LISTEN_PID=$$ exec "$@"'
ASK = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"

Start = Callable[[socket.socket], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the server with the operator's socket given, and no other place to listen."""
    with ExitStack() as stack:

        def it(sock: socket.socket) -> subprocess.Popen[bytes]:
            names = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "operator"}
            command = ("sh", "-c", START, "sh", str(MDSVC), "serve", "--store", "memory://")
            process = stack.enter_context(
                subprocess.Popen(
                    (*command, "--guest", "127.0.0.1:0"),
                    env=environment(**names),
                    preexec_fn=lambda: os.dup2(sock.fileno(), 3),  # noqa: PLW1509  # no threads
                    pass_fds=(3,),
                )
            )
            stack.callback(process.kill)
            return process

        yield it


def ask(sock: socket.socket) -> socket.socket:
    client = socket.create_connection(sock.getsockname(), timeout=60)
    client.sendall(ASK)
    return client


def test_whoever_asks_before_it_runs_or_while_it_restarts_is_answered(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        for _ in range(2):
            with ask(sock) as early:
                process = start(sock)
                assert early.recv(12) == b"HTTP/1.1 200"
            process.send_signal(signal.SIGHUP)  # nothing to read anew, and nothing ends
            with ask(sock) as later:
                assert later.recv(12) == b"HTTP/1.1 200"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
