"""`vendor_data2.json` with what the operator's own services say, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from pathlib import Path

import pytest
from msgspec.structs import replace

from mdsvc.app import vendordata_targets
from mdsvc.errors import BadInput
from mdsvc.settings import Settings
from mdsvc.vendordata import answers
from tests.http.fakes import FakeStore
from tests.http.guests import PROJECT, RICH_UUID, poor, rich
from tests.http.signing import SECRET, signed
from tests.http.test_waiting import until
from tests.promptly import within
from tests.test_tls import make
from tests.vendordata.conftest import MakeTarget, Serve
from tests.vendordata.target import FakeTarget

LATEST = "/openstack/latest/vendor_data2.json"
OLD = "/openstack/latest/vendor_data.json"

BROKEN = {
    "400": (400, {"a": 1}),
    "404": (404, {}),
    "500": (500, b"oh"),
    "no JSON": (200, b"<html>"),
    "half of it": (200, b'{"a": '),
    "no UTF-8": (200, b'"\xff"'),
    "too much": (200, b'"' + b"x" * 2**20 + b'"'),
    "too deep": (200, b"[" * 5000 + b"]" * 5000),
    "a redirect to nowhere": (307, b""),
}


async def test_each_answer_is_a_part_beside_the_static_one(
    serve: Serve, target: MakeTarget, tmp_path: Path
) -> None:
    static = tmp_path / "vendor.json"
    static.write_text('{"ours": 1}')
    one, other = await target(), await target()
    one.answer, other.answer = {"x": [1, None, "ü"]}, "#cloud-config\n"
    ask = await serve(FakeStore(rich()), {"one": one, "cloud-init": other}, vendor_data=static)
    assert (await ask(LATEST)).json == {
        "static": {"ours": 1},
        "one": {"x": [1, None, "ü"]},
        "cloud-init": "#cloud-config\n",
    }
    assert (await ask(OLD)).json == {"ours": 1}
    assert (await ask("/openstack/2016-10-06/vendor_data2.json")).json["one"] == one.answer
    assert (await ask("/openstack/2015-10-15/vendor_data2.json")).status == 404
    assert (one.count, other.count) == (1, 1)


async def test_a_target_is_told_what_nova_tells(serve: Serve, target: MakeTarget) -> None:
    one = await target()
    guest = rich()
    await (await serve(FakeStore(guest), {"one": one}))(LATEST)
    assert list(one.bodies[0]) == [
        "project-id", "instance-id", "image-id", "user-data", "hostname", "metadata", "boot-roles",
    ]  # fmt: skip
    told = one.bodies[0]
    assert (told["project-id"], told["instance-id"]) == (guest.project_id, RICH_UUID)
    assert (told["hostname"], told["metadata"]) == (guest.hostname, guest.meta)
    assert isinstance(guest.user_data, str)
    assert base64.b64decode(told["user-data"]) == guest.user_data.encode()
    assert one.paths == ["POST /v"]
    assert one.headers[0]["Content-Type"] == "application/json"
    assert "Authorization" not in one.headers[0]


async def test_of_a_guest_of_which_little_is_said_it_is_told_so(
    serve: Serve, target: MakeTarget
) -> None:
    one = await target()
    await (await serve(FakeStore(poor()), {"one": one}))(LATEST)
    told = one.bodies[0]
    assert (told["user-data"], told["image-id"], told["metadata"]) == (None, "", {})
    assert told["project-id"] == PROJECT


@pytest.mark.parametrize("how", BROKEN)
async def test_one_that_fails_takes_nothing_from_the_others(
    serve: Serve, target: MakeTarget, how: str
) -> None:
    bad, good = await target(), await target()
    bad.status, bad.answer = BROKEN[how]
    ask = await serve(FakeStore(rich()), {"bad": bad, "good": good})
    reply = await ask(LATEST)
    assert reply.status == 200
    assert reply.json == {"static": {}, "bad": {}, "good": {"said": "so"}}


@pytest.mark.parametrize("status", [200, 204])
async def test_nothing_is_an_answer_and_no_failure(
    serve: Serve, target: MakeTarget, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    one = await target()
    store = FakeStore(rich())
    ask = await serve(store, {"one": one})
    await ask(LATEST)
    one.status, one.answer = status, b""
    store.put(replace(rich(), generation=2))
    assert (await ask(LATEST)).json["one"] == {}, "and not what was said before"
    assert caplog.messages == []


async def test_one_that_nobody_runs_takes_nothing_from_the_others(
    serve: Serve, target: MakeTarget
) -> None:
    bad, good = await target(), await target()
    await bad.stop()
    ask = await serve(FakeStore(rich()), {"bad": bad, "good": good})
    assert (await ask(LATEST)).json == {"static": {}, "bad": {}, "good": {"said": "so"}}


async def test_those_that_hang_hold_a_guest_for_one_deadline_and_other_documents_not_at_all(
    serve: Serve, target: MakeTarget
) -> None:
    hung = {f"hung{number}": await target() for number in range(20)}
    for each in hung.values():
        each.hang = asyncio.Event()
    good = await target()
    ask = await serve(FakeStore(rich()), {**hung, "good": good}, vendordata_dynamic_seconds=0.5)
    waits = asyncio.create_task(ask(LATEST))
    async with asyncio.timeout(30):
        await next(iter(hung.values())).asked.wait()
    assert (await ask("/openstack/latest/meta_data.json")).status == 200
    assert (await ask(OLD)).status == 200
    assert not waits.done()
    with within(8):  # one deadline, not twenty
        assert (await waits).json["good"] == {"said": "so"}
    assert (await ask(LATEST)).json["hung0"] == {}
    assert [each.count for each in hung.values()] == [1] * 20


async def test_a_redirect_that_keeps_the_method_is_followed_as_by_nova(
    serve: Serve, target: MakeTarget
) -> None:
    one = await target()
    one.status, one.location = 307, "/elsewhere"
    ask = await serve(FakeStore(rich()), {"one": one})
    assert (await ask(LATEST)).json["one"] == {"said": "so"}
    assert one.paths == ["POST /v", "POST /elsewhere"]


async def test_connections_that_a_target_ends_without_a_word_are_not_used_again(
    serve: Serve,
) -> None:
    """As Python's own server does, once it is told that they are to end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length
        await reader.readexactly(int(length[1]))
        is_first = head.startswith(b"POST /v ")
        body = b"" if is_first else b'{"a":1}'
        status = b"307 T\r\nLocation: /there" if is_first else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    one = FakeTarget()
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        store = FakeStore(rich())
        ask = await serve(store, {"one": one})
        for generation in range(2, 12):
            assert (await ask(LATEST)).json["one"] == {"a": 1}
            store.put(replace(rich(), generation=generation))


@pytest.mark.parametrize("path", ["/v", "/again"])
async def test_a_redirect_without_end_is_left(serve: Serve, target: MakeTarget, path: str) -> None:
    one = await target()
    one.status, one.location = 308, path
    ask = await serve(FakeStore(rich()), {"one": one})
    assert (await ask(LATEST)).json["one"] == {}
    assert one.count == 4


async def test_a_secret_goes_to_no_other_server(
    serve: Serve, target: MakeTarget, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("X-Shared: s3cret\n")
    one, thief = await target(), await target()
    one.status, one.location = 307, f"{thief.url}/elsewhere"
    ask = await serve(FakeStore(rich()), {"one": one}, vendordata_dynamic_token_file=secret)
    assert (await ask(LATEST)).json["one"] == {}
    assert one.headers[0]["X-Shared"] == "s3cret"
    assert thief.count == 0


async def test_the_etag_changes_with_a_generation_and_with_a_new_answer_alone(
    serve: Serve, target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await target()
    store = FakeStore(rich())
    ask = await serve(store, {"one": one})
    first = (await ask(LATEST)).headers["ETag"]
    one.answer = {"said": "other"}
    assert (await ask(LATEST)).headers["ETag"] == first
    assert (await ask(LATEST, [("If-None-Match", first)])).status == 304
    store.put(replace(rich(), generation=2))
    second = await ask(LATEST)
    assert second.headers["ETag"] != first
    assert second.json["one"] == {"said": "other"}


async def test_it_can_be_waited_for(serve: Serve, target: MakeTarget) -> None:
    one = await target()
    store = FakeStore(rich())
    ask = await serve(store, {"one": one})
    etag = (await ask(LATEST)).headers["ETag"].removeprefix("W/").strip('"')
    waits = asyncio.create_task(ask(f"{LATEST}?wait_for_change=true&last_etag={etag}"))
    await until(lambda: len(store.waiting) == 1)
    one.answer = {"said": "more"}
    store.put(replace(rich(), generation=2))
    reply = await waits
    assert reply.json["one"] == {"said": "more"}
    assert reply.json["etag"] in reply.headers["ETag"]


async def test_who_waits_is_told_of_an_answer_that_came_after_all(
    serve: Serve, target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "RETRY_SECONDS", 0.0)
    one = await target()
    one.status = 500
    store = FakeStore(rich())
    ask = await serve(store, {"one": one})
    etag = (await ask(LATEST)).headers["ETag"].removeprefix("W/").strip('"')
    waits = asyncio.create_task(ask(f"{LATEST}?wait_for_change=true&last_etag={etag}"))
    await until(lambda: len(store.waiting) == 1)
    one.status = 200
    assert (await ask(LATEST)).json["one"] == {"said": "so"}
    async with asyncio.timeout(30):
        assert (await waits).json["one"] == {"said": "so"}


async def test_each_process_asks_once_and_all_tell_the_same(
    serve: Serve, target: MakeTarget
) -> None:
    one = await target()
    store = FakeStore(rich())
    processes = [await serve(store, {"one": one}) for _ in range(3)]
    replies = [await ask(LATEST) for ask in processes * 3]
    assert len({(reply.headers["ETag"], reply.body) for reply in replies}) == 1
    assert one.count == 3


async def test_a_guest_that_hangs_up_takes_nothing_from_the_next(
    serve: Serve, target: MakeTarget
) -> None:
    one = await target()
    one.hang = asyncio.Event()
    ask = await serve(FakeStore(rich()), {"one": one})
    gone = asyncio.create_task(ask(LATEST))
    await one.asked.wait()
    gone.cancel()
    follows = asyncio.create_task(ask(LATEST))
    await asyncio.sleep(0.05)
    one.hang.set()
    assert (await follows).json["one"] == {"said": "so"}
    assert one.count == 1


async def test_many_guests_at_once_each_have_their_own(serve: Serve, target: MakeTarget) -> None:
    one = await target()
    guests = [
        replace(poor(f"127.0.1.{number}"), uuid=f"{number:08}-3c55-4d1f-8f0e-5f0a3a1c9e12")
        for number in range(1, 101)
    ]
    ask = await serve(FakeStore(*guests), {"one": one})
    peers = [guest.addresses[0].ip for guest in guests]
    replies = await asyncio.gather(*(ask(LATEST, peer=peer) for peer in peers))
    assert all(reply.json["one"] == {"said": "so"} for reply in replies)
    assert sorted(body["instance-id"] for body in one.bodies) == [guest.uuid for guest in guests]


async def test_behind_neutron_s_agent_it_is_the_same(serve: Serve, target: MakeTarget) -> None:
    one = await target()
    settings = {"identity": "neutron", "shared_secret": (SECRET,)}
    ask = await serve(FakeStore(rich()), {"one": one}, **settings)
    reply = await ask(LATEST, signed())
    assert (reply.status, reply.json["one"]) == (200, {"said": "so"})


async def test_over_tls_a_target_is_known_by_its_certificate(serve: Serve, tmp_path: Path) -> None:
    files = make(tmp_path, "target")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    one = await FakeTarget().start(context)
    try:
        store = FakeStore(rich())
        known = await serve(store, {"one": one}, vendordata_dynamic_ssl_certfile=files.certificate)
        assert (await known(LATEST)).json["one"] == {"said": "so"}
        unknown = await serve(store, {"one": one})
        assert (await unknown(LATEST)).json["one"] == {}
    finally:
        await one.stop()


async def test_certificates_that_are_none_are_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    for text in (None, "x"):
        if text:
            file.write_text(text)
        settings = Settings(
            vendordata_dynamic_targets=("a@https://b/",), vendordata_dynamic_ssl_certfile=file
        )
        with pytest.raises(BadInput, match="vendordata_dynamic_ssl_certfile"):
            async with vendordata_targets(settings, []):
                pass
