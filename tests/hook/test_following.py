"""What the hook has noted is carried out: guests in and out of the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from mdsvc.control.adoption import Terms, import_guests
from mdsvc.control.hosts import add_host, get_host
from mdsvc.control.instances import delete_instance, list_instances
from mdsvc.discovery.domains import guest_from_domain
from mdsvc.errors import BadInput, NotFound
from mdsvc.hook.following import Following, OfStore, follow
from mdsvc.store import Store
from mdsvc.store.memory import MemoryStore
from tests.audit.fleets import domain
from tests.strategies import grid, host_of

HOST = host_of(grid(2, 4, threads=2, shared=1))


class Spool:
    """A host whose hook leaves notes, and what has been told of them."""

    def __init__(self, folder: Path, host: str = "h1") -> None:
        self.folder = folder
        self.what = Following(folder / "spool", host, folder / "networks")
        self.what.spool.mkdir(parents=True)
        self.told: list[str] = []
        self._numbers = count()

    def note(self, operation: str, xml: str, name: str = "a") -> None:
        header = json.dumps({"guest": name, "operation": operation})
        path = self.what.spool / f"{next(self._numbers):020}-1.note"
        path.write_text(f"{header}\n{xml}")

    async def run(self, store: Store) -> list[str]:
        """What is told of this round."""
        self.told.clear()
        await follow(OfStore(store), self.what, self.told.append, for_ever=False)
        return list(self.told)

    @property
    def left(self) -> list[str]:
        return sorted(str(p.relative_to(self.what.spool)) for p in self.what.spool.rglob("*.*"))


async def named(store: Store) -> list[str]:
    return sorted(guest.name for guest in await list_instances(store))


def story(tell: Callable[[Store, Spool], Awaitable[None]], folder: Path) -> None:
    async def main() -> None:
        store = MemoryStore()
        await add_host(store, HOST)
        await tell(store, Spool(folder))

    asyncio.run(main())


def test_guests_come_as_they_start_and_go_as_they_end(tmp_path: Path) -> None:
    async def tell(store: Store, spool: Spool) -> None:
        for operation in ("prepare", "start", "started"):
            spool.note(operation, domain("a", "2"))
        spool.note("started", domain("b", "3"), "b")
        assert [text.split(" (")[0] for text in await spool.run(store)] == [
            "imported a",
            "imported b",
        ]
        assert await named(store) == ["a", "b"]
        for operation in ("stopped", "release"):
            spool.note(operation, domain("a", "2"))
        assert [text.split(" (")[0] for text in await spool.run(store)] == ["removed a"]
        assert (await named(store), spool.left) == (["b"], [])

    story(tell, tmp_path)


def test_a_guest_that_starts_otherwise_than_before_is_as_it_runs(tmp_path: Path) -> None:
    async def tell(store: Store, spool: Spool) -> None:
        spool.note("started", domain("a", "2"))
        await spool.run(store)
        spool.note("started", domain("a", "4"))
        assert "updated a" in (await spool.run(store))[0]
        host, _ = await get_host(store, "h1")
        assert str(host.cells[0].pinned) == "4"

    story(tell, tmp_path)


def test_a_conflict_is_told_once_and_waits_until_there_is_room(tmp_path: Path) -> None:
    async def tell(store: Store, spool: Spool) -> None:
        spool.note("started", domain("a", "2"))
        spool.note("started", domain("b", "2"), "b")
        told = await spool.run(store)
        assert "b (started): host h1: nothing is imported" in told[1]
        assert await named(store) == ["a"]
        assert await spool.run(store) == []
        spool.note("release", domain("a", "2"))
        told = await spool.run(store)
        assert [text.split(" (")[0] for text in told] == ["removed a", "imported b"]
        assert (await named(store), spool.left) == (["b"], [])

    story(tell, tmp_path)


def test_what_was_refused_is_tried_again_once_somebody_has_put_the_books_right(
    tmp_path: Path,
) -> None:
    """At the latest when it is run again; otherwise in a minute."""

    async def tell(store: Store, spool: Spool) -> None:
        taken = guest_from_domain(domain("a", "2"))
        await import_guests(store, [taken], "h1", Terms("mine"))
        spool.note("started", domain("b", "2"), "b")
        assert "b (started): host h1: nothing is imported" in (await spool.run(store))[0]
        await delete_instance(store, taken.uuid)
        assert [text.split(" (")[0] for text in await spool.run(store)] == ["imported b"]
        assert (await named(store), spool.left) == (["b"], [])

    story(tell, tmp_path)


def test_a_guest_s_life_on_a_host_that_is_booted_anew(tmp_path: Path) -> None:
    """Its notes are gone with the machine's memory; renamed and re-pinned it is as it runs."""

    async def tell(store: Store, spool: Spool) -> None:
        for name, pcpu in (("a", "2"), ("b", "3")):
            spool.note("started", domain(name, pcpu), name)
        await spool.run(store)
        for path in spool.what.spool.rglob("*.note"):
            path.unlink()
        spool.note("started", domain("a", "2"))
        assert await spool.run(store) == []
        spool.note("started", domain("b", "4").replace("<name>b<", "<name>c<"), "c")
        assert [text.split(" (")[0] for text in await spool.run(store)] == ["updated c"]
        host, _ = await get_host(store, "h1")
        assert str(host.cells[0].pinned) == "2,4"
        spool.note("release", domain("b", "4").replace("<name>b<", "<name>c<"), "c")
        assert [text.split(" (")[0] for text in await spool.run(store)] == ["removed c"]
        assert await named(store) == ["a"]

    story(tell, tmp_path)


def test_a_guest_that_migrates_is_moved_and_what_its_old_host_says_then_is_old(
    tmp_path: Path,
) -> None:
    async def tell(store: Store, spool: Spool) -> None:
        await add_host(store, replace(HOST, name="h2"))
        spool.note("started", domain("a", "2"))
        await spool.run(store)
        there = Spool(tmp_path / "there", "h2")
        there.note("migrate", domain("a", "4"))
        assert [text.split(" (")[0] for text in await there.run(store)] == ["updated a"]
        spool.note("stopped", domain("a", "2"))
        spool.note("release", domain("a", "2"))
        assert await spool.run(store) == []
        (guest,) = await list_instances(store)
        assert (guest.host, guest.layout.cells[0].cpu_pinning) == ("h2", {0: 4})
        first, _ = await get_host(store, "h1")
        assert str(first.cells[0].pinned) == ""

    story(tell, tmp_path)


def test_a_spool_in_which_nothing_can_be_seen_is_refused(tmp_path: Path) -> None:
    async def tell(store: Store, spool: Spool) -> None:
        spool.what.spool.rmdir()
        assert await spool.run(store) == []  # the hook has had nothing to note yet
        spool.what.spool.write_text("a file")
        with pytest.raises(BadInput, match=r"--spool: .*expected a folder"):
            await spool.run(store)

    story(tell, tmp_path)


def test_a_guest_that_was_refused_and_has_ended_waits_no_more(tmp_path: Path) -> None:
    async def tell(store: Store, spool: Spool) -> None:
        spool.note("started", domain("a", "", emulator=None))
        assert "may run on every pCPU" in (await spool.run(store))[0]
        spool.note("release", domain("a", "", emulator=None))
        await spool.run(store)
        assert [left for left in spool.left if left.endswith(".note")] == []

    story(tell, tmp_path)


def test_what_is_no_domain_is_told_and_does_not_hold_up_the_next(tmp_path: Path) -> None:
    async def tell(store: Store, spool: Spool) -> None:
        spool.note("started", "<network/>")
        spool.note("started", "")
        spool.note("started", domain("b", "3"), "b")
        told = await spool.run(store)
        assert "expected <domain>" in told[0]
        assert await named(store) == ["b"]
        assert await spool.run(store) == []

    story(tell, tmp_path)


def test_guests_of_other_projects_stay_when_they_end(tmp_path: Path) -> None:
    """They were placed by somebody, with user data and keys, and may start again."""

    async def tell(store: Store, spool: Spool) -> None:
        guests = [guest_from_domain(domain("a", "2"))]
        await import_guests(store, guests, "h1", Terms("mine"))
        spool.note("started", domain("a", "2"))
        spool.note("release", domain("a", "2"))
        assert await spool.run(store) == []
        assert await named(store) == ["a"]

    story(tell, tmp_path)


def test_addresses_are_those_that_the_networks_keep(tmp_path: Path) -> None:
    async def tell(store: Store, spool: Spool) -> None:
        spool.what.networks.mkdir()
        (spool.what.networks / "odd.xml").write_text("no XML")
        (spool.what.networks / "default.xml").write_text(
            "<network><name>default</name><ip><dhcp>"
            "<host mac='52:54:00:aa:00:01' ip='192.168.122.11'/></dhcp></ip></network>"
        )
        interface = (
            "<devices><interface type='network'><mac address='52:54:00:aa:00:01'/>"
            "<source network='default'/></interface></devices></domain>"
        )
        spool.note("started", domain("a", "2").replace("</domain>", interface))
        await spool.run(store)
        assert await store.find("192.168.122.11", "default")

    story(tell, tmp_path)


def test_for_ever_is_until_it_is_ended(tmp_path: Path) -> None:
    """What comes meanwhile is carried out."""

    async def main() -> None:
        store, spool = MemoryStore(), Spool(tmp_path)
        await add_host(store, HOST)
        told = asyncio.Event()
        following = asyncio.create_task(
            follow(OfStore(store), spool.what, lambda _text: told.set(), for_ever=True)
        )
        await asyncio.sleep(0)
        spool.note("started", domain("a", "2"))
        await asyncio.wait_for(told.wait(), 60)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        assert await named(store) == ["a"]

    asyncio.run(main())


def test_without_the_host_nothing_is_lost(tmp_path: Path) -> None:
    async def main() -> None:
        spool = Spool(tmp_path)
        spool.note("started", domain("a", "2"))
        with pytest.raises(NotFound):
            await spool.run(MemoryStore())
        assert len(spool.left) == 1

    asyncio.run(main())
