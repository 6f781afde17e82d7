"""Whoever hangs up, at whatever moment of their requests, leaves no trace."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.http import RawRequestMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from mdsvc.errors import BadInput
from mdsvc.listening.bodies import body_of
from mdsvc.listening.connections import Answering, Runner
from mdsvc.listening.prompt import Later

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Wire(asyncio.Transport):
    """Takes all that is written."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "socket": sock})

    @override
    def write(self, data: Any) -> None:
        pass

    @override
    def is_closing(self) -> bool:
        return False

    @override
    def close(self) -> None:
        pass

    @override
    def abort(self) -> None:
        pass

    @override
    def pause_reading(self) -> None:
        pass

    @override
    def resume_reading(self) -> None:
        pass


class Never:
    """An answer that does not come."""

    def send_by(self, send: Callable[[bytes | None], None]) -> None:
        pass

    def drop(self) -> None:
        pass


class TurnedOver(Never):
    """An answer of which there is more to say after all."""

    @override
    def send_by(self, send: Callable[[bytes | None], None]) -> None:
        self._telling = asyncio.get_running_loop().call_soon(send, None)

    @override
    def drop(self) -> None:
        self._telling.cancel()


AT_ONCE: dict[str, Callable[[], bytes | Later]] = {
    "/kept": lambda: ANSWER,
    "/held": Never,
    "/turned": TurnedOver,
}
SENT = {
    **{path: f"GET {path} HTTP/1.1\r\nHost: m\r\n\r\n".encode() for path in AT_ONCE},
    "the long way": b"GET /long HTTP/1.1\r\nHost: m\r\n\r\n",
    "a body": b"POST /long HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\nhi",
    "half a body": b"POST /long HTTP/1.1\r\nHost: m\r\nContent-Length: 9\r\n\r\nhi",
    "the last": b"GET /long HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n",
    "half a header": b"GET /long HTTP/1.1\r\nHo",
    "noise": b"\x01\r\n\r\n",
}
TURNS = "a turn of the loop"
MOMENTS = st.lists(st.sampled_from([TURNS, *SENT]), max_size=8)


async def hang_up_after(moments: list[str]) -> list[str]:
    """What the event loop has to complain of after that came, and then the end."""
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            await body_of(request, 9)
        except BadInput as error:
            return web.Response(status=400, text=str(error))
        return web.Response(text="hi")

    def at_once(message: RawRequestMessage, _: str | None) -> bytes | Later | None:
        known = AT_ONCE.get(message.path)
        return known() if known else None

    runner = Runner(Answering(handle, at_once))
    await runner.setup()
    assert runner.server
    connection = runner.server()
    with socket.socket() as sock:
        connection.connection_made(Wire(sock))
        for moment in moments:
            if moment == TURNS:
                await asyncio.sleep(0)
            else:
                connection.data_received(SENT[moment])
        connection.connection_lost(None)
    await runner.cleanup()
    for _ in range(5):
        await asyncio.sleep(0)
    del connection
    gc.collect(1)
    return complaints


class Faults(logging.Handler):
    """What is told as one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


@pytest.fixture(scope="module")
def faults() -> Iterator[list[str]]:
    """Those that the program has told since this file began."""
    handler = Faults()
    logging.getLogger().addHandler(handler)
    yield handler.told
    logging.getLogger().removeHandler(handler)


@settings(max_examples=100, deadline=None)
@given(moments=MOMENTS)
def test_no_moment_to_hang_up_is_a_fault_of_ours(faults: list[str], moments: list[str]) -> None:
    assert asyncio.run(hang_up_after(moments)) == []
    assert faults == []


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("turns", range(4))
async def test_nor_is_the_first_or_the_next_request_that_nobody_waits_for(
    sent: str, turns: int
) -> None:
    assert await hang_up_after([TURNS] * turns + [sent]) == []
    assert await hang_up_after(["/kept", *[TURNS] * turns, sent]) == []
