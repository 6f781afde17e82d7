"""What is kept is answered as the request arrives, by the same rules as everything else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from msgspec.structs import replace

from mdsvc.app import Live, guest_app
from mdsvc.errors import Forbidden
from mdsvc.guarding import WORKED_ON, Guard
from mdsvc.listening import prompt
from mdsvc.listening.connections import Answering, Runner
from mdsvc.settings import Settings
from mdsvc.store.feed import Change
from mdsvc.store.following import Listener
from mdsvc.waiting import Waiting
from tests.http.fakes import FakeStore
from tests.http.guests import PROJECT, RICH_UUID, rich
from tests.http.signing import SECRET, signed
from tests.http.wire import Reply, Wire, parse

DOCUMENT = "/openstack/latest/meta_data.json"
NEUTRON: dict[str, Any] = {"identity": "neutron", "shared_secret": (SECRET,)}


class Told:
    """A follower that knows of every change, as the test tells of each."""

    def __init__(self) -> None:
        self.is_cut_off = False
        self._listeners: list[Listener] = []

    def tell(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def knows(self, _since: float) -> bool:
        return not self.is_cut_off

    async def catch_up(self, since: float) -> bool:
        return self.knows(since)

    def changed(self, uuid: str) -> None:
        for listener in self._listeners:
            listener.changed([Change(1, "instance", uuid, None)])


class Served(NamedTuple):
    """A server, the requests that took the long way, who tells it of changes, its rules, and
    who waits.
    """

    ask: Wire
    handled: list[str]
    follower: Told
    runner: Runner
    guard: Guard
    waiting: Waiting


class Starting:
    """Starts servers; without ``at_once`` every request takes the long way."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(
        self,
        store: FakeStore | None = None,
        *,
        at_once: bool = True,
        idle_seconds: float = 60,
        **settings: Any,
    ) -> Served:
        handled: list[str] = []
        follower, waiting = Told(), Waiting()
        chosen = Settings(**{"guest_rate": 0, **settings})
        live = Live([], None, follower)  # type: ignore[arg-type]  # it does what is needed of one
        whole = guest_app(store or FakeStore(rich()), chosen, waiting, live=live)
        follower.tell(waiting)  # the last, as in the server

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            handled.append(request.path)
            return await whole.handle(request)

        door = Answering(handle, whole.at_once if at_once else None)
        runner = Runner(door, shutdown_timeout=1, keepalive_timeout=idle_seconds)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        guard = whole.handle.args[0].guard  # type: ignore[attr-defined]  # a function with guests
        ask = Wire(runner.addresses[0][1])
        return Served(ask, handled, follower, runner, guard, waiting)


@pytest.fixture
async def start() -> AsyncIterator[Starting]:
    async with AsyncExitStack() as stack:
        yield Starting(stack)


TIMED = ("Date", "Server", "Retry-After")
SEED = re.compile(rb'"random_seed":"[^"]+"')


def seen(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """All that is not new in every reply."""
    headers = {k: v for k, v in reply.headers.items() if k not in TIMED}
    return reply.status, headers, SEED.sub(b"", reply.body)


TARGETS = (
    "/",
    "/openstack",
    "//openstack//latest/meta_data.json/",
    DOCUMENT,
    DOCUMENT + "?",
    DOCUMENT + "?a=b",
    DOCUMENT + "?wait_for_change=true&timeout_sec=0",
    "/openstack/latest/meta_data.jso%6e",
    "/openstack/latest/meta_data.json#part",
    "/openstack/latest/network_data.json",
    "/openstack/latest/vendor_data2.json",
    "/openstack/latest/user_data",
    "/openstack/latest/password",
    "/openstack/latest/nothing",
    "/openstack/../openstack",
    "/openstack/content/0000",
    "/latest/api/token",
    "/latest/meta-data/",
    "/latest/meta-data/cpu/dedicated",
    "/latest/meta-data/public-keys/0/openssh-key",
    "/1.0/user-data",
    "/mdsvc/v1/layout",
    "/mdsvc/v1/status",
    "*",
    "http://metadata/openstack",
    "http://evil.example/openstack",
    "/" + "x" * 300,
)
EXTRAS: tuple[tuple[str, str], ...] = (
    ("X-A", "b"),
    ("If-None-Match", "*"),
    ("Host", "evil.example"),
    ("X-Forwarded-For", "1.2.3.4"),
    ("X-aws-ec2-metadata-token", "x"),
    ("Upgrade", "websocket"),
    ("Expect", "100-continue"),
    ("Content-Length", "0"),
    ("Content-Length", "4"),
)
METHODS = ("GET", "HEAD", "PUT", "POST", "OPTIONS", "BREW")
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"tokens": "required"},
    {"tokens": "off"},
    NEUTRON,
    {"guest_rate": 0.0001, "guest_burst": 2},
    {"user_data_after_boot": "deny", "user_data_seconds": 0},
)


def request(target: str, method: str, version: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Connection: close"]
    if not any(name == "Host" for name, _ in headers):
        lines.append("Host: metadata")
    lines += [f"{name}: {value}" for name, value in headers]
    body = "body" if ("Content-Length", "4") in headers else ""
    return ("\r\n".join([*lines, "", ""]) + body).encode()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
async def test_both_ways_answer_alike(start: Starting, settings: dict[str, Any]) -> None:
    """Whatever is asked for, in any order, the reply is that of the long way."""
    random = Random(13)
    guests = FakeStore(rich())
    short, long = [await start(guests, at_once=way, **settings) for way in (True, False)]
    identity = list(signed(project=rich().project_id)) if settings is NEUTRON else []
    for number in range(300):
        target = random.choice(TARGETS) if number >= len(TARGETS) else TARGETS[number]
        method = random.choice((*["GET"] * 6, *METHODS)) if number >= len(TARGETS) else "GET"
        version = random.choice(("1.1", "1.1", "1.1", "1.0"))
        extras = random.sample(EXTRAS, random.choice((0, 0, 0, 1, 2)))
        sent = request(target, method, version, [*identity, *extras])
        assert seen(await short.ask.send(sent)) == seen(await long.ask.send(sent)), sent
    assert len(long.handled) > 100
    assert "tokens" in settings or len(short.handled) < len(long.handled)


@pytest.mark.parametrize("settings", SETTINGS[:4], ids=str)
async def test_what_is_checked_of_a_request_is_checked_both_ways(
    start: Starting, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """A rule that nobody has thought of yet shuts out the guests of both."""
    guests = FakeStore(rich())
    doors = [await start(guests, at_once=way, **settings) for way in (True, False)]
    identity = signed(project=rich().project_id) if settings is NEUTRON else ()
    monkeypatch.setattr(Guard, "check_token", lambda *_: None)
    for door in doors:
        assert [(await door.ask(DOCUMENT, identity)).status for _ in range(2)] == [200, 200]

    def refuse(*_: object, **__: object) -> None:
        raise Forbidden("not on Sundays")

    monkeypatch.setattr(Guard, "check", refuse)
    for door in doors:
        for target in TARGETS[:8]:
            assert (await door.ask(target, identity)).status == 403, target


async def test_a_guest_of_whom_too_much_is_worked_on_gets_nothing_either_way(
    start: Starting,
) -> None:
    served = await start()
    for _ in range(2):
        assert (await served.ask(DOCUMENT)).status == 200
    served.guard.working[RICH_UUID] = WORKED_ON
    assert (await served.ask(DOCUMENT)).status == 429
    del served.guard.working[RICH_UUID]
    assert (await served.ask(DOCUMENT)).status == 200


async def test_what_is_kept_takes_the_short_way(start: Starting) -> None:
    for settings in ({}, {**NEUTRON}):
        served = await start(**settings)
        headers = signed(project=rich().project_id) if settings else ()
        assert (await served.ask(DOCUMENT, headers)).status == 200
        assert served.handled == [DOCUMENT], "it is read of the store"
        assert (await served.ask(DOCUMENT, headers)).status == 200
        assert (await served.ask("/latest/meta-data/", headers)).status == 200
        assert served.handled == [DOCUMENT]


async def test_a_forged_signature_gets_nothing_that_is_kept(start: Starting) -> None:
    served = await start(**NEUTRON)
    right = signed(project=rich().project_id)
    for _ in range(2):
        assert (await served.ask(DOCUMENT, right)).status == 200
    for wrong in (
        signed(project=rich().project_id, secret="other"),  # of a test
        signed(project="another"),
        [*right, right[0]],
        right[:2],
        signed("00000000-0000-4000-8000-000000000000", PROJECT),
    ):
        assert (await served.ask(DOCUMENT, wrong)).status != 200
    assert (await served.ask(DOCUMENT, right)).status == 200


async def test_a_change_is_seen_by_the_next_request_in_any_sequence(start: Starting) -> None:
    """Also a guest that goes and comes back, another project's, and a feed that is cut off."""
    random = Random(7)
    store = FakeStore(rich())
    served = await start(store)
    for number in range(200):
        step = random.choice(("change", "remove", "add", "cut", "mend", "ask", "ask", "ask"))
        if step == "remove" and store.guests:
            store.remove(RICH_UUID)
        elif step in ("change", "add"):
            store.put(replace(rich(), name=f"n{number}", project_id=random.choice(("a", "b"))))
        elif step in ("cut", "mend"):
            served.follower.is_cut_off = step == "cut"
        if step != "ask" and not served.follower.is_cut_off:
            served.follower.changed(RICH_UUID)
        reply = await served.ask(DOCUMENT)
        now = store.guests.get(RICH_UUID)
        assert reply.status == (200 if now else 404)
        if now:
            assert (reply.json["name"], reply.json["project_id"]) == (now.name, now.project_id)
    assert 0 < len(served.handled) < 200


async def test_the_short_way_takes_of_the_guests_bucket_too(start: Starting) -> None:
    served = await start(guest_rate=0.0001, guest_burst=5)
    assert [(await served.ask(DOCUMENT)).status for _ in range(7)] == [200] * 5 + [429] * 2


async def test_a_guest_of_whom_a_token_is_required_gets_nothing_without(start: Starting) -> None:
    """Though others need none, and whatever is kept."""
    store = FakeStore(rich())
    served = await start(store)
    for _ in range(2):
        assert (await served.ask(DOCUMENT)).status == 200
    store.put(replace(rich(), tokens="required"))
    served.follower.changed(RICH_UUID)
    for _ in range(3):
        assert (await served.ask(DOCUMENT)).status == 401


class Kept:
    """A connection that stays."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, served: Served) -> Kept:
        return cls(*await asyncio.open_connection("127.0.0.1", served.ask.port))

    def send(self, *targets: str, version: str = "1.1", more: str = "") -> None:
        for target in targets:
            self.writer.write(f"GET {target} HTTP/{version}\r\nHost: m\r\n{more}\r\n".encode())

    async def reply(self) -> Reply:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)
        length = int(parse(head).headers["Content-Length"])
        return parse(head + await self.reader.readexactly(length))

    async def is_at_its_end(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 30) == b""


async def test_a_connection_is_kept_as_long_as_http_says(start: Starting) -> None:
    served = await start(idle_seconds=3)
    await served.ask(DOCUMENT)
    for version, more, stays in (
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ):
        kept = await Kept.to(served)
        for _ in range(2 if stays else 1):
            kept.send(DOCUMENT, version=version, more=more)
            assert (await kept.reply()).status == 200
        assert await kept.is_at_its_end(), "a silent one ends too"
        kept.writer.close()
    assert len(served.handled) == 1


async def test_answers_come_in_the_order_of_the_requests(start: Starting) -> None:
    """In one packet, in pieces, and behind one that waits."""
    served = await start()
    await served.ask(DOCUMENT)
    kept = await Kept.to(served)
    paths = (DOCUMENT, "/openstack", "/nothing", "/latest/meta-data/instance-id")
    kept.send(*paths)
    assert [(await kept.reply()).status for _ in paths] == [200, 200, 404, 200]
    kept.writer.write(b"GET /openst")
    await asyncio.sleep(0.05)
    kept.writer.write(b"ack HTTP/1.1\r\nHost: m\r\n\r\nGET " + DOCUMENT.encode())
    assert "latest" in (await kept.reply()).text
    kept.writer.write(b" HTTP/1.1\r\nHost: m\r\n\r\n")
    assert (await kept.reply()).json["uuid"] == RICH_UUID
    kept.send(DOCUMENT + "?wait_for_change=true&timeout_sec=1")
    await asyncio.sleep(0.05)
    kept.send("/openstack")
    assert (await kept.reply()).json["uuid"] == RICH_UUID
    assert "latest" in (await kept.reply()).text
    kept.writer.close()


async def test_who_does_not_read_gets_no_more_until_it_does(start: Starting) -> None:
    served = await start()
    await served.ask(DOCUMENT)
    kept = await Kept.to(served)
    kept.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can
    count = 5000
    for _ in range(count):
        kept.send(DOCUMENT)
        await asyncio.sleep(0)
    await asyncio.sleep(0.2)
    assert served.runner.server
    [connection] = served.runner.server.connections
    assert connection.transport
    assert connection.transport.get_write_buffer_size() < 2**20
    kept.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(count):
        assert (await kept.reply()).status == 200
    kept.writer.close()


async def test_another_aiohttp_answers_by_itself(
    start: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "_IS_AS_KNOWN", False)
    served = await start()
    for _ in range(3):
        assert (await served.ask(DOCUMENT)).status == 200
    assert len(served.handled) == 3
