"""Network namespaces that come and go, get other names, and are in use by others."""

from __future__ import annotations

import asyncio
import random
import subprocess

import pytest

from mdsvc.listening.namespace import Wanted
from mdsvc.listening.namespaces import Namespaces
from tests.http.fakes import FakeStore
from tests.networks.cloud import (
    IPV4,
    IPV6,
    MAC,
    Cloud,
    answered,
    ask,
    batch,
    connected,
    ip,
    request,
)
from tests.networks.conftest import Listen, files, known, needs_root

pytestmark = needs_root

ONE = MAC.format(1)


async def test_a_server_may_be_there_before_the_first_namespace(
    cloud: Cloud, listen: Listen
) -> None:
    lines = await listen(FakeStore(known("one", ("net-a", "10.0.0.5", ONE))))
    assert len(lines) == 2
    assert "now in 0" in lines[0]
    cloud.network("net-a", with_address=False)
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    cloud.add_addresses("net-a")
    for host in (IPV4, IPV6):
        await answered(guest, "one.novalocal", host)


async def test_a_link_that_comes_later_is_listened_on(cloud: Cloud, listen: Listen) -> None:
    namespace = cloud.network("net-a", with_address=False)
    await listen(FakeStore(known("one", ("net-a", "10.0.0.5", ONE))))
    batch(namespace, "link delete br0")
    batch(
        namespace, "link add br0 type bridge", "link set br0 up", "address add 10.0.0.1/24 dev br0"
    )
    cloud.add_addresses("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    for host in (IPV4, IPV6):
        await answered(guest, "one.novalocal", host)


async def test_a_namespace_that_is_made_anew_is_another_one(cloud: Cloud, listen: Listen) -> None:
    store = FakeStore(known("one", ("net-a", "10.0.0.5", ONE)))
    await listen(store)
    for _ in range(3):
        cloud.network("net-a")
        guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
        await answered(guest, "one.novalocal")
        cloud.remove("net-a")
        batch("", f"netns delete {guest}")


async def test_with_a_namespace_its_connections_end(cloud: Cloud, listen: Listen) -> None:
    """They would keep it in being, with its links, for as long as a guest waits."""
    cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    await listen(FakeStore(known("one", ("net-a", "10.0.0.5", ONE))))
    path = "/openstack/latest/meta_data.json?wait_for_change=true"
    with await asyncio.to_thread(connected, guest) as sock:
        sock.sendall(request(path, close=False))
        await asyncio.sleep(0.3)
        cloud.remove("net-a")
        for _ in range(100):
            if "eth0" not in ip(guest, "link"):
                break
            await asyncio.sleep(0.1)
        assert "eth0" not in ip(guest, "link"), "the cable went with the namespace"


async def test_a_namespace_may_get_another_name(cloud: Cloud, listen: Listen) -> None:
    """And with it another network."""
    store = FakeStore(
        known("one", ("net-a", "10.0.0.5", ONE)), known("two", ("net-b", "10.0.0.5", ONE))
    )
    old = cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    await listen(store)
    assert (await ask(guest)).text == "one.novalocal"
    cloud.name_too(old, f"{cloud.prefix}net-b")
    await asyncio.sleep(0.3)
    assert (await ask(guest)).text == "one.novalocal", "the first name holds while it is there"
    cloud.remove("net-a")
    await answered(guest, "two.novalocal")


async def test_of_several_names_the_first_holds_in_every_process(
    cloud: Cloud, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    """In whatever order they have come: else a guest would be of two networks by turns."""
    store = FakeStore(
        known("one", ("net-a", "10.0.0.5", ONE)), known("two", ("net-b", "10.0.0.5", ONE))
    )
    namespace = cloud.network("net-b")
    guest = cloud.guest("net-b", "g", ONE, "10.0.0.5")
    await listen(store, workers=2)
    assert (await ask(guest)).text == "two.novalocal"
    cloud.name_too(namespace, f"{cloud.prefix}net-a")
    await answered(guest, "one.novalocal")
    await listen(store, workers=2)
    assert {(await ask(guest)).text for _ in range(20)} == {"one.novalocal"}
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    expected = f"it is namespace {cloud.prefix}net-a, and of that one's network"
    assert [expected in line for line in said] == [True, True]


async def test_a_port_that_another_program_has_is_taken_once_it_is_free(
    cloud: Cloud, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    namespace = cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    other = "import socket; s = socket.create_server(('169.254.169.254', 80)); print(1); input()"
    command = ["ip", "netns", "exec", namespace, "python3", "-uc", other]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:  # noqa: ASYNC220
        assert process.stdout
        process.stdout.readline()
        await listen(FakeStore(known("one", ("net-a", "10.0.0.5", ONE))))
        assert (await ask(guest, IPV6)).text == "one.novalocal"
        await asyncio.sleep(2.2)
        told = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert len(told) == 1, "once, however often it is tried"
        assert f"namespace {namespace}: cannot listen: " in told[0]
        assert "Address already in use; expected nobody else on port 80" in told[0]
        process.communicate(b"\n")
    await answered(guest, "one.novalocal")


async def test_several_processes_may_share_the_port(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.network("net-a")
    wanted = Wanted(prefix=cloud.prefix, shared=True)
    one, other = Namespaces(wanted), Namespaces(wanted)
    async with one.followed(), other.followed():
        assert (one.count(), other.count()) == (1, 1)
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# ---- many, in any order ----


class _Crowd:
    """Networks that come and go; each is one namespace, in which its guest is too."""

    def __init__(self, cloud: Cloud, chance: random.Random, names: list[str]) -> None:
        self._cloud = cloud
        self._chance = chance
        self._names = names
        self.there: set[str] = set()
        self.answers = 0

    async def change(self) -> None:
        """Half of them: some go, some come, and some are made anew."""
        for name in self._chance.sample(self._names, len(self._names) // 2):
            if name in self.there and self._chance.random() < 0.7:
                self._remove(name)
            if name not in self.there:
                self._make(name)
            await asyncio.sleep(0)

    async def check(self) -> None:
        for name in sorted(self.there):
            where = self._cloud.prefix + name
            await answered(where, f"{name}.novalocal", source="10.0.0.5")

    async def ask_on(self) -> None:
        """Without end; each that is answered is answered as the right guest."""
        while True:
            for name in sorted(self.there):
                try:
                    reply = await ask(self._cloud.prefix + name, source="10.0.0.5")
                except OSError:  # it has just gone, or is not listened in yet
                    continue
                if reply.status == 503:  # it has gone meanwhile
                    continue
                assert reply.text == f"{name}.novalocal"
                self.answers += 1
            await asyncio.sleep(0)

    def leave(self) -> None:
        for name in list(self.there):
            self._remove(name)

    def _make(self, name: str) -> None:
        batch("", f"netns add {self._cloud.prefix}{name}")
        lines = [f"address add {each}/32 dev lo" for each in ("10.0.0.5", IPV4)]
        batch(self._cloud.prefix + name, "link set lo up", *lines)
        self.there.add(name)

    def _remove(self, name: str) -> None:
        self.there.discard(name)
        batch("", f"netns delete {self._cloud.prefix}{name}")


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes_and_goes_what_is_there_answers_for_its_network(
    cloud: Cloud, listen: Listen, seed: int
) -> None:
    """50 networks, each with a guest of the same address, while they ask without end."""
    names = [f"n{number}" for number in range(50)]
    crowd = _Crowd(cloud, random.Random(seed), names)
    await listen(FakeStore(*(known(name, (name, "10.0.0.5", None)) for name in names)))
    before = len(files())
    asking = asyncio.create_task(crowd.ask_on())
    for _ in range(4):
        await crowd.change()
        await crowd.check()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert crowd.answers > 0
    crowd.leave()
    for _ in range(100):
        if len(files()) <= before:
            break
        await asyncio.sleep(0.1)
    assert len(files()) <= before, "of those that are gone nothing is held"
