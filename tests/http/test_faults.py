"""Whatever goes wrong on this side, a guest is to come again, and the log has one line of it."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Sequence

import pytest
from msgspec.structs import force_setattr
from typing_extensions import override

from mdsvc.errors import MdsvcError, Unavailable
from mdsvc.store import Stale
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore, SealedStore
from tests.http.guests import rich
from tests.http.signing import SECRET, signed
from tests.http.test_paths import PATHS

TEXT = "text/plain; charset=UTF-8"
META_DATA = "/openstack/latest/meta_data.json"

FAULTS = [
    *(KeyError("layout"), struct.error("unpack requires 4 bytes"), RecursionError("too deep")),
    *(OSError(5, "I/O error"), ZeroDivisionError(), TimeoutError(), AssertionError("never")),
    *(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), ValueError("two\nlines\x1b[31m")),
    *(MdsvcError("mysql://db1\nis down"), Stale("SQLITE_BUSY")),
    Unavailable("the store is busy: database is locked"),
]
BY_NAME = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)


def faults_told(log: pytest.LogCaptureFixture) -> list[str]:
    """The lines from `info` on: one each, and none with where in the code it was."""
    records = [record for record in log.records if record.levelno > logging.DEBUG]
    assert not any(record.exc_info for record in records)
    assert all(record.getMessage().isprintable() for record in records)
    return [record.getMessage() for record in records if record.name.startswith("mdsvc")]


@BY_NAME
@pytest.mark.parametrize("identity", ["address", "neutron"])
async def test_a_fault_is_not_now_for_the_guest_and_one_line_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture, identity: str, fault: Exception
) -> None:
    ask = await serve(SealedStore(fault), identity=identity, shared_secret=(SECRET,))
    for method, path in (("GET", META_DATA), ("POST", "/openstack/latest/password")):
        caplog.clear()
        reply = await ask(path, signed(), method=method, body=b"x")
        assert (reply.status, reply.type) == (503, TEXT)
        assert int(reply.headers["Retry-After"])
        assert reply.text == "the metadata cannot be read now; try again"
        [line] = faults_told(caplog)
        assert line.startswith(f"{method} {path} of 127.0.0.1: ")


async def test_where_in_the_code_it_was_is_told_at_debug(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mdsvc.refusals")
    await (await serve(SealedStore(KeyError("layout"))))(META_DATA)
    debug = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert any(record.exc_info for record in debug if record.name == "mdsvc.refusals")


async def test_a_guest_that_cannot_be_rendered_harms_no_other(serve: Serve) -> None:
    odd, whole = rich(), rich("127.0.0.2")
    force_setattr(odd, "layout", None)
    force_setattr(odd, "flavor", None)
    force_setattr(whole, "uuid", "2b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e11")
    ask = await serve(FakeStore(odd, whole))
    assert (await ask(META_DATA)).status == 503
    for path in PATHS:
        assert (await ask(path)).status in (200, 404, 503)
    assert (await ask(META_DATA, peer="127.0.0.2")).status == 200


async def test_what_is_cancelled_is_no_fault(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    class Ending(FakeStore):
        @override
        async def find(self, ip: str, network: str | None) -> Sequence[str]:
            raise asyncio.CancelledError

    ask = await serve(Ending(rich()))
    reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: metadata\r\nConnection: close\r\n\r\n")
    assert b"503" not in await reader.read()
    writer.close()
    await writer.wait_closed()
    assert faults_told(caplog) == []
