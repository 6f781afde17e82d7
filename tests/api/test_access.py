"""Who may ask: whoever has a token, once there is one; and only of a listener that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from typing_extensions import override

from mdsvc import access
from mdsvc.bearer import Bearer
from mdsvc.control.tokens import create_token, list_tokens, revoke_token
from mdsvc.errors import Unavailable
from mdsvc.store.memory import MemoryStore
from tests.api.asking import Ask, asking, problem
from tests.api.conftest import Serve
from tests.cli.values import UUID, flavor, host
from tests.http.wire import Wire

OPEN = ("/healthz", "/readyz")
GUARDED = ("/v1/hosts", "/v1/hosts/h1", "/v1/instances", "/openapi.json")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setattr(access, "FRESH_SECONDS", 0)  # what a test changes is known at once
    return MemoryStore()


async def token(store: MemoryStore, name: str = "alice", read_only: bool = False) -> str:
    return f"Bearer {(await create_token(store, name, read_only)).token}"


async def test_without_a_token_this_machine_may_ask_for_everything(ask: Ask) -> None:
    assert (await ask("POST", "/v1/hosts", host())).status == 201
    assert (await ask("GET", "/v1/hosts", Authorization="Bearer nonsense")).status == 200


async def test_with_one_it_is_needed_but_by_probes(store: MemoryStore, ask: Ask) -> None:
    secret = await token(store)
    for path in GUARDED:
        refused = await ask("GET", path)
        problem(refused, 401, "unauthorized")
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await ask("GET", path, Authorization=secret)).status in (200, 404)
    for path in OPEN:
        assert (await ask("GET", path)).status == 200


BAD = [
    *("", "Bearer", "Bearer ", "Bearer x", "Basic YWxpY2U6eA==", "Bearer mdsvc_", "Bearer \xff"),
    "Token x",
]


@pytest.mark.parametrize("header", BAD, ids=range(len(BAD)))
async def test_what_is_no_token_is_none(store: MemoryStore, ask: Ask, header: str) -> None:
    await token(store)
    problem(await ask("GET", "/v1/hosts", Authorization=header), 401, "unauthorized")


async def test_a_secret_is_taken_whole_and_however_bearer_is_spelt(
    store: MemoryStore, ask: Ask
) -> None:
    secret = await token(store)
    for header, status in (
        (secret.replace("Bearer", "bearer"), 200),
        (secret.replace("Bearer", "BEARER "), 200),
        (secret[:-1], 401),
        (secret + "x", 401),
        (secret.swapcase(), 401),
    ):
        assert (await ask("GET", "/v1/hosts", Authorization=header)).status == status


async def test_a_token_for_reading_changes_nothing(store: MemoryStore, ask: Ask) -> None:
    full, reading = await token(store), await token(store, "grafana", read_only=True)
    await ask("POST", "/v1/hosts", host(), Authorization=full)
    for method, path, body in (
        ("POST", "/v1/hosts", host("h2")),
        ("PUT", "/v1/hosts/h1", host(packing="pack")),
        ("DELETE", "/v1/hosts/h1", None),
        ("PUT", "/v1/hosts/h1/drain", None),
        ("POST", f"/v1/instances/{UUID}/migrate", {}),
        ("DELETE", f"/v1/instances/{UUID}/password", None),
    ):
        problem(await ask(method, path, body, Authorization=reading), 403, "forbidden")
    for path in ("/v1/hosts", "/v1/hosts/h1", "/openapi.json"):
        assert (await ask("GET", path, Authorization=reading)).status == 200
        assert (await ask("HEAD", path, Authorization=reading)).status == 200
    question = {"flavor": flavor()}
    assert (await ask("POST", "/v1/fit", question, Authorization=reading)).json["fits"]


async def test_a_revoked_token_is_none_and_without_any_it_is_open_again(
    store: MemoryStore, ask: Ask
) -> None:
    first, second = await token(store, "a"), await token(store, "b")
    await revoke_token(store, "a")
    problem(await ask("GET", "/v1/hosts", Authorization=first), 401, "unauthorized")
    assert (await ask("GET", "/v1/hosts", Authorization=second)).status == 200
    await revoke_token(store, "b")
    assert (await ask("GET", "/v1/hosts")).status == 200


async def test_where_others_can_reach_it_no_token_is_no_way_in(
    serve: Serve, store: MemoryStore
) -> None:
    ask = asking(await serve(store, is_local=False))
    problem(await ask("GET", "/v1/hosts"), 401, "unauthorized")
    assert (await ask("GET", "/v1/hosts", Authorization=await token(store))).status == 200


async def test_that_a_token_is_used_is_written_down(store: MemoryStore, ask: Ask) -> None:
    secret = await token(store)
    [listed] = await list_tokens(store)
    assert listed.used_at is None
    await ask("GET", "/v1/hosts", Authorization=secret)
    for _ in range(1000):  # it is written beside the answer
        if (await list_tokens(store))[0].used_at is not None:
            break
        await asyncio.sleep(0.01)
    assert (await list_tokens(store))[0].used_at is not None


class Counting(MemoryStore):
    """Tells how often it was asked for tokens, and told that one is used; and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.notes = 0
        self.is_away = False

    @override
    async def bearers(self) -> Sequence[Bearer]:
        self.reads += 1
        if self.is_away:
            raise Unavailable("the store is away")
        return await super().bearers()

    @override
    async def note_bearer_used(self, name: str, at: int) -> None:
        self.notes += 1
        await super().note_bearer_used(name, at)


async def test_tokens_are_read_once_a_second_and_noted_once_a_minute() -> None:
    store, clock = Counting(), Clock()
    secret = await token(store)
    door = access.Access(store, True, clock)
    for at, reads, notes in ((0, 1, 1), (0.9, 1, 1), (1, 2, 1), (59, 3, 1), (60, 4, 2)):
        clock.now = 1000 + at
        caller = await door.caller({"Authorization": secret})
        await door.close()
        assert caller.name == "alice"
        assert (store.reads, store.notes) == (reads, notes)


class Clock:
    """Stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_where_tokens_cannot_be_read_nobody_is_let_in(serve: Serve) -> None:
    store = Counting()
    ask = asking(await serve(store))
    store.is_away = True
    replies = await asyncio.gather(*(ask("GET", "/v1/hosts") for _ in range(20)))
    for reply in replies:
        problem(reply, 503, "unavailable")
        assert reply.headers["Retry-After"]
    assert (await ask("GET", "/healthz")).status == 200


async def test_where_the_store_hangs_nobody_does(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(MemoryStore):
        @override
        async def bearers(self) -> Sequence[Bearer]:
            await asyncio.sleep(3600)
            raise AssertionError

    monkeypatch.setattr(access, "PATIENCE_SECONDS", 0.05)
    ask = asking(await serve(Hanging()))
    for _ in range(2):
        problem(await ask("GET", "/v1/hosts"), 503, "unavailable")


# ---- what it is called ----


async def asked_as(wire: Wire, called: str, path: str = "/v1/hosts") -> int:
    return (await Wire(wire.port, called)(path)).status


async def test_it_answers_only_to_its_name(serve: Serve, store: MemoryStore) -> None:
    wire = await serve(store, operator_names=("mdsvc.example.org",))
    port = wire.port
    for called in (
        *("127.0.0.1", f"127.0.0.1:{port}", "localhost", f"LocalHost:{port}", "localhost."),
        *("mdsvc.example.org", "MDSVC.example.org:443"),
    ):
        assert await asked_as(wire, called) == 200, called
    for called in (
        *("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "127.0.0.2", "[::1]"),
        *("", "10.0.0.1", "localhost.evil.example", "127.0.0.1@evil.example", "localhost:x"),
        *("evil.example, localhost", "0", "0.0.0.0", "2130706433", "example.org"),
    ):
        assert await asked_as(wire, called) == 403, called
        assert await asked_as(wire, called, "/healthz") == 200


async def test_the_name_by_which_it_is_set_is_its_name(serve: Serve, store: MemoryStore) -> None:
    for operator, called, status in (
        ("h1.example.org:8776", "H1.example.org", 200),
        ("h1.example.org:8776", "h2.example.org", 403),
        ("0.0.0.0:8776", "0.0.0.0", 403),
        ("[fe80::1%eth0]:8776", "[fe80::1]", 403),
        ("unix:/run/mdsvc.sock", "unix", 403),
    ):
        wire = await serve(store, operator=operator)
        assert await asked_as(wire, called) == status, operator


async def test_another_origin_is_given_no_leave(ask: Ask) -> None:
    for method, path in (("OPTIONS", "/v1/hosts"), ("GET", "/v1/hosts")):
        reply = await ask(
            method,
            path,
            Origin="http://evil.example",
            Access_Control_Request_Method="POST",
            Access_Control_Request_Headers="content-type",
        )
        assert not [name for name in reply.headers if name.startswith("Access-Control")]
        assert reply.status == (405 if method == "OPTIONS" else 200)
