"""`mdsvc serve --workers N`, the real processes: killed, restarted and ended under load."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.store.opening import open_store
from mdsvc.topology import Host
from tests.cli.command import MDSVC, environment
from tests.cli.values import guest, host
from tests.http.wire import Wire

META_DATA = "/openstack/latest/meta_data.json"
GUEST = guest(addresses=[{"network": "net-a", "ip": "127.0.0.1"}])
WORKERS = 3
PATIENCE = 40
WITHOUT = Path(__file__).parent / "data" / "without"


@dataclass
class Server:
    """A server with workers that is ready."""

    process: Process
    guests: int
    operator: Wire
    log: list[str] = field(default_factory=list)

    @property
    def workers(self) -> list[int]:
        return children(self.process.pid)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        assert await asyncio.wait_for(self.process.wait(), PATIENCE) == 0


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_uvloop(pid: int) -> bool:
    return "uvloop" in Path(f"/proc/{pid}/maps").read_text()


async def until(claim: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = claim()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/store.db"
    store = await open_store(url)
    await add_host(store, from_builtins(host(), Host))
    await create_instance(store, from_builtins(GUEST, Instance), None)
    await store.close()
    return url


async def spawn(store: str, *args: str, **env: str) -> Process:
    flags = ("--operator", "127.0.0.1:0", "--workers", str(WORKERS), *args)
    env = {"MDSVC_GUEST_RATE": "0", **env}  # the tests ask as one guest
    return await asyncio.create_subprocess_exec(
        *(str(MDSVC), "serve", "--store", store, *flags), stderr=PIPE, env=environment(**env)
    )


@asynccontextmanager
async def serving(store: str, *args: str, **env: str) -> AsyncIterator[Server]:
    """A server that is ready, and has ended at the end of the block."""
    process = await spawn(store, *(args or ("--guest", "127.0.0.1:0")), **env)
    try:
        said = await lines(process, "mdsvc: ready")
        assert f"mdsvc: workers: {WORKERS}" in said
        ports = [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", "\n".join(said))]
        yield Server(process, ports[0], Wire(ports[-1], "127.0.0.1"), said)
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), PATIENCE)


async def lines(process: Process, last: str) -> list[str]:
    """What it says, up to a line with that."""
    assert process.stderr
    said: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while not said or last not in said[-1]:
            line = await process.stderr.readline()
            assert line, said
            said.append(line.decode().rstrip())
    return said


async def status(port: int) -> int:
    """Of a guest's request on a connection of its own; 0 where it was not answered."""
    try:
        return (await Wire(port)(META_DATA)).status
    except (OSError, EOFError, asyncio.IncompleteReadError, IndexError):
        return 0


async def answers(port: int) -> bool:
    return await status(port) == 200


def is_replaced(server: Server, pid: int) -> bool:
    return len({*server.workers} - {pid}) == WORKERS


async def counted(server: Server) -> float:
    """The guests' requests that the metrics count."""
    text = (await server.operator("/metrics")).body.decode()
    return sum(
        float(each) for each in re.findall(r"^mdsvc_requests_total\{.*\} (\S+)", text, re.MULTILINE)
    )


async def boot(port: int) -> int:
    """A guest that asks ten times, and again where it is not answered; how often that was."""
    lost = 0
    for _ in range(10):
        while await status(port) != 200:
            lost += 1
            assert lost < 500, "it never boots"
            await asyncio.sleep(0.1)
    return lost


@pytest.mark.parametrize("env", [{}, {"PYTHONPATH": str(WITHOUT)}], ids=["uvloop", "without"])
async def test_all_answer_and_are_counted_together(store: str, env: dict[str, str]) -> None:
    async with serving(store, **env) as server:
        assert has_uvloop(server.workers[0]) is not bool(env)
        assert len(server.workers) == WORKERS
        assert await asyncio.gather(*(status(server.guests) for _ in range(60))) == [200] * 60
        assert await counted(server) == 60
        await server.end()


async def test_a_worker_that_is_killed_costs_its_own_connections_alone(store: str) -> None:
    """It is started again; what was counted stays; the operators' side comes back too."""
    async with serving(store) as server:
        before = server.workers
        boots = [asyncio.create_task(boot(server.guests)) for _ in range(20)]
        for pid in before:
            os.kill(pid, signal.SIGKILL)
            said = await lines(server.process, f"process {pid}) has ended by signal 9")
            assert "it is started again" in said[-1]
            await until(partial(is_replaced, server, pid))
        assert sum(await asyncio.gather(*boots)) <= 60
        assert not {*before} & {*server.workers}
        await until(lambda: operator_is_back(server))
        assert await counted(server) >= 200
        await server.end()


async def operator_is_back(server: Server) -> bool:
    try:
        return (await server.operator("/healthz")).status == 200
    except (OSError, EOFError, asyncio.IncompleteReadError, IndexError):
        return False


async def test_workers_end_with_a_server_that_is_killed(store: str) -> None:
    async with serving(store) as server:
        workers = server.workers
        server.process.kill()
        await server.process.wait()
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


async def test_guests_boot_though_the_server_is_killed_and_upgraded(store: str) -> None:
    """The sockets are somebody else's, as systemd's are: whoever connects meanwhile waits."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        boots = [asyncio.create_task(boot(port)) for _ in range(20)]
        for how in (signal.SIGKILL, signal.SIGTERM):
            process = await activated(store, sock)
            await lines(process, "mdsvc: ready")
            await until(lambda: answers(port))
            process.send_signal(how)
            await process.wait()
        process = await activated(store, sock)
        await lines(process, "mdsvc: ready")
        await asyncio.wait_for(asyncio.gather(*boots), PATIENCE)
        process.terminate()
        assert await process.wait() == 0


async def activated(store: str, sock: socket.socket) -> Process:
    """A server that is given the guests' socket as systemd would."""
    command: Sequence[str] = (str(MDSVC), "serve", "--store", store, "--operator", "127.0.0.1:0")
    script = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1',"
        " LISTEN_PID=str(os.getpid())); os.execvp(sys.argv[2], sys.argv[2:])"
    )
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(sock.fileno())),
        *(*command, "--workers", str(WORKERS)),
        pass_fds=[sock.fileno()],
        stderr=PIPE,
        env=environment(MDSVC_GUEST_RATE="0"),
    )


async def test_what_is_wrong_is_said_once(store: str, tmp_path: Path) -> None:
    args = ("--guest", "127.0.0.1:0", "--vendor-data", f"{tmp_path}/none.json")
    process = await spawn(store, *args)
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 2
    (line,) = errors.decode().splitlines()
    assert "vendor_data" in line


async def test_where_only_nova_asks_there_is_one_process_and_no_store(tmp_path: Path) -> None:
    auth = "{auth_url: 'http://127.0.0.1:1', username: u, password: p, project_name: s}"
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(f"clouds: {{c: {{auth: {auth}}}}}")
    args = ("--guest", "127.0.0.1:0", "--vendordata", "127.0.0.1:0", "--cloud", "c")
    store = f"sqlite:///{tmp_path}/store.db"
    process = await spawn(store, *args, OS_CLIENT_CONFIG_FILE=str(clouds))
    said = await lines(process, "mdsvc: ready")
    assert [line.split(":")[1] for line in said] == [" vendor data", " operator", " ready"]
    assert not children(process.pid)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_more_may_connect_than_a_shell_lets_a_process_open(store: str, workers: str) -> None:
    command = (str(MDSVC), "serve", "--store", store, "--guest", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh", *command),
        *("--operator", "127.0.0.1:0", "--workers", workers),
        stderr=PIPE,
        env=environment(),
    )
    await lines(process, "mdsvc: ready")
    for pid in children(process.pid) or [process.pid]:
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert soft == hard != 256
    process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_a_socket_in_the_file_system_goes_with_the_server(store: str, tmp_path: Path) -> None:
    path = tmp_path / "guests"
    async with serving(store, "--guest", f"unix:{path}") as server:
        assert path.is_socket()
        for pid in server.workers:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(server.workers) == WORKERS)
        assert path.is_socket()
        await server.end(signal.SIGINT)
    assert not path.exists()


async def test_all_hear_of_a_hangup(store: str, tmp_path: Path) -> None:
    file = tmp_path / "vendor.json"
    file.write_text('{"a": 1}')
    flags = ("--guest", "127.0.0.1:0", "--vendor-data", str(file))
    async with serving(store, *flags) as server:
        file.write_text('{"a": 2}')
        server.process.send_signal(signal.SIGHUP)
        for _ in range(WORKERS):
            await lines(server.process, "SIGHUP: vendor_data is read anew")
        replies = [
            await Wire(server.guests)("/openstack/latest/vendor_data.json") for _ in range(30)
        ]
        assert {reply.body for reply in replies} == {b'{"a":2}'}


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@asynccontextmanager
async def stopped(pids: set[int]) -> AsyncIterator[None]:
    """These processes do nothing meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: all(map(is_stopped, pids)))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_every_worker_answers_nova(store: str) -> None:
    """Else Nova would be refused while one of them is started again."""
    flags = ("--guest", "127.0.0.1:0", "--vendordata", "127.0.0.1:0")
    async with serving(store, *flags) as server:
        (line,) = [line for line in server.log if "vendor data: " in line]
        nova = Wire(int(line.split("127.0.0.1:")[1].split()[0]))
        for alone in server.workers:
            async with stopped({*server.workers} - {alone}):
                assert (await nova("/healthz")).status == 200
