"""`mdsvc serve` as a process of its own, and requests as they go over the wire."""

from __future__ import annotations

import http.client
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import NamedTuple

from mdsvc.identity.neutron import signed
from tests.cli.command import MDSVC, environment

from .conftest import SECRET
from .programs import Guest

ADDRESS = "10.0.0.5"
"""Of the guest that asks."""


class Answer(NamedTuple):
    """What came; of the headers only the one that says what the body is."""

    status: int
    kind: str | None
    body: bytes


@contextmanager
def serving_process(*options: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`mdsvc serve` for Neutron's agent; the process, and the port of its guests' listener."""
    listeners = ["--identity", "neutron", "--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0"]
    with subprocess.Popen(
        [MDSVC, "serve", *listeners, *options],
        # A crawl of all paths is more than a guest's boot.
        env=environment(MDSVC_SHARED_SECRET=SECRET, MDSVC_GUEST_RATE="0", **settings),
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stderr
            found = re.search(r"guests: http://127\.0\.0\.1:(\d+)", process.stderr.readline())
            assert found
            Thread(target=process.stderr.read).start()  # or its log would fill the pipe
            yield process, int(found[1])
        finally:
            process.terminate()


@contextmanager
def serving(*options: str, **settings: str) -> Iterator[int]:
    """The port of `serving_process`."""
    with serving_process(*options, **settings) as (_, port):
        yield port


def agents_headers(guest: Guest) -> Mapping[str, str]:
    return {**signed(guest.uuid, guest.project, SECRET), "X-Forwarded-For": ADDRESS}


def ask(
    port: int, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
) -> Answer:
    """One request, whose target goes over the wire as it is, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, target, headers=dict(headers), body=body)
        response = connection.getresponse()
        return Answer(response.status, response.getheader("Content-Type"), response.read())
    finally:
        connection.close()
