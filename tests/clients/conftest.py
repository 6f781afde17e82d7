"""Real clients, unchanged, in a guest's network namespace, and what they ask a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
from typing_extensions import override

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.demo import sample
from mdsvc.demo.network import METADATA_IPV4, can_make_namespaces, enter, guest_network
from mdsvc.forms import from_builtins
from mdsvc.instance import Address, Instance
from mdsvc.server import listeners
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from tests.cli.values import Json, guest

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients"
PYTHON = (str(CLIENTS / "bin/python"), str(Path(__file__).with_name("play_python.py")))
NODE = ("node", str(Path(__file__).with_name("play_node.js")))
EC2METADATA = ("/usr/bin/python3", str(ROOT / ".cache/cloud-guest-utils/usr/bin/ec2metadata"))
CRAWL = ("/usr/bin/python3", "-P", str(ROOT / "mdsvc/demo/crawl.py"))
IGNITION = str(ROOT / ".cache/ignition/usr/lib/dracut/modules.d/30ignition/ignition")

MDSVC = str(Path(sys.executable).with_name("mdsvc"))
URL = f"http://{METADATA_IPV4}"
MAC = "fa:16:3e:aa:bb:cc"
HERE = Address("net-a", "10.0.0.5", MAC)
TOKENS = ["off", "optional", "required"]
_SECONDS = 60


class Request(NamedTuple):
    """One request as it was answered; of the target the path alone, its slashes once."""

    method: str
    path: str
    status: int


@dataclass(frozen=True)
class Played:
    """What a client said, and what it asked."""

    code: int
    out: bytes
    err: str
    requests: list[Request]

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Server:
    """The guests' server in its namespace, of which one guest is the one that plays."""

    def __init__(self, namespace: str, answered: list[Request]) -> None:
        self._namespace = namespace
        self._answered = answered

    async def play(self, *command: str, **environment: str) -> Played:
        """Run a client inside the guest."""
        del self._answered[:]
        process = await asyncio.create_subprocess_exec(
            *command,
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(CLIENTS / "node_modules"),
                 "AWS_EC2_METADATA_DISABLED": "false", **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            preexec_fn=partial(enter, self._namespace),
        )  # fmt: skip
        try:
            async with asyncio.timeout(_SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Played(process.returncode, out, err.decode(errors="replace"), [*self._answered])


async def replayed(server: Server, client: str) -> Played:
    """The client's boot as the doctor has it, from inside the guest."""
    played = await server.play(MDSVC, "doctor", URL, "--client", client, "--json")
    assert played.json[0]["requests"] == len(played.requests)
    return played


class Serve(Protocol):
    """Starts a server with the guest of this form; the other names are settings."""

    def __call__(
        self, form: Json | None = None, store: MemoryStore | None = None, **settings: Any
    ) -> Awaitable[Server]: ...


@pytest.fixture(scope="session")
def network() -> Iterator[tuple[str, str]]:
    """The namespaces of the server and of the guest."""
    if not can_make_namespaces():
        pytest.skip("network namespaces need root")
    with guest_network(f"mdsvc-clients-{os.getpid()}", [HERE]) as (server, guests):
        yield server, guests[0]


class _Answers(logging.Handler):
    """Collects what is in the access log."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Request] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        _, request, rest = record.getMessage().split('"')
        method, target, _ = request.split()
        path = "/" + "/".join(filter(None, target.partition("?")[0].split("/")))
        self.found.append(Request(method, path, int(rest.split()[0])))


@pytest.fixture
def answered() -> Iterator[list[Request]]:
    log, handler = logging.getLogger("mdsvc.access"), _Answers()
    level, propagates = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    yield handler.found
    log.removeHandler(handler)
    log.setLevel(level)
    log.propagate = propagates


@pytest.fixture
async def serve(network: tuple[str, str], answered: list[Request]) -> AsyncIterator[Serve]:
    server, namespace = network
    async with asyncio.TaskGroup() as group:
        over = asyncio.Event()

        async def run(settings: Settings, store: MemoryStore, ready: asyncio.Event) -> None:
            async with listeners(settings, store):
                ready.set()
                await over.wait()

        async def start(
            form: Json | None = None, store: MemoryStore | None = None, **settings: Any
        ) -> Server:
            store = store or MemoryStore()
            await add_host(store, sample.big_host())
            here = [{"network": "net-a", "ip": HERE.ip, "mac": MAC}]
            await create_instance(
                store, from_builtins({**(form or guest()), "addresses": here}, Instance), None
            )
            chosen = Settings(
                guest=(f"{METADATA_IPV4}:80",),
                operator="127.0.0.1:0",
                netns=(server,),
                network="net-a",
                **settings,
            )
            ready = asyncio.Event()
            group.create_task(run(chosen, store, ready))
            await ready.wait()
            return Server(namespace, answered)

        yield start
        over.set()
