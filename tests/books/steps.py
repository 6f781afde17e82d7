"""What operators and guests do at random, and which outcome each of it must have."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from mdsvc.control.draining import drain_host, move_guests
from mdsvc.control.hosts import add_host, get_host, list_hosts, remove_host, replace_host
from mdsvc.control.instances import (
    change_instance,
    create_instance,
    delete_instance,
    list_instances,
)
from mdsvc.control.moves import migrate_instance
from mdsvc.control.resizing import rebuild_instance, resize_instance
from mdsvc.errors import CannotStay, DoesNotFit
from mdsvc.instance import Instance, PlacedInstance
from mdsvc.layout import find
from mdsvc.placing.usage import remove
from mdsvc.policy.flavor import Request, request
from mdsvc.store import Store
from mdsvc.topology import Host
from tests.books.arrivals import takes
from tests.books.truth import Books
from tests.books.world import (
    changed,
    random_addresses,
    random_host,
    random_image,
    random_instance,
)


class Steps:
    """Each changes a store once, or raises what refused it."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.random = store, Random(seed)
        self.born = 0
        self.reborn: set[str] = set()
        self.passwords: dict[str, bytes] = {}

    async def books(self) -> Books:
        hosts = await list_hosts(self.store)
        return {host.name: await get_host(self.store, host.name) for host in hosts}

    async def guest(self) -> PlacedInstance | None:
        guests = await list_instances(self.store)
        return self.random.choice(guests) if guests else None

    # ---- guests ----

    async def create(self) -> None:
        self.born += 1
        new = random_instance(self.random, self.born)
        new = replace(new, addresses=random_addresses(self.random))
        await create_instance(self.store, new, None)

    async def delete(self) -> None:
        if guest := await self.guest():
            await delete_instance(self.store, guest.uuid)
            self.passwords.pop(guest.uuid, None)

    async def tell_password(self) -> None:
        if guest := await self.guest():
            told = str(self.random.random()).encode()
            if await self.store.set_password(guest.uuid, told):
                self.passwords[guest.uuid] = told

    async def resize(self) -> None:
        """On its own host where it fits there, else elsewhere where it does."""
        if not (guest := await self.guest()):
            return
        flavor = random_instance(self.random, 0).flavor
        image = self.random.choice([None, random_image(self.random)])
        before = await self.books()
        try:
            resized = await resize_instance(self.store, guest.uuid, flavor, image)
        except DoesNotFit:
            wanted = request(flavor, image or guest.image)
            assert not _stays(before, guest, wanted)
            assert _others(before, guest, wanted) == []
            raise
        if resized.host != guest.host:
            wanted = request(resized.flavor, resized.image)
            assert not _stays(before, guest, wanted)
            assert resized.host in _others(before, guest, wanted)

    async def migrate(self) -> None:
        if not (guest := await self.guest()):
            return
        before = await self.books()
        name = self.random.choice([None, *before])
        try:
            moved = await migrate_instance(self.store, guest.uuid, name)
        except DoesNotFit:
            possible = _others(before, guest, request(guest.flavor, guest.image))
            assert not possible if name is None else name not in possible
            raise
        assert moved.host != guest.host
        assert name in (None, moved.host)

    async def rebuild(self) -> None:
        """It stays on its host whatever it is."""
        if not (guest := await self.guest()):
            return
        image = self.random.choice([None, random_image(self.random)])
        user_data = self.random.choice([None, "#!/bin/sh\n", msgspec.UNSET])
        rebuilt = await rebuild_instance(self.store, guest.uuid, image, user_data)
        self.reborn.add(guest.uuid)
        self.passwords.pop(guest.uuid, None)
        assert rebuilt.host == guest.host
        same = request(rebuilt.flavor, rebuilt.image) == request(guest.flavor, guest.image)
        assert not same or rebuilt.layout == guest.layout

    async def change(self) -> None:
        if not (guest := await self.guest()):
            return
        fields = {name: getattr(guest, name) for name in Instance.__struct_fields__}
        fields |= {"name": f"g-{self.random.randint(0, 3)}", "hostname": None}
        anew = Instance(**fields | {"addresses": random_addresses(self.random)})
        after = await change_instance(self.store, anew)
        assert (after.layout, after.host) == (guest.layout, guest.host)

    # ---- hosts ----

    async def replace(self) -> None:
        """It is taken where its guests could come to it as they are, and else refused."""
        hosts = await list_hosts(self.store)
        if not hosts:
            return
        host = changed(self.random, self.random.choice(hosts))
        _, guests = await get_host(self.store, host.name)
        if takes(host, guests):
            await replace_host(self.store, host)
            return
        with pytest.raises(CannotStay) as refusal:
            await replace_host(self.store, host)
        raise refusal.value

    async def remove(self) -> None:
        await remove_host(self.store, self.random.choice("abc"))

    async def add(self) -> None:
        await add_host(self.store, random_host(self.random, self.random.choice("abc")))

    async def drain(self) -> None:
        await drain_host(self.store, self.random.choice("abc"))

    async def undo(self) -> None:
        await drain_host(self.store, self.random.choice("abc"), draining=False)

    async def empty(self) -> None:
        """Those that are left are so because nobody takes them."""
        name = self.random.choice("abc")
        drained = await move_guests(self.store, name)
        now = await self.books()
        assert now[name][0].draining
        assert {guest.uuid for guest in now[name][1]} == {left.uuid for left in drained.left}
        refused = "mixed guests are refused"
        for guest in now[name][1]:
            [left] = [each for each in drained.left if each.uuid == guest.uuid]
            if len(now) > 1 and not left.message.startswith(refused):
                assert _others(now, guest, request(guest.flavor, guest.image)) == []


def _stays(books: Books, guest: PlacedInstance, wanted: Request) -> bool:
    """Whether it fits on its own host, with what it has there given back."""
    free = remove(books[guest.host][0], guest.layout, guest.flavor)
    return find(replace(free, draining=False), wanted) is not None


def _others(books: Books, guest: PlacedInstance, wanted: Request) -> Sequence[str]:
    hosts: list[Host] = [host for host, _ in books.values() if host.name != guest.host]
    return [host.name for host in hosts if not host.draining and find(host, wanted)]
