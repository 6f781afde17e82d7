"""Debian's cloud-init, unchanged, boots in a network namespace and asks a real server."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from typing_extensions import override

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.demo import sample
from mdsvc.demo.guest import boot as boot_cloud_init
from mdsvc.demo.guest import cloud_init
from mdsvc.demo.network import can_make_namespaces, guest_network
from mdsvc.forms import from_builtins
from mdsvc.instance import Address, Instance
from mdsvc.server import listeners
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from tests.cli.values import Json, guest

MAC = "fa:16:3e:aa:bb:cc"
HERE = Address("net-a", "10.0.0.5", MAC)


@dataclass(frozen=True)
class Booted:
    """What cloud-init has learned (see ``mdsvc/demo/crawl.py``), and what it was answered."""

    learned: Json
    answers: list[tuple[str, int]]

    @property
    def asked(self) -> list[str]:
        """The paths that it asked for."""
        return [path for path, _ in self.answers]

    @property
    def meta_data(self) -> Json:
        """What templates see as ``ds.meta_data``."""
        found: Json = self.learned["ds"]["meta_data"]
        return found

    @property
    def ec2(self) -> Json:
        """What templates see as ``ds.ec2_metadata``."""
        found: Json = self.learned["ds"]["ec2_metadata"]
        return found


class Boot(Protocol):
    """Boots the guest of this form; the other names are settings of the server."""

    def __call__(self, form: Json | None = None, **settings: Any) -> Awaitable[Booted]: ...


@pytest.fixture(scope="session")
def packages() -> Path:
    """Where cloud-init is."""
    found = cloud_init()
    if found is None:
        pytest.fail("cloud-init is not unpacked below .cache: run `make setup`")
    return found


@pytest.fixture(scope="session")
def network() -> Iterator[tuple[str, str]]:
    """The namespaces of the server and of the guest."""
    if not can_make_namespaces():
        pytest.skip("network namespaces need root")
    with guest_network(f"mdsvc-boot-{os.getpid()}", [HERE]) as (server, guests):
        yield server, guests[0]


class _Answers(logging.Handler):
    """Collects what is in the access log: paths and statuses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int]] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        _, request, rest = record.getMessage().split('"')
        self.found.append((request.split()[1], int(rest.split()[0])))


@pytest.fixture
def answers() -> Iterator[list[tuple[str, int]]]:
    """The paths that are asked for, each with the status of the answer."""
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
def boot(packages: Path, network: tuple[str, str], answers: list[tuple[str, int]]) -> Boot:
    server, namespace = network

    async def it(form: Json | None = None, **settings: Any) -> Booted:
        store = MemoryStore()
        await add_host(store, sample.big_host())
        new = {**(form or guest()), "addresses": [{"network": "net-a", "ip": HERE.ip, "mac": MAC}]}
        await create_instance(store, from_builtins(new, Instance), None)
        chosen = Settings(operator="127.0.0.1:0", netns=(f"{server}=net-a",), **settings)
        async with listeners(chosen, store):
            learned = await boot_cloud_init(namespace, packages)
        return Booted(learned, answers)

    return it
