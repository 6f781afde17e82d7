"""`mdsvc serve`, the real process: it comes up and says so, answers, and ends well.

What needs no process of its own is asked of the same listeners in this one.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from mdsvc import server
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance, delete_instance
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from mdsvc.store.opening import open_store
from mdsvc.topology import Host
from tests.cli.command import MDSVC, environment
from tests.cli.values import UUID, guest, host
from tests.http.wire import Reply, Wire, parse

META_DATA = "/openstack/latest/meta_data.json"
GUEST = guest(addresses=[{"network": "net-a", "ip": "127.0.0.1"}])

QUIET = ("--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0")

PROMPTLY = 10
"""Seconds; what starts services waits longer before it kills (systemd 90, Docker ten)."""


@dataclass
class Running:
    """A server that is ready."""

    process: Process
    log: list[str]
    guests: list[Wire]
    operator: Wire
    ports: list[int]

    async def end(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Seconds until it had ended, which it did well."""
        started = time.monotonic()
        self.process.send_signal(how)
        async with asyncio.timeout(30):
            out, errors = await self.process.communicate()
        assert (self.process.returncode, out) == (0, b"")
        self.log += errors.decode().splitlines()
        assert not any("Traceback" in line for line in self.log)
        return time.monotonic() - started


Start = Callable[..., Awaitable[Running]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the seed's guest, which has the address that the tests ask from."""
    file = tmp_path_factory.mktemp("server") / "store.db"
    asyncio.run(_fill(f"sqlite:///{file}"))
    return file


async def _fill(url: str) -> None:
    store = await open_store(url)
    await add_host(store, from_builtins(host(), Host))
    await create_instance(store, from_builtins(GUEST, Instance), None)
    await store.close()


@pytest.fixture
def file(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(filled, tmp_path / "store.db"))


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture
async def start(url: str) -> AsyncIterator[Start]:
    """Starts a server on the store and waits until it is ready; kills what has not ended."""
    started: list[Process] = []

    async def it(*args: str, guests: str = "127.0.0.1:0", **env: str) -> Running:
        flags = ("--guest", guests, "--operator", "127.0.0.1:0", *args)
        process = await _spawn("--store", url, *flags, **env)
        started.append(process)
        assert process.stderr
        log: list[str] = []
        async with asyncio.timeout(30):
            while not log or log[-1] != "mdsvc: ready":
                line = await process.stderr.readline()
                assert line, log
                log.append(line.decode().rstrip("\n"))
        ports = [int(m[1]) for line in log if (m := re.search(r"http://\S+:(\d+)", line))]
        wires = [Wire(port) for port in ports]
        operator = Wire(ports[-1], "127.0.0.1")
        return Running(process, log, wires[:-1], operator, ports)

    yield it
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _spawn(*args: str, **env: str) -> Process:
    command = (str(MDSVC), "serve", *args)
    return await asyncio.create_subprocess_exec(
        *command, env=environment(**env), stdout=PIPE, stderr=PIPE
    )


# ---- coming up ----


async def test_with_json_all_that_it_says_is_objects(url: str) -> None:
    process = await _spawn("--store", url, "--log-format", "json", *QUIET)
    assert process.stderr
    async with asyncio.timeout(30):
        lines = [await process.stderr.readline() for _ in range(3)]
    messages = [json.loads(line)["message"] for line in lines]
    assert messages[-1] == "ready"
    assert messages[0].startswith("guests: http://127.0.0.1:")
    process.terminate()
    _, rest = await process.communicate()
    assert [json.loads(line) for line in rest.splitlines()] == []


async def test_it_says_where_it_is_and_answers_there(start: Start) -> None:
    running = await start()
    guests, operator = running.ports
    assert running.log == [
        f"mdsvc: guests: http://127.0.0.1:{guests} (address)",
        f"mdsvc: operator: http://127.0.0.1:{operator}",
        "mdsvc: ready",
    ]
    ask = running.guests[0]
    document = await ask(META_DATA)
    assert (document.status, document.json["uuid"]) == (200, UUID)
    assert document.json["dedicated_cpus"] == "2-3,5-7"
    assert (await ask("/latest/meta-data/cpu/dedicated")).text == "2-3,5-7"
    assert (await ask(META_DATA, peer="127.0.0.9")).status == 404
    assert await running.end() < PROMPTLY


async def test_the_operator_asks_whether_it_lives_and_is_ready(start: Start) -> None:
    running = await start()
    for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
        reply = await running.operator(path)
        assert (reply.status, reply.json) == (200, {"status": status})
        assert reply.type
        assert reply.type.startswith("application/json")
    assert (await running.operator("/nowhere")).status == 404
    assert (await running.operator("/healthz", method="DELETE")).status == 405


async def test_guests_and_operators_have_listeners_of_their_own(start: Start) -> None:
    running = await start()
    for path in ("/healthz", "/readyz", "/metrics", "/v1/hosts"):
        assert (await running.guests[0](path)).status == 404
    assert (await running.operator(META_DATA)).status == 404


async def test_it_listens_for_guests_in_several_places(start: Start) -> None:
    running = await start("--guest", "127.0.0.1:0", guests="[::1]:0")
    assert [line.split(":")[1:3] for line in running.log[:2]] == [[" guests", " http"]] * 2
    assert (await running.guests[1](META_DATA)).status == 200
    assert "http://[::1]:" in running.log[0]


async def test_the_settings_reach_the_guests(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "vendor.json"
    data.write_text('{"cloud": "ours"}')
    config = tmp_path / "mdsvc.toml"
    config.write_text(f'vendor_data = "{data}"\ndedicated_cpus_format = "list"\n')
    running = await start("--config", str(config), "--version-list", "newest")
    ask = running.guests[0]
    assert (await ask("/openstack")).lines == ["2020-10-14", "2025-04-04", "latest"]
    assert (await ask("/openstack/latest/vendor_data.json")).json == {"cloud": "ours"}
    assert (await ask(META_DATA)).json["dedicated_cpus"] == [2, 3, 5, 6, 7]


async def test_each_request_is_logged_where_that_is_wished(start: Start) -> None:
    for level, lines in (("debug", 1), ("info", 0)):
        running = await start("--log-level", level)
        await running.guests[0]("/latest/user-data")
        await running.end()
        assert sum("/latest/user-data" in line for line in running.log) == lines
        assert not any("SELECT" in line for line in running.log), "libraries keep their steps"


async def test_what_another_process_changes_is_seen(start: Start, url: str) -> None:
    running = await start()
    assert (await running.guests[0](META_DATA)).status == 200
    store = await open_store(url)
    await delete_instance(store, UUID)
    await store.close()
    await asyncio.sleep(0.3)  # what was read a moment ago is kept for 0.2 s
    assert (await running.guests[0](META_DATA)).status == 404


# ---- word to what has started it ----


@pytest.mark.parametrize("abstract", [False, True])
async def test_systemd_is_told(start: Start, tmp_path: Path, abstract: bool) -> None:
    """sd_notify(3); `@` stands for the NUL of an abstract name."""
    address = f"\0{tmp_path}" if abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.setblocking(False)
        running = await start(NOTIFY_SOCKET=address.replace("\0", "@"))
        async with asyncio.timeout(10):
            assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"READY=1"
        await running.end()
        assert sock.recv(100) == b"STOPPING=1"


async def test_a_notify_socket_that_nobody_reads_is_a_warning(start: Start) -> None:
    running = await start(NOTIFY_SOCKET="/nowhere/notify")
    assert (await running.guests[0](META_DATA)).status == 200
    await running.end()
    assert sum("NOTIFY_SOCKET: /nowhere/notify" in line for line in running.log) == 2


# ---- ending ----

HALF_BODY = (
    b"POST /openstack/2013-04-04/password HTTP/1.1\r\nHost: m\r\nContent-Length: 9\r\n\r\nab"
)
KEPT = b"GET /openstack HTTP/1.1\r\nHost: m\r\n\r\n"


async def test_it_ends_promptly_whatever_is_open(start: Start) -> None:
    """Silent, kept, and with half a header or half a body."""
    running = await start()
    opened = []
    for sent in (b"", KEPT, KEPT[:30], HALF_BODY):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.ports[0])
        writer.write(sent)
        if sent == KEPT:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        opened.append((reader, writer))
    await asyncio.sleep(0.1)
    assert await running.end() < PROMPTLY
    for reader, writer in opened:
        await reader.read()
        writer.close()


async def test_it_ends_promptly_while_a_guest_waits_for_a_change(start: Start) -> None:
    running = await start()
    ask = running.guests[0]
    etag = (await ask(META_DATA)).headers["ETag"].removeprefix("W/").strip('"')
    waiting = asyncio.create_task(ask(f"{META_DATA}?wait_for_change=true&last_etag={etag}"))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    assert await running.end() < PROMPTLY
    await asyncio.gather(waiting, return_exceptions=True)  # with an answer, or cut off


async def test_the_next_server_can_have_its_ports_at_once(start: Start) -> None:
    first = await start()
    where = f"127.0.0.1:{first.ports[0]}"
    _reader, writer = await asyncio.open_connection("127.0.0.1", first.ports[0])
    await first.end()
    writer.close()
    second = await start(guests=where)
    assert (await second.guests[0](META_DATA)).status == 200


async def test_an_interrupt_ends_it_as_well_as_a_termination(start: Start) -> None:
    assert await (await start()).end(signal.SIGINT) < PROMPTLY


async def test_a_second_signal_changes_nothing(start: Start) -> None:
    running = await start()
    _reader, writer = await asyncio.open_connection("127.0.0.1", running.ports[0])
    writer.write(HALF_BODY)
    await asyncio.sleep(0.1)
    running.process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.1)
    assert await running.end() < PROMPTLY
    writer.close()


# ---- the same listeners, in this process ----


@asynccontextmanager
async def here(store: MemoryStore) -> AsyncIterator[tuple[int, int]]:
    """The ports of the guests' listener and the operator's."""
    settings = Settings(guest=("127.0.0.1:0",), operator="127.0.0.1:0")
    async with server.listeners(settings, store) as lines:
        guests, operator = (int(re.findall(r":(\d+)", line)[0]) for line in lines)
        yield guests, operator


async def test_a_store_that_does_not_answer_is_not_ready() -> None:
    class Broken(MemoryStore):
        @override
        async def ready(self) -> None:
            raise OSError("the disk is gone")

    async with here(Broken()) as (_, operator):
        reply: Reply = await Wire(operator)("/readyz")
        assert reply.status == 503
        assert reply.type
        assert reply.type.startswith("application/problem+json")
        assert "the disk is gone" in reply.json["detail"]
        assert (await Wire(operator)("/healthz")).status == 200


SLOW = {
    "nothing is sent": [],
    "half a line": [b"GET /openst"],
    "half a header": [b"GET /openstack HTTP/1.1\r\nHost: m"],
    "a header that trickles": [b"GET / HTTP/1.1\r\nX: ", *[b"x"] * 60],
}


@pytest.mark.parametrize("parts", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("listener", [0, 1], ids=["guests", "operator"])
async def test_whoever_is_slow_with_a_header_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, parts: list[bytes], listener: int
) -> None:
    monkeypatch.setattr(server, "_IDLE_SECONDS", 0.2)
    async with here(MemoryStore()) as ports:
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[listener])
        async with asyncio.timeout(30):
            closed = asyncio.create_task(reader.read())
            for part in parts:
                if closed.done():
                    break
                writer.write(part)
                await asyncio.sleep(0.02)
            try:
                reply = await closed
            except ConnectionResetError:  # what was written last came after the end
                reply = b""
        assert reply == b"" or parse(reply).status >= 400
        writer.close()


async def test_listeners_are_gone_after_the_block() -> None:
    async with here(MemoryStore()) as ports:
        pass
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_what_has_come_up_goes_when_the_rest_cannot() -> None:
    """The guests' listener is up before the operator's finds its port in use."""
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        settings = Settings(
            guest=(f"127.0.0.1:{port}",), operator=f"127.0.0.1:{taken.getsockname()[1]}"
        )
        with pytest.raises(BadInput):
            async with server.listeners(settings, MemoryStore()):
                pass
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
