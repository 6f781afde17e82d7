"""Who asks, by network, address and MAC address; real guests in real networks, and thieves."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from mdsvc.store.memory import MemoryStore
from tests.http.fakes import FakeStore
from tests.http.guests import HOST
from tests.http.wire import parse
from tests.networks.cloud import IPV4, IPV6, MAC, Cloud, answered, ask, batch, connected, request
from tests.networks.conftest import Listen, known, needs_root

pytestmark = needs_root

ONE, TWO = MAC.format(1), MAC.format(2)
FOREIGN = MAC.format(9)


async def test_two_networks_with_the_same_addresses_are_two(cloud: Cloud, listen: Listen) -> None:
    store = FakeStore(
        known("one", ("net-a", "10.0.0.5", ONE)), known("two", ("net-b", "10.0.0.5", TWO))
    )
    guests = {}
    for network, mac in (("net-a", ONE), ("net-b", TWO)):
        cloud.network(network)
        guests[network] = cloud.guest(network, "g", mac, "10.0.0.5")
    lines = await listen(store)
    assert "now in 2" in lines[0]
    for host in (IPV4, IPV6):
        assert (await ask(guests["net-a"], host)).text == "one.novalocal"
        assert (await ask(guests["net-b"], host)).text == "two.novalocal"


async def test_an_address_is_not_known_on_another_network(cloud: Cloud, listen: Listen) -> None:
    cloud.network("net-b")
    guest = cloud.guest("net-b", "g", TWO, "10.0.0.5", "fd00::5")
    await listen(FakeStore(known("one", ("net-a", "10.0.0.5", ONE), ("net-a", "fd00::5", ONE))))
    for host in (IPV4, IPV6):
        assert (await ask(guest, host)).status == 404


async def test_one_guest_cannot_take_anothers_address(cloud: Cloud, listen: Listen) -> None:
    """Also not by what its MAC address is: another guest's, nobody's, or back again."""
    store = FakeStore(
        known("one", ("net-a", "10.0.0.5", ONE)), known("two", ("net-a", "10.0.0.6", TWO))
    )
    cloud.network("net-a")
    thief = cloud.guest("net-a", "thief", TWO, "10.0.0.6")
    await listen(store)
    assert (await ask(thief)).text == "two.novalocal"
    cloud.readdress(thief, "10.0.0.5")
    reply = await ask(thief)
    assert (reply.status, reply.text) == (404, "no guest has the address 10.0.0.5")
    batch(thief, f"link set eth0 address {FOREIGN}")
    cloud.readdress(thief, "10.0.0.6")
    assert (await ask(thief)).status == 404
    batch(thief, f"link set eth0 address {TWO}")
    cloud.readdress(thief, "10.0.0.6")
    await answered(thief, "two.novalocal")


async def test_a_spoofed_address_beside_its_own_is_the_thiefs(cloud: Cloud, listen: Listen) -> None:
    """The owner is there too, and has just asked."""
    store = FakeStore(
        known("one", ("net-a", "10.0.0.5", ONE)), known("two", ("net-a", "10.0.0.6", TWO))
    )
    namespace = cloud.network("net-a")
    owner = cloud.guest("net-a", "owner", ONE, "10.0.0.5")
    thief = cloud.guest("net-a", "thief", TWO, "10.0.0.6", "10.0.0.5")
    await listen(store)
    assert (await ask(owner)).text == "one.novalocal"
    batch(namespace, f"neigh replace 10.0.0.5 lladdr {TWO} dev br0 nud reachable")  # as if by ARP
    assert (await ask(thief, source="10.0.0.5")).status == 404
    assert (await ask(thief, source="10.0.0.6")).text == "two.novalocal"
    batch(namespace, f"neigh replace 10.0.0.5 lladdr {ONE} dev br0 nud reachable")
    assert (await ask(owner)).text == "one.novalocal"


async def test_an_address_that_is_another_guests_now_is_so_at_once(
    cloud: Cloud, listen: Listen
) -> None:
    """Also over a connection that has been there before."""
    first = known("one", ("net-a", "10.0.0.5", ONE))
    store = MemoryStore()
    async with store.transaction() as tx:
        assert await tx.add_host(HOST)
        assert await tx.add_instance(first)
    cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    await listen(store)
    with await asyncio.to_thread(connected, guest) as sock:
        sock.sendall(request("/latest/meta-data/local-hostname", close=False))
        assert (await asyncio.to_thread(sock.recv, 65536)).endswith(b"\r\n\r\none.novalocal")
        async with store.transaction() as tx:
            assert await tx.remove_instance(first.uuid)
            assert await tx.add_instance(known("next", ("net-a", "10.0.0.5", TWO)))
        sock.sendall(request("/latest/meta-data/local-hostname"))
        assert parse(await asyncio.to_thread(sock.recv, 65536)).status == 404
    batch(guest, f"link set eth0 address {TWO}")
    cloud.readdress(guest, "10.0.0.5")
    await answered(guest, "next.novalocal")


async def test_who_waits_is_looked_at_again_before_it_is_told(cloud: Cloud, listen: Listen) -> None:
    """It has another MAC address now than the guest is to have."""
    store = MemoryStore()
    async with store.transaction() as tx:
        assert await tx.add_host(HOST)
        assert await tx.add_instance(known("one", ("net-a", "10.0.0.5", ONE)))
    cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    await listen(store)
    path = "/openstack/latest/meta_data.json?wait_for_change=true&timeout_sec=20"
    held = asyncio.create_task(ask(guest, path=path))
    await asyncio.sleep(1)
    assert not held.done()
    async with store.transaction() as tx:
        changed = known("one", ("net-a", "10.0.0.5", TWO))
        await tx.update_instance(replace(changed, generation=2))
    reply = await held
    assert (reply.status, reply.text) == (404, "no guest has the address 10.0.0.5")


async def test_where_the_guests_mac_is_not_known_its_address_is_enough(
    cloud: Cloud, listen: Listen
) -> None:
    cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5", "fe80::5")
    await listen(FakeStore(known("one", ("net-a", "10.0.0.5", None), ("net-a", "fe80::5", None))))
    assert (await ask(guest)).text == "one.novalocal"
    assert (await ask(guest, IPV6)).text == "one.novalocal"


async def test_a_guest_may_answer_for_each_address_with_each_of_its_macs(
    cloud: Cloud, listen: Listen
) -> None:
    cloud.network("net-a")
    guest = cloud.guest("net-a", "g", TWO, "10.0.0.5")
    await listen(FakeStore(known("one", ("net-a", "10.0.0.5", ONE), ("net-a", "10.0.0.6", TWO))))
    assert (await ask(guest)).text == "one.novalocal"


@pytest.mark.parametrize("ours", ["fe80::f816:3eff:fe00:1", "fe80::5", "fe80::dead:beef"])
async def test_by_a_link_local_address_the_mac_says_who_it_is(
    cloud: Cloud, listen: Listen, ours: str
) -> None:
    """Whatever the address is: made of the MAC, chosen, or another guest's."""
    store = FakeStore(
        known("one", ("net-a", "10.0.0.5", ONE)),
        known("two", ("net-a", "fe80::dead:beef", TWO)),
        known("elsewhere", ("net-b", "10.0.0.7", FOREIGN)),
    )
    cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, ours)
    await listen(store)
    assert (await ask(guest, IPV6)).text == "one.novalocal"
    batch(guest, f"link set eth0 address {FOREIGN}")
    cloud.readdress(guest, ours)
    assert (await ask(guest, IPV6)).status == 404, "known by its MAC on another network alone"


async def test_two_guests_of_one_mac_are_nobody(cloud: Cloud, listen: Listen) -> None:
    store = FakeStore(
        known("one", ("net-a", "10.0.0.5", ONE)), known("two", ("net-a", "10.0.0.6", ONE))
    )
    cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5", "fe80::5")
    await listen(store)
    assert (await ask(guest, IPV6)).status == 404
    assert (await ask(guest)).text == "one.novalocal"


async def test_a_guest_behind_a_router_is_known_by_its_address(
    cloud: Cloud, listen: Listen
) -> None:
    """The MAC address is the router's."""
    namespace = cloud.network("net-a")
    router = cloud.guest("net-a", "router", FOREIGN, "10.0.0.254")
    batch(router, "address add 10.9.9.9/32 dev lo")
    batch(namespace, "route add 10.9.9.0/24 via 10.0.0.254")
    await listen(FakeStore(known("one", ("net-a", "10.9.9.9", ONE))))
    assert (await ask(router, source="10.9.9.9")).text == "one.novalocal"


async def test_a_neighbour_that_is_forgotten_is_found_again(cloud: Cloud, listen: Listen) -> None:
    namespace = cloud.network("net-a")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    await listen(FakeStore(known("one", ("net-a", "10.0.0.5", ONE))))
    with await asyncio.to_thread(connected, guest) as sock:
        batch(namespace, "neigh replace 10.0.0.5 dev br0 nud failed")
        sock.sendall(request("/latest/meta-data/local-hostname"))
        assert (await asyncio.to_thread(sock.recv, 65536)).endswith(b"\r\n\r\none.novalocal")


async def test_a_guest_with_too_many_connections_shuts_out_nobody_of_another_network(
    cloud: Cloud, listen: Listen
) -> None:
    """Not even one that has its address."""
    store = FakeStore(
        known("one", ("net-a", "10.0.0.5", ONE)), known("two", ("net-b", "10.0.0.5", TWO))
    )
    guests = {}
    for network, mac in (("net-a", ONE), ("net-b", TWO)):
        cloud.network(network)
        guests[network] = cloud.guest(network, "g", mac, "10.0.0.5")
    await listen(store, guest_connections=4)
    held = [await asyncio.to_thread(connected, guests["net-a"]) for _ in range(20)]
    for _ in range(5):
        assert (await ask(guests["net-b"])).text == "two.novalocal"
    for sock in held:
        sock.close()
    await answered(guests["net-a"], "one.novalocal")
