"""What every store does: what is stored is read and found again, and nothing twice."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from mdsvc.errors import Conflict, NotFound
from mdsvc.instance import Address, TokenMode
from mdsvc.store import Stale, Store

from .conftest import Open
from .values import changed, fill, guest, host, uuid


async def test_a_new_store_is_ready_and_empty(store: Store) -> None:
    await store.ready()
    assert await store.get_instance(uuid(1)) is None
    assert await store.find("10.0.0.5", None) == []
    assert await store.password(uuid(1)) is None
    async with store.transaction() as tx:
        assert await tx.list_hosts() == []
        assert await tx.get_host("h1") is None
        assert await tx.list_instances() == []
        assert await tx.get_instance(uuid(1)) is None
        assert await tx.owner("10.0.0.5", "net-a") is None
        assert not await tx.remove_host("h1")
        assert not await tx.remove_instance(uuid(1))


async def test_what_is_stored_is_what_is_read(store: Store) -> None:
    stored = guest(1, ("net-a", "10.0.0.5"), ("net-a", "fd00::5"))
    await fill(store, host(), stored)
    assert await store.get_instance(stored.uuid) == stored
    async with store.transaction() as tx:
        assert await tx.get_host("h1") == host()
        assert await tx.get_instance(stored.uuid) == stored


async def test_hosts_come_by_name_and_guests_by_uuid(store: Store) -> None:
    names = ["b", "B", "a", "a-1", "a.1", "a1", "A"]
    await fill(store, *map(host, names), *(guest(n, on="a") for n in (3, 1)), guest(2, on="b"))
    async with store.transaction() as tx:
        assert [found.name for found in await tx.list_hosts()] == sorted(names)
        assert [found.uuid for found in await tx.list_instances()] == [uuid(1), uuid(2), uuid(3)]
        assert [found.uuid for found in await tx.list_instances("a")] == [uuid(1), uuid(3)]
        assert await tx.list_instances("A") == []


async def test_a_long_listing_is_complete(store: Store) -> None:
    await fill(store, host(), *(guest(number) for number in range(70)))
    async with store.transaction() as tx:
        assert [found.uuid for found in await tx.list_instances()] == [uuid(n) for n in range(70)]


async def test_a_name_and_a_uuid_are_taken_once(store: Store) -> None:
    await fill(store, host(), guest(1))
    async with store.transaction() as tx:
        assert not await tx.add_host(replace(host(), packing="pack"))
        assert not await tx.add_instance(replace(guest(1), name="other"))
    assert await store.get_instance(uuid(1)) == guest(1)
    async with store.transaction() as tx:
        assert await tx.get_host("h1") == host()


async def test_an_address_has_one_owner_and_the_whole_transaction_is_refused(store: Store) -> None:
    await fill(store, host(), guest(1, ("net-a", "10.0.0.5")))
    with pytest.raises(Conflict, match=r"10\.0\.0\.5 on net-a is that of 0+-0+-4"):
        await fill(store, host("h2"), guest(2, ("net-b", "10.0.0.5"), ("net-a", "10.0.0.5")))
    assert await store.get_instance(uuid(2)) is None
    assert await store.find("10.0.0.5", None) == [uuid(1)]
    async with store.transaction() as tx:
        assert await tx.get_host("h2") is None


async def test_guests_are_found_by_address_on_one_network_or_on_any(store: Store) -> None:
    await fill(
        store,
        host(),
        guest(2, ("net-a", "10.0.0.5"), ("net-c", "10.0.0.5")),
        guest(1, ("net-b", "10.0.0.5"), ("net-b", "fd00::5")),
    )
    assert await store.find("10.0.0.5", "net-a") == [uuid(2)]
    assert await store.find("10.0.0.5", "net-b") == [uuid(1)]
    assert await store.find("10.0.0.5", "Net-a") == []
    assert await store.find("10.0.0.5", None) == [uuid(1), uuid(2)]
    assert await store.find("fd00::5", None) == [uuid(1)]
    assert await store.find("10.0.0.6", None) == []


async def test_guests_are_found_by_mac_on_one_network(store: Store) -> None:
    one, two = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"
    addresses = {
        1: (Address("net-a", "10.0.0.5", one), Address("net-a", "fd00::5", one)),
        2: (Address("net-a", "10.0.0.6", two), Address("net-b", "10.0.0.6", one)),
        3: (Address("net-a", "10.0.0.7", one), Address("net-b", "10.0.0.7")),
    }
    guests = [replace(guest(number), addresses=of) for number, of in addresses.items()]
    await fill(store, host(), *guests)
    assert await store.find_mac(one, "net-a") == [uuid(1), uuid(3)]
    assert await store.find_mac(one, "net-b") == [uuid(2)]
    assert await store.find_mac(two, "net-a") == [uuid(2)]
    assert await store.find_mac(two, "net-b") == []
    assert await store.find_mac(one, "Net-a") == []
    async with store.transaction() as tx:
        await tx.get_instance(uuid(1))
        await tx.update_instance(changed(guests[0], addresses=(Address("net-a", "10.0.0.5", two),)))
    assert await store.find_mac(one, "net-a") == [uuid(3)]
    assert await store.find_mac(two, "net-a") == [uuid(1), uuid(2)]


async def test_a_changed_guest_has_its_new_addresses_and_not_the_old_ones(store: Store) -> None:
    first = guest(1, ("net-a", "10.0.0.5"), ("net-a", "10.0.0.6"))
    await fill(store, host(), host("h2"), first)
    addresses = tuple(Address(network="net-a", ip=ip) for ip in ("10.0.0.6", "10.0.0.7"))
    second = changed(first, addresses=addresses, host="h2")
    async with store.transaction() as tx:
        await tx.update_instance(second)
    assert await store.get_instance(first.uuid) == second
    assert await store.find("10.0.0.5", None) == []
    assert await store.find("10.0.0.6", None) == [uuid(1)]
    assert await store.find("10.0.0.7", None) == [uuid(1)]
    async with store.transaction() as tx:
        assert await tx.list_instances("h1") == []
        assert await tx.list_instances("h2") == [second]


@pytest.mark.parametrize("mode", [None, "off", "optional", "required"])
async def test_a_guest_keeps_whether_it_has_to_bring_a_token(
    open_store: Open, mode: TokenMode | None
) -> None:
    first = await open_store()
    stored = replace(guest(1), tokens=mode)
    await fill(first, host(), stored)
    again = await open_store()
    assert await again.get_instance(uuid(1)) == stored
    other = changed(stored, tokens="optional" if mode else "required")
    async with again.transaction() as tx:
        assert await tx.get_instance(uuid(1))
        await tx.update_instance(other)
    assert await first.get_instance(uuid(1)) == other


async def test_a_removed_guest_takes_its_addresses_and_its_password_along(store: Store) -> None:
    stored = guest(1, ("net-a", "10.0.0.5"))
    await fill(store, host(), stored)
    await store.set_password(stored.uuid, b"secret")
    async with store.transaction() as tx:
        assert await tx.remove_instance(stored.uuid)
        assert not await tx.remove_instance(stored.uuid)
    assert await store.get_instance(stored.uuid) is None
    assert await store.find("10.0.0.5", None) == []
    await fill(store, replace(stored, addresses=()))
    assert await store.password(stored.uuid) is None


async def test_a_host_with_guests_stays(store: Store) -> None:
    await fill(store, host(), guest(1))
    async with store.transaction() as tx:
        with pytest.raises(Conflict, match=f"host h1: expected no guests on it, but {uuid(1)} is"):
            await tx.remove_host("h1")
        await tx.remove_instance(uuid(1))
        assert await tx.remove_host("h1")
        assert await tx.list_hosts() == []


async def test_a_guest_needs_a_host(store: Store) -> None:
    with pytest.raises(Stale):
        await fill(store, guest(1, on="nowhere"))
    assert await store.get_instance(uuid(1)) is None


async def test_a_password_is_stored_once_and_outlives_a_change_of_the_guest(store: Store) -> None:
    first = guest(1)
    await fill(store, host(), first)
    assert await store.set_password(first.uuid, b"\x00first")
    assert not await store.set_password(first.uuid, b"second")
    async with store.transaction() as tx:
        await tx.update_instance(changed(first))
    assert await store.password(first.uuid) == b"\x00first"


async def test_a_password_that_is_cleared_can_be_stored_again(store: Store) -> None:
    await fill(store, host(), guest(1))
    assert not await store.clear_password(uuid(1))
    await store.set_password(uuid(1), b"first")
    assert await store.clear_password(uuid(1))
    assert not await store.clear_password(uuid(1))
    assert await store.password(uuid(1)) is None
    assert await store.set_password(uuid(1), b"second")
    assert await store.password(uuid(1)) == b"second"


async def test_a_password_is_forgotten_with_the_change_of_its_guest_alone(store: Store) -> None:
    await fill(store, host(), guest(1), guest(2))
    for number in (1, 2):
        await store.set_password(uuid(number), b"of the old life")
    async with store.transaction() as tx:
        stored = await tx.get_instance(uuid(1))
        assert stored
        await tx.forget_told(uuid(1))
        await tx.update_instance(changed(stored, user_data="new"))
    assert await store.password(uuid(1)) is None
    assert await store.password(uuid(2)) == b"of the old life"
    assert await store.set_password(uuid(1), b"of the new life")


async def test_a_change_that_fails_forgets_no_password(store: Store) -> None:
    await fill(store, host(), guest(1))
    await store.set_password(uuid(1), b"of the old life")

    async def overtaken() -> None:
        async with store.transaction() as tx:
            stored = await tx.get_instance(uuid(1))
            assert stored
            await tx.forget_told(uuid(1))
            await tx.update_instance(changed(stored, user_data="new"))
            async with store.transaction() as another:
                theirs = await another.get_instance(uuid(1))
                assert theirs
                await another.update_instance(changed(theirs, name="theirs"))

    with pytest.raises(Stale):
        await overtaken()
    assert await store.password(uuid(1)) == b"of the old life"


async def test_a_password_is_only_for_known_guests(store: Store) -> None:
    with pytest.raises(NotFound, match=f"instance {uuid(1)}: no such instance is stored"):
        await store.set_password(uuid(1), b"secret")
    assert await store.password(uuid(1)) is None


async def test_a_store_that_is_opened_again_has_everything(open_store: Open) -> None:
    first = await open_store()
    await fill(first, host(), guest(1, ("net-a", "10.0.0.5")))
    await first.set_password(uuid(1), b"secret")
    await first.close()
    again = await open_store()
    await again.ready()
    assert await again.get_instance(uuid(1)) == guest(1, ("net-a", "10.0.0.5"))
    assert await again.find("10.0.0.5", "net-a") == [uuid(1)]
    assert await again.password(uuid(1)) == b"secret"
