"""Events: each change comes, a deletion always; and whoever was cut off goes on where it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from pytest_aiohttp import AiohttpServer
from typing_extensions import override

from mdsvc import access
from mdsvc.api import events, streams
from mdsvc.app import operator_app
from mdsvc.control.drifting import Drifting
from mdsvc.control.tokens import create_token, revoke_token
from mdsvc.reports import Status, now_ms
from mdsvc.reports.drift import SILENT_MS
from mdsvc.settings import Settings
from mdsvc.store.feed import ChangePage
from mdsvc.store.following import Follower
from mdsvc.store.memory import MemoryStore
from tests.api.asking import Ask, problem
from tests.cli.values import UUID, guest, host, plain
from tests.http.wire import Wire


class Event(NamedTuple):
    name: str
    data: dict[str, Any]
    id: int | None


class Stream:
    """A client that follows the events."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.headers = b""

    async def begin(self) -> bytes:
        async with asyncio.timeout(30):
            self.headers = await self._reader.readuntil(b"\r\n\r\n")
        return self.headers

    async def event(self) -> Event:
        """The next one; heartbeats are not told."""
        while True:
            lines = (await self.part()).splitlines()
            fields = dict(
                line.split(": ", 1) for line in lines if not line.startswith(":") and line
            )
            if fields:
                last_id = int(fields["id"]) if "id" in fields else None
                return Event(fields["event"], json.loads(fields["data"]), last_id)

    async def events(self, count: int) -> list[Event]:
        return [await self.event() for _ in range(count)]

    async def part(self) -> str:
        """What came up to an empty line, of one chunk or of several."""
        text = b""
        async with asyncio.timeout(30):
            while not text.endswith(b"\n\n"):
                line = await self._reader.readline()
                if not line:
                    raise EOFError
                if not line.endswith(b"\r\n"):  # these are the chunks' own
                    text += line
        return text.decode()

    async def ended(self) -> None:
        async with asyncio.timeout(30):
            await self._reader.read()


@asynccontextmanager
async def following(wire: Wire, **headers: str) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join(["GET /v1/events HTTP/1.1", f"Host: {wire.host}", *lines, "", ""])
    writer.write(head.encode())
    stream = Stream(reader)
    await stream.begin()
    try:
        yield stream
    finally:
        writer.close()


async def test_what_changes_is_told_as_it_changes(wire: Wire, ask: Ask) -> None:
    async with following(wire) as stream:
        assert stream.headers.startswith(b"HTTP/1.1 200 OK")
        assert b"Content-Type: text/event-stream\r\n" in stream.headers
        await ask("POST", "/v1/hosts", host())
        event = await stream.event()
        assert (event.name, event.data["name"]) == ("host", "h1")
        await ask("POST", "/v1/instances", guest())
        by_name = {event.name: event for event in await stream.events(2)}
        assert by_name["instance"].data == {"uuid": UUID, "generation": 1}
        assert [event.id is None for event in by_name.values()].count(True) == 1
        await ask("DELETE", f"/v1/instances/{UUID}")
        by_name = {event.name: event for event in await stream.events(2)}
        assert by_name["instance"].data == {"uuid": UUID, "deleted": True}
        await ask("DELETE", "/v1/hosts/h1")
        assert (await stream.event()).data == {"name": "h1", "deleted": True}


async def test_whoever_was_cut_off_goes_on_where_it_was(wire: Wire, ask: Ask) -> None:
    async with following(wire) as stream:
        await ask("POST", "/v1/hosts", host("h1"))
        last = (await stream.event()).id
    await ask("POST", "/v1/hosts", host("h2"))
    await ask("POST", "/v1/hosts", host("h3"))
    await ask("DELETE", "/v1/hosts/h3")
    async with following(wire, Last_Event_ID=str(last)) as stream:
        assert (await stream.event()).data["name"] == "h2"
        missed = await stream.event()
        if "deleted" not in missed.data:  # the page was read before it was removed
            missed = await stream.event()
        assert missed.data == {"name": "h3", "deleted": True}
        await ask("PUT", "/v1/hosts/h2", host("h2", packing="pack"))
        assert (await stream.event()).data["name"] == "h2"


async def test_what_was_told_in_part_is_told_again(wire: Wire, ask: Ask) -> None:
    async with following(wire) as stream:
        await ask("POST", "/v1/hosts", host())
        before = (await stream.event()).id
        await ask("POST", "/v1/instances", guest())
        first = await stream.event()
        assert first.id is None
    async with following(wire, Last_Event_ID=str(before)) as stream:
        assert {event.name for event in await stream.events(2)} == {"host", "instance"}


async def test_where_the_past_cannot_be_told_there_is_a_reset(wire: Wire, ask: Ask) -> None:
    async with following(wire, Last_Event_ID="999999") as stream:
        event = await stream.event()
        assert (event.name, event.data) == ("reset", {})
        await ask("POST", "/v1/hosts", host())
        assert (await stream.event()).data["name"] == "h1"


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 19, "²"])
async def test_what_is_no_id_is_bad_input(ask: Ask, last: str) -> None:
    reply = await ask("GET", "/v1/events", Last_Event_ID=last.encode().decode("latin-1"))
    assert problem(reply, 400, "bad_input")["field"] == "Last-Event-ID"


async def test_head_says_what_it_would_be(ask: Ask) -> None:
    reply = await ask("HEAD", "/v1/events")
    assert (reply.status, reply.type, reply.body) == (200, "text/event-stream", b"")


async def test_a_silent_stream_is_kept_alive(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.03)
    async with following(wire) as stream:
        for _ in range(3):
            assert await stream.part() == ":\n\n"


async def test_a_stream_ends_with_its_token(
    wire: Wire, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(access, "FRESH_SECONDS", 0)
    issued = await create_token(store, "grafana", read_only=True)
    await create_token(store, "other", read_only=True)
    async with following(wire, Authorization=f"Bearer {issued.token}") as stream:
        assert stream.headers.startswith(b"HTTP/1.1 200 OK")
        await revoke_token(store, "grafana")
        await stream.ended()


async def test_streams_end_as_the_server_does(aiohttp_server: AiohttpServer) -> None:
    store = MemoryStore()
    async with Follower(store).running() as follower:
        server = await aiohttp_server(operator_app(store, Settings(), follower, is_local=True))
        assert server.port
        async with following(Wire(server.port, "127.0.0.1")) as stream, asyncio.timeout(30):
            await server.close()
            await stream.ended()


class Endless(MemoryStore):
    """Has more to tell than any socket holds."""

    @override
    async def changes(self, after: int, limit: int = 1000) -> ChangePage:
        page = await super().changes(0, limit)
        return ChangePage(after + 1, [*page.changes] * 1000)

    @override
    async def position(self) -> int:
        return 10**12


async def test_whoever_does_not_read_is_dropped(
    aiohttp_server: AiohttpServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(streams, "SLOW_SECONDS", 0.2)
    caplog.set_level("INFO", "mdsvc.api")
    dropped = await _dropped(aiohttp_server, caplog)
    assert len(dropped) == 1


async def _dropped(
    aiohttp_server: AiohttpServer, caplog: pytest.LogCaptureFixture
) -> Sequence[str]:
    store = Endless()
    follower = Follower(store)  # whoever comes with a position needs it not to run
    server = await aiohttp_server(operator_app(store, Settings(), follower, is_local=True))
    assert server.port
    wire = Wire(server.port, "127.0.0.1")
    assert (await wire("/healthz")).status == 200
    await wire("/v1/hosts", [("Content-Type", "application/json")], method="POST",
               body=json.dumps(host()).encode())  # fmt: skip
    _reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nLast-Event-ID: 1\r\n\r\n")
    dropped: list[str] = []
    for _ in range(3000):
        messages = [record.getMessage() for record in caplog.records]
        dropped = [message for message in messages if "does not read" in message]
        if dropped:
            break
        await asyncio.sleep(0.01)
    writer.close()
    return dropped


# ---- drift ----


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next look."""
    monkeypatch.setattr(Drifting, "pause", 0.01)
    monkeypatch.setattr(events, "_MISSED_SECONDS", 0.1)
    monkeypatch.setattr(streams, "TICK_SECONDS", 0.01)


async def drifts(stream: Stream) -> tuple[Any, ...]:
    """Of the next event of drift: of which guest, its generation, the codes, and its id."""
    event = await stream.event()
    while not event.name.startswith("drift"):
        event = await stream.event()
    if event.name == "drift_reset":
        assert event.data == {}
        return ("reset",)
    codes = [reason["code"] for reason in event.data["drift"]]
    assert isinstance(event.id, int)
    return event.data["uuid"], event.data.get("generation"), codes


@pytest.mark.usefixtures("soon")
async def test_drift_is_told_as_it_begins_changes_and_ends(
    wire: Wire, ask: Ask, store: MemoryStore
) -> None:
    await ask("POST", "/v1/hosts", host())
    await ask("POST", "/v1/instances", guest())
    async with following(wire) as stream:
        await store.set_report(UUID, Status(state="broken"), now_ms())
        assert await drifts(stream) == (UUID, 1, ["said_so"])
        await store.set_report(UUID, Status(state="broken", generation=0), now_ms())
        assert await drifts(stream) == (UUID, 1, ["not_applied", "said_so"])
        await store.set_report(UUID, Status(state="isolated", generation=1), now_ms())
        assert await drifts(stream) == (UUID, 1, [])
        await store.set_report(UUID, Status(state="broken"), now_ms())
        assert await drifts(stream) == (UUID, 1, ["said_so"])
        await ask("DELETE", f"/v1/instances/{UUID}")
        assert await drifts(stream) == (UUID, None, [])


@pytest.mark.usefixtures("soon")
async def test_the_clock_alone_begins_drift(wire: Wire, ask: Ask, store: MemoryStore) -> None:
    await ask("POST", "/v1/hosts", host())
    await ask("POST", "/v1/instances", guest())
    await store.set_report(UUID, Status(state="isolated"), now_ms() - SILENT_MS + 3000)
    async with following(wire) as stream:
        assert await drifts(stream) == (UUID, 1, ["silent"])


@pytest.mark.usefixtures("soon")
async def test_whoever_goes_on_forgets_what_they_knew_of_drift_and_is_told_anew(
    wire: Wire, ask: Ask, store: MemoryStore
) -> None:
    await ask("POST", "/v1/hosts", host())
    await ask("POST", "/v1/instances", guest())
    await ask("POST", "/v1/instances", plain(1))
    other = plain(1)["uuid"]
    for each in (UUID, other):
        await store.set_report(each, Status(state="broken"), now_ms())
    async with following(wire) as stream:
        told = [await drifts(stream), await drifts(stream)]
        assert {uuid for uuid, _, _ in told} == {UUID, other}
        await ask("PUT", "/v1/hosts/h1", host(packing="pack"))
        event = await stream.event()
        while event.name != "host":
            event = await stream.event()
    await store.set_report(other, Status(state="isolated"), now_ms())
    await ask("PUT", "/v1/hosts/h1", host())
    async with following(wire, Last_Event_ID=str(event.id)) as stream:
        missed = await stream.event()
        assert (missed.name, missed.data["name"]) == ("host", "h1")
        assert await drifts(stream) == ("reset",)
        assert await drifts(stream) == (UUID, 1, ["said_so"])
        await store.set_report(UUID, Status(state="isolated"), now_ms())
        assert await drifts(stream) == (UUID, 1, [])


@pytest.mark.usefixtures("soon")
async def test_where_nobody_drifts_a_new_stream_says_nothing_of_it(wire: Wire, ask: Ask) -> None:
    async with following(wire) as stream:
        await asyncio.sleep(0.2)
        await ask("POST", "/v1/hosts", host())
        assert (await stream.event()).name == "host"


@pytest.mark.usefixtures("soon")
async def test_a_store_that_does_not_answer_ends_no_stream(
    wire: Wire, ask: Ask, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise OSError("connection lost")

    await ask("POST", "/v1/hosts", host())
    await ask("POST", "/v1/instances", guest())
    await store.set_report(UUID, Status(state="broken"), now_ms())
    async with following(wire) as stream:
        assert await drifts(stream) == (UUID, 1, ["said_so"])
        with monkeypatch.context() as patch:
            patch.setattr(store, "reports_after", lost)
            await asyncio.sleep(0.1)
        await store.set_report(UUID, Status(state="isolated"), now_ms())
        assert await drifts(stream) == (UUID, 1, [])
