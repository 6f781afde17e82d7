"""What the doctor says of services: ours, and such as have each a fault of their own."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace
from pytest_aiohttp import AiohttpServer

from mdsvc.doctor import CLIENTS, Report, client_named, examine, visit
from mdsvc.errors import BadInput, Unavailable
from mdsvc.identity.neutron import signed
from mdsvc.locking import Lock
from mdsvc.settings import Settings
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import PROJECT, RICH_UUID, poor, rich
from tests.http.signing import SECRET
from tests.promptly import within

HAS_TOKENS = "tokens" in Settings.__struct_fields__
Paths = Mapping[str, tuple[int, str]]
Examine = Callable[[Paths], Awaitable[dict[str, Report]]]

META_DATA = (200, '{"uuid": "u", "random_seed": "AAAA"}')
LATEST: Paths = {"/openstack": (200, "latest"), "/openstack/latest/meta_data.json": META_DATA}
"""Enough for cloud-init, and not more."""


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def those_of(aiohttp_server: AiohttpServer) -> Examine:
    """The reports of a service that has these paths; all else is 404."""

    async def it(paths: Paths) -> dict[str, Report]:
        async def answer(request: web.Request) -> web.Response:
            path = paths.get(request.path, (404, ""))
            status, body = paths.get(f"{request.method} {request.path}", path)
            return web.Response(status=status, text=body)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        server = await aiohttp_server(app)
        return {report.client: report for report in await examine(url(server.port or 0))}

    return it


# ---- ours ----


async def test_every_client_boots_with_us_and_reads_its_cpus_where_it_can(serve: Serve) -> None:
    wire = await serve()
    reports = {report.client: report for report in await examine(url(wire.port))}
    without_tokens = set() if HAS_TOKENS else {"systemd-imdsd"}
    assert {name for name, report in reports.items() if not report.works} == without_tokens
    where = {name: (report.dedicated_cpus, report.where) for name, report in reports.items()}
    assert where["cloud-init-22.4"] == ("2-3,5-7", "ds.ec2_metadata.cpu.dedicated")
    assert where["mdguest"] == ("2-3,5-7", "/mdsvc/v1/layout")
    assert where["ignition"] == (None, None)


async def test_where_tokens_are_required_those_that_know_them_boot(serve: Serve) -> None:
    wire = await serve(tokens="required")
    reports = await examine(url(wire.port))
    assert {each.client for each in reports if each.works} == {"awscli", "mdguest", "systemd-imdsd"}
    assert reports[-1].dedicated_cpus == "2-3,5-7"


async def test_a_guest_without_dedicated_cpus_is_told_that_it_has_none(serve: Serve) -> None:
    wire = await serve(FakeStore(poor()), version_list="newest")
    reports = {report.client: report for report in await examine(url(wire.port))}
    assert reports["cloud-init-26"].dedicated_cpus == ""
    assert reports["cloud-init-26"].where == "ds.meta_data.dedicated_cpus"


async def test_nothing_that_the_service_keeps_is_changed(serve: Serve) -> None:
    store = FakeStore(poor())
    wire = await serve(store)
    await examine(url(wire.port))
    assert store.passwords == {}


async def test_behind_neutron_it_asks_as_the_guest_that_it_names(serve: Serve) -> None:
    wire = await serve(identity="neutron", shared_secret=(SECRET,))
    headers = signed(RICH_UUID, PROJECT, SECRET)
    report, *_ = await examine(url(wire.port), headers, [client_named("mdguest")])
    assert (report.works, report.dedicated_cpus) == (True, "2-3,5-7")


async def test_of_a_guest_that_requires_tokens_it_says_who_brings_none(serve: Serve) -> None:
    wire = await serve(FakeStore(replace(rich(), tokens="required")))
    reports = {report.client: report for report in await examine(url(wire.port))}
    works = {name for name, report in reports.items() if report.works}
    assert works == {"systemd-imdsd", "awscli", "mdguest"}
    assert reports["mdguest"].dedicated_cpus == "2-3,5-7"
    assert "401 (expected a session token: PUT /latest/api/token)" in reports["talos"].problems[0]


async def test_of_a_guest_that_has_booted_it_says_that_its_user_data_are_closed(
    serve: Serve,
) -> None:
    store = FakeStore(rich())
    store.locks[RICH_UUID] = Lock(closed_at=0)
    wire = await serve(store, user_data_after_boot="deny")
    reports = {report.client: report for report in await examine(url(wire.port))}
    [said] = reports["cloud-init-26"].problems
    assert "403 (the user data of this guest are closed, as it has booted)" in said
    assert reports["mdguest"].works


# ---- others ----


async def test_a_list_of_integers_is_read_too(those_of: Examine) -> None:
    meta_data = (200, '{"uuid": "u", "dedicated_cpus": [2, 3, 5]}')
    reports = await those_of({**LATEST, "/openstack/latest/meta_data.json": meta_data})
    assert reports["cloud-init-22.4"].dedicated_cpus == "2-3,5"


async def test_what_a_missing_ec2_tree_costs_is_noted(those_of: Examine) -> None:
    report = (await those_of(LATEST))["cloud-init-22.4"]
    assert report.works
    assert report.notes == (
        "/latest/meta-data/: status 404, no EC2 metadata and the boot waits 5 s",
    )


FAULTS = {
    "no service": ("cloud-init-22.4", {"/openstack": (500, "")}, "status 500"),
    "nothing listed": ("cloud-init-22.4", {"/openstack": (200, "")}, "got an empty body"),
    "no uuid": ("cloud-init-22.4", {"/openstack/latest/meta_data.json": (200, "{}")}, "a uuid"),
    "no JSON": ("cloudbase-init", {"/openstack/latest/meta_data.json": (200, "<p>")}, "JSON"),
    "JSON without an end": ("mdguest", {"/mdsvc/v1/layout": (200, "[" * 100_000)}, "JSON"),
    "a seed that is no base64": (
        "cloud-init-25",
        {"/openstack/latest/meta_data.json": (200, '{"uuid": "u", "random_seed": "?"}')},
        "random_seed",
    ),
    "a file that is not there": (
        "cloud-init-22.4",
        {
            "/openstack/latest/meta_data.json": (
                200,
                '{"uuid": "u", "files": [{"path": "/a", "content_path": "/content/0000"}]}',
            )
        },
        "/openstack/content/0000",
    ),
    "user data that fails": ("ignition", {"/openstack/latest/user_data": (500, "")}, "for ever"),
    "user data that is refused": ("ignition", {"/openstack/latest/user_data": (401, "")}, "401"),
    "no network data": ("talos", {}, "network_data.json"),
    "a token refused with 400": ("awscli", {"PUT /latest/api/token": (400, "")}, "status 400"),
    "no token for who insists": ("systemd-imdsd", {}, "PUT /latest/api/token: expected 200"),
    "no token, and nothing without": (
        "mdguest",
        {"/mdsvc/v1/layout": (401, "")},
        "PUT /latest/api/token: expected 200, got status 404",
    ),
    "no old version": ("afterburn", {}, "2012-08-10"),
    "no EC2 tree": ("cirros", {}, "instance-id"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_named_for_the_client_that_suffers(those_of: Examine, fault: str) -> None:
    client, paths, expected = FAULTS[fault]
    report = (await those_of({**LATEST, **paths}))[client]
    assert not report.works
    assert expected in report.problems[0]


@pytest.mark.parametrize(
    ("listing", "most"), [("a/\nb/", 30), ("\n".join(f"leaf-{n}" for n in range(9999)), 500)]
)
async def test_a_tree_without_end_is_left(
    aiohttp_server: AiohttpServer, listing: str, most: int
) -> None:
    async def answer(request: web.Request) -> web.Response:
        known = LATEST.get(request.path, (404, ""))
        status, body = (200, listing) if request.path.startswith("/latest/meta-data") else known
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = await aiohttp_server(app)
    report, *_ = await examine(url(server.port or 0), clients=[client_named("cloud-init-22.4")])
    assert not report.works
    assert report.requests <= most


# ---- those that answer badly ----

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[[Answering], Awaitable[dict[str, Report]]]


@pytest.fixture
def reports_of(aiohttp_server: AiohttpServer) -> Ask:
    """The reports of a service that answers each request so."""

    async def it(answering: Answering) -> dict[str, Report]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answering)
        server = await aiohttp_server(app)
        return {report.client: report for report in await examine(url(server.port or 0))}

    return it


async def test_a_redirect_is_followed_and_one_without_end_is_told(reports_of: Ask) -> None:
    async def to_there(request: web.Request) -> web.Response:
        if request.path.startswith("/there"):
            status, text = LATEST.get(request.path.removeprefix("/there"), (404, ""))
            return web.Response(status=status, text=text)
        return web.Response(status=302, headers={"Location": f"/there{request.path}"})

    assert (await reports_of(to_there))["cloud-init-25"].works

    async def round_and_round(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.path})

    for report in (await reports_of(round_and_round)).values():
        assert not report.works
        assert report.requests == 1
        assert "redirected" in report.problems[0]


async def test_a_web_page_is_no_metadata(reports_of: Ask) -> None:
    async def login(request: web.Request) -> web.Response:
        return web.Response(text="\n<!DOCTYPE html><html>log in</html>", content_type="text/html")

    for report in (await reports_of(login)).values():
        assert not report.works, report.client
        assert "a web page" in report.problems[0]


async def test_an_answer_that_breaks_off_is_told(reports_of: Ask) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"uuid": "u"')
        assert request.transport
        request.transport.close()
        return response

    report = (await reports_of(half))["cloud-provider-openstack"]
    assert report.problems == ("/openstack/latest/meta_data.json: the answer broke off",)


async def test_an_answer_in_many_parts_is_read_whole(reports_of: Ask) -> None:
    async def drop_by_drop(request: web.Request) -> web.StreamResponse:
        _, text = LATEST.get(request.path, (404, ""))
        response = web.StreamResponse(status=200 if text else 404)
        await response.prepare(request)
        for letter in text:
            await response.write(letter.encode())
            await asyncio.sleep(0.001)
        return response

    assert (await reports_of(drop_by_drop))["cloud-init-25"].works


async def test_an_answer_that_is_compressed_is_read_as_clients_do(reports_of: Ask) -> None:
    async def compressed(request: web.Request) -> web.Response:
        status, text = LATEST.get(request.path, (404, ""))
        headers = {"Content-Encoding": "gzip"}
        return web.Response(status=status, body=gzip.compress(text.encode()), headers=headers)

    assert (await reports_of(compressed))["cloud-init-25"].works


async def test_those_that_are_silent_are_waited_for_once_and_not_by_each_in_turn(
    reports_of: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "_SECONDS", 2)
    over = asyncio.Event()

    async def silent(request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    with within(15), pytest.raises(Unavailable, match="no answer in 2 s"):
        await reports_of(silent)  # there are twelve
    over.set()


async def test_answers_without_an_end_are_waited_for_once_too(
    reports_of: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "_SECONDS", 2)
    monkeypatch.setattr("mdsvc.doctor._SLOW_SECONDS", 0.4)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"a")
                await asyncio.sleep(0.1)
        return response

    with within(15):
        reports = await reports_of(endless)
    assert {report.problems[0].partition(": ")[2] for report in reports.values()} == {
        "no answer in 2 s"
    }


async def test_a_boot_that_takes_too_long_is_left(
    those_of: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "_LONGEST_BOOT", 1e-9)
    report = (await those_of(LATEST))["cloud-init-25"]
    assert (report.works, report.requests) == (False, 1)
    assert "s have passed" in report.problems[0]


async def test_a_redirect_to_what_is_no_http_is_told(reports_of: Ask) -> None:
    async def elsewhere(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "file:///etc/passwd"})

    with pytest.raises(Unavailable, match="was sent to file:///etc/passwd"):
        await reports_of(elsewhere)


async def test_what_speaks_no_http_is_told_so() -> None:
    async def greets(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greets, "127.0.0.1", 0)
    async with server:
        with pytest.raises(Unavailable, match="expected HTTP"):
            await examine(url(server.sockets[0].getsockname()[1]))


async def test_a_service_on_a_unix_socket_is_asked_there(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        status, text = LATEST.get(request.path, (404, ""))
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "guests")).start()
    report, *_ = await examine(f"unix:{tmp_path}/guests")
    assert report.works
    await runner.cleanup()


async def test_where_nobody_answers_it_says_so(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable, match=f"http://127.0.0.1:{unused_tcp_port}"):
        await examine(url(unused_tcp_port))


def test_a_client_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadInput, match="cloud-init-22"):
        client_named("cloudinit")


def test_names_are_used_once() -> None:
    assert len({client.name for client in CLIENTS}) == len(CLIENTS)
