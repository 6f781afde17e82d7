"""Who may look: whoever has a session, once there is a token; and only by the listener's name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlencode

import pytest
from typing_extensions import override

from mdsvc import access
from mdsvc.access.sessions import COOKIE
from mdsvc.api import streams
from mdsvc.control.tokens import create_token, revoke_token
from mdsvc.errors import Unavailable
from mdsvc.store.memory import MemoryStore
from mdsvc.store.transaction import ReadSnapshot
from mdsvc.web import readiness, routes
from tests.api.asking import asking, problem
from tests.api.conftest import Serve
from tests.control_values import fill, host
from tests.http.wire import Reply, Wire
from tests.web.conftest import page_of

VIEWS = ("/", "/hosts/h1", "/instances", "/what-if", "/changes")


class Failing(MemoryStore):
    """Answers; or not in time, or not at all."""

    wrong: str | None = None

    @override
    async def ready(self) -> None:
        if self.wrong == "read-only":
            raise Unavailable("the store cannot be written to")
        if self.wrong == "stuck":
            await asyncio.sleep(60)

    @asynccontextmanager
    @override
    async def snapshot(self) -> AsyncIterator[ReadSnapshot]:
        if self.wrong == "slow":
            await asyncio.sleep(60)
        if self.wrong == "away":
            raise Unavailable("the store is away")
        if self.wrong == "broken":
            raise RuntimeError("a secret of the code")
        async with super().snapshot() as snapshot:
            yield snapshot


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Failing:
    monkeypatch.setattr(access, "FRESH_SECONDS", 0)  # what a test changes is known at once
    return Failing()


async def log_in(wire: Wire, token: str, to: str = "/") -> Reply:
    body = urlencode({"token": token, "next": to}).encode()
    return await wire("/login", method="POST", body=body)


async def session(store: MemoryStore, wire: Wire, name: str = "alice") -> tuple[str, str]:
    """The header of a session that was begun with a new, read-only token."""
    reply = await log_in(wire, (await create_token(store, name, True)).token)
    assert (reply.status, reply.headers["Location"]) == (303, "/")
    return "Cookie", reply.headers["Set-Cookie"].partition(";")[0]


async def test_without_a_token_this_machine_may_look(wire: Wire) -> None:
    page = page_of(await wire("/"))
    assert page.every("form", action="/logout") == []


@pytest.mark.parametrize("path", VIEWS)
async def test_with_one_whoever_has_no_session_is_asked_for_it(
    store: Failing, wire: Wire, path: str
) -> None:
    await create_token(store, "alice", False)
    reply = await wire(f"{path}?q=%22")
    assert reply.status == 303
    assert reply.headers["Location"] == f"/login?next={quote(f'{path}?q=%22', safe='')}"
    form = page_of(await wire(reply.headers["Location"])).one("form")
    assert form.one("input", name="next")["value"] == f"{path}?q=%22"


async def test_a_token_begins_a_session_that_sees_every_view(store: Failing, wire: Wire) -> None:
    await fill(store, host("h1"))
    cookie = await session(store, wire)
    for path in VIEWS:
        page = page_of(await wire(path, [cookie]))
        assert page.one("form", action="/logout").text == "Log out alice"


async def test_its_cookie_is_for_the_page_alone(store: Failing, wire: Wire) -> None:
    secret = (await create_token(store, "alice", False)).token
    said = (await log_in(wire, secret)).headers["Set-Cookie"]
    assert said.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Max-Age=43200", "Path=/"} <= set(said.split("; "))
    cookie = said.partition(";")[0]
    assert secret not in said
    problem(await asking(wire)("GET", "/v1/hosts", Cookie=cookie), 401, "unauthorized")
    bearer = f"Bearer {cookie.partition('=')[2]}"
    problem(await asking(wire)("GET", "/v1/hosts", Authorization=bearer), 401, "unauthorized")


async def test_a_bearer_token_alone_is_no_session(store: Failing, wire: Wire) -> None:
    secret = (await create_token(store, "alice", False)).token
    assert (await wire("/", [("Authorization", f"Bearer {secret}")])).status == 303


async def test_a_session_ends_with_its_token_or_when_its_owner_leaves(
    store: Failing, wire: Wire
) -> None:
    cookie = await session(store, wire)
    left = await wire("/logout", [cookie], method="POST", body=b"")
    assert (left.status, left.headers["Location"]) == (303, "/login")
    assert left.headers["Set-Cookie"].startswith(f"{COOKIE}=; Max-Age=0;")
    await create_token(store, "bob", False)
    await revoke_token(store, "alice")
    assert (await wire("/", [cookie])).status == 303


@pytest.mark.parametrize("token", ["", "nonsense", "\xff", "<script>"])
async def test_what_is_no_token_begins_none_and_is_not_repeated(
    store: Failing, wire: Wire, token: str
) -> None:
    await create_token(store, "alice", False)
    reply = await log_in(wire, token)
    page = page_of(reply, 401)
    assert page.one(role="alert").text == "there is no such token, or no more"
    assert reply.headers["Set-Cookie"] is None
    assert page.one("input", name="token").get("value") is None


ELSEWHERE = ("//evil", "/\\evil", "https://evil", "javascript:x", "/\t/evil", "", "evil", "/a\r\nb")


@pytest.mark.parametrize("to", ELSEWHERE)
async def test_nobody_is_led_elsewhere_after_logging_in(
    store: Failing, wire: Wire, to: str
) -> None:
    secret = (await create_token(store, "alice", False)).token
    assert (await log_in(wire, secret, to)).headers["Location"] == "/"


async def test_whoever_was_asked_goes_on_where_they_were(store: Failing, wire: Wire) -> None:
    secret = (await create_token(store, "alice", False)).token
    to = "/instances?host=h1"
    assert (await log_in(wire, secret, to)).headers["Location"] == to


async def test_another_name_is_not_answered(wire: Wire) -> None:
    page_of(await Wire(wire.port, "evil.example")("/"), 403)
    page_of(await Wire(wire.port, "evil.example")("/login"), 403)
    problem(await Wire(wire.port, "evil.example")("/page/events"), 403, "forbidden")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
async def test_the_page_changes_nothing(wire: Wire, method: str) -> None:
    for path in ("/", "/hosts/h1", "/instances", "/changes"):
        assert (await wire(path, method=method, body=b"")).status == 405


# ---- events ----


async def test_events_need_a_session(store: Failing, wire: Wire) -> None:
    await create_token(store, "alice", False)
    problem(await wire("/page/events"), 401, "unauthorized")


async def test_events_tell_what_changes_until_the_session_ends(
    store: Failing, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TICK_SECONDS", 0.05)
    cookie = await session(store, wire)
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    try:
        lines = ("GET /page/events HTTP/1.1", f"Host: {wire.host}", f"Cookie: {cookie[1]}", "", "")
        writer.write("\r\n".join(lines).encode())
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        await fill(store, host("h1"))
        assert b'{"name":"h1"' in await reader.readuntil(b"}")
        await create_token(store, "bob", False)
        await revoke_token(store, "alice")
        async with asyncio.timeout(30):
            await reader.read()
    finally:
        writer.close()


# ---- the store ----


@pytest.mark.parametrize("wrong", ["slow", "away"])
async def test_a_store_that_does_not_answer_is_said(
    store: Failing, serve: Serve, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(routes, "READING_SECONDS", 0.2)
    wire = await serve(store)
    store.wrong = wrong
    for path in ("/", "/hosts/h1"):
        reply = await wire(path)
        page = page_of(reply, 503)
        assert "the store" in page.one(role="alert").text
        assert reply.headers["Retry-After"] == page.one("meta", http_equiv="refresh")["content"]
    store.wrong = None
    page_of(await wire("/"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("read-only", "cannot be written to"), ("stuck", "has not answered within")],
)
async def test_a_store_that_takes_no_change_is_said_on_each_page_which_goes_on(
    store: Failing, wire: Wire, monkeypatch: pytest.MonkeyPatch, wrong: str, said: str
) -> None:
    monkeypatch.setattr(readiness, "FRESH_SECONDS", 0)
    monkeypatch.setattr(readiness, "_SECONDS", 0.1)
    await fill(store, host("h1"))
    store.wrong = wrong
    for path in VIEWS:
        page = page_of(await wire(path))
        assert said in page.one(class_="problem").text
        assert "data-again" in page.one(class_="problem").attributes
    problem(await asking(wire)("GET", "/readyz"), 503, "unavailable")
    assert (await asking(wire)("GET", "/v1/hosts")).status == 200
    store.wrong = None
    assert page_of(await wire("/")).every(class_="problem") == []


async def test_a_store_is_asked_now_and_then_whether_it_takes_changes(store: Failing) -> None:
    now = 0.0
    asked = readiness.Readiness(store, lambda: now)
    assert await asked.fault() is None
    store.wrong = "read-only"
    assert await asked.fault() is None
    now += readiness.FRESH_SECONDS
    assert await asked.fault() == "the store cannot be written to"


async def test_what_nobody_foresaw_is_for_the_log(store: Failing, wire: Wire) -> None:
    store.wrong = "broken"
    page = page_of(await wire("/hosts/h1"), 500)
    assert "secret" not in page.text
    assert "request" in page.one(role="alert").text
