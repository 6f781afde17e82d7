"""A server that listens in the namespaces of networks, and guests that it knows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, Protocol
from uuid import NAMESPACE_DNS, uuid5

import pytest

from mdsvc.demo.network import can_make_namespaces
from mdsvc.instance import PlacedInstance
from mdsvc.server import listeners
from mdsvc.settings import Settings
from mdsvc.store import recent
from mdsvc.store.memory import MemoryStore
from tests.http.fakes import FakeStore
from tests.http.guests import poor
from tests.networks.cloud import Cloud

needs_root = pytest.mark.skipif(not can_make_namespaces(), reason="namespaces need root")


def known(name: str, *addresses: tuple[str, str, str | None]) -> PlacedInstance:
    """A guest with addresses given as (network, ip, mac); `<name>.novalocal` is its host name."""
    of = [{"network": network, "ip": ip, "mac": mac} for network, ip, mac in addresses]
    return poor(None, uuid=str(uuid5(NAMESPACE_DNS, name)), name=name, addresses=of)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    here = _here()
    it = Cloud(f"mdsvc-net-{os.getpid()}")
    assert it.left() == []
    yield it
    it.clean()
    assert _here() == here


def _here() -> Path:
    return Path("/proc/thread-self/ns/net").readlink()


class Listen(Protocol):
    """Starts a server with these settings, in all namespaces of the cloud's networks."""

    def __call__(self, store: FakeStore | MemoryStore, **settings: Any) -> Awaitable[list[str]]: ...


@pytest.fixture
async def listen(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listen]:
    monkeypatch.setattr(recent, "SECONDS", 0)  # what a test changes is to be seen at once
    before = files()
    async with AsyncExitStack() as stack:

        async def start(store: FakeStore | MemoryStore, **settings: Any) -> list[str]:
            return await stack.enter_async_context(served(cloud, store, **settings))

        yield start
    assert len(files()) <= len(before), "nothing is left open"


def served(
    cloud: Cloud, store: FakeStore | MemoryStore, **settings: Any
) -> AbstractAsyncContextManager[list[str]]:
    """The server with these settings; gives its lines."""
    which = {"netns_prefix": cloud.prefix, "operator": "127.0.0.1:0", **settings}
    return listeners(Settings(**which), store)  # type: ignore[arg-type]  # guests alone ask


def files() -> list[Path]:
    """What this process has open."""
    return list(Path("/proc/self/fd").iterdir())
