"""Two transactions that are open at the same time, on every store: what one relies on and another
one changes is `Stale`, also where nothing is isolated but what was not committed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from mdsvc.errors import Conflict
from mdsvc.instance import Address
from mdsvc.store import Stale, Store, Transaction
from mdsvc.topology import Host

from .conftest import SERVERS
from .values import changed, count_up, fill, floating, guest, host, run, uuid

UseCase = Callable[[Transaction], Awaitable[object]]


async def interleave(store: Store, first: UseCase, other: UseCase, then: UseCase) -> None:
    """Within one transaction: the first part, all of the other transaction, and the second part."""
    async with store.transaction() as tx:
        await first(tx)
        async with store.transaction() as another:
            await other(another)
        await then(tx)


def reads_host(name: str = "h1") -> UseCase:
    return lambda tx: tx.get_host(name)


def reads_guest(number: int = 1) -> UseCase:
    return lambda tx: tx.get_instance(uuid(number))


async def lists_hosts(tx: Transaction) -> None:
    await tx.list_hosts()


async def nothing(tx: Transaction) -> None:
    """Does not touch the store."""


def writes(value: Host) -> UseCase:
    return lambda tx: tx.update_host(value)


async def takes_it_back(tx: Transaction) -> None:
    """Another guest comes and goes: the host is as it was, and yet another one."""
    await tx.get_host("h1")
    await tx.update_host(host())


async def raises_generation(tx: Transaction) -> None:
    stored = await tx.get_instance(uuid(1))
    assert stored
    await tx.update_instance(changed(stored, name="theirs"))


# ---- lost updates ----


@pytest.mark.parametrize("read", [reads_host(), lists_hosts], ids=["got", "listed"])
@pytest.mark.parametrize("other", [count_up, takes_it_back])
async def test_a_host_that_changed_since_it_was_read_is_not_overwritten(
    store: Store, read: UseCase, other: UseCase
) -> None:
    await fill(store, host())
    mine = replace(host(), floating_vcpus=50)
    with pytest.raises(Stale):
        await interleave(store, read, other, writes(mine))
    assert await floating(store) in (0, 1)


async def test_a_guest_that_changed_since_it_was_read_is_not_overwritten(store: Store) -> None:
    await fill(store, host(), guest(1))
    mine = changed(guest(1), name="mine")
    with pytest.raises(Stale):
        await interleave(
            store, reads_guest(), raises_generation, lambda tx: tx.update_instance(mine)
        )
    stored = await store.get_instance(uuid(1))
    assert stored
    assert (stored.name, stored.generation) == ("theirs", 2)


async def test_of_different_hosts_both_changes_are_kept(store: Store) -> None:
    await fill(store, host("h1"), host("h2"))
    mine = replace(host("h2"), floating_vcpus=50)
    await interleave(store, reads_host("h2"), count_up, writes(mine))
    assert await floating(store) == 1
    async with store.snapshot() as snapshot:
        assert await snapshot.get_host("h2") == mine


@pytest.mark.parametrize(
    ("read", "other"),
    [
        (reads_host(), count_up),
        (reads_host("new"), lambda tx: tx.add_host(host("new"))),
        (reads_guest(), raises_generation),
        (reads_guest(2), lambda tx: tx.add_instance(guest(2))),
    ],
    ids=["host", "no host", "guest", "no guest"],
)
async def test_what_was_read_and_is_not_written_must_still_hold(
    store: Store, read: UseCase, other: UseCase
) -> None:
    await fill(store, host(), host("h2"), guest(1))
    with pytest.raises(Stale):
        await interleave(store, read, other, lambda tx: tx.remove_host("h2"))
    async with store.snapshot() as snapshot:
        assert await snapshot.get_host("h2")


async def test_who_only_reads_is_never_stale(store: Store) -> None:
    await fill(store, host(), guest(1))
    await interleave(store, reads_host(), count_up, nothing)
    async with store.snapshot() as snapshot:
        await run(store, count_up)
        await snapshot.list_hosts()


# ---- what was removed and stored anew (ABA) ----


async def test_a_host_that_was_registered_anew_is_another_one(store: Store) -> None:
    """Its generations once began anew, so that an old description came back."""

    async def registered_anew(_: Transaction) -> None:
        await run(store, lambda tx: tx.remove_host("h1"))
        await fill(store, replace(host(), packing="pack"))

    await fill(store, host())
    for _ in range(3):
        await run(store, count_up)
    with pytest.raises(Stale):
        await interleave(store, reads_host(), registered_anew, writes(host()))
    async with store.snapshot() as snapshot:
        assert await snapshot.get_host("h1") == replace(host(), packing="pack")


async def test_a_guest_that_was_created_anew_is_another_one(store: Store) -> None:
    """Its generation is 1 again, as a guest sees it."""

    async def created_anew(_: Transaction) -> None:
        await run(store, lambda tx: tx.remove_instance(uuid(1)))
        await fill(store, replace(guest(1), name="anew"))

    await fill(store, host(), guest(1))
    mine: list[UseCase] = [
        lambda tx: tx.update_instance(changed(guest(1), name="mine")),
        lambda tx: tx.remove_instance(uuid(1)),
    ]
    for write in mine:
        with pytest.raises(Stale):
            await interleave(store, reads_guest(), created_anew, write)
        assert await store.get_instance(uuid(1)) == replace(guest(1), name="anew")


# ---- two that create the same ----


async def test_of_two_hosts_of_one_name_the_first_is_kept(store: Store) -> None:
    theirs = replace(host(), packing="pack")
    with pytest.raises(Stale):
        await interleave(
            store, lambda tx: tx.add_host(host()), lambda tx: tx.add_host(theirs), nothing
        )
    async with store.snapshot() as snapshot:
        assert await snapshot.list_hosts() == [theirs]


async def test_of_two_guests_of_one_uuid_the_first_is_kept(store: Store) -> None:
    await fill(store, host())
    theirs = replace(guest(1, ("net-a", "10.0.0.5")), name="theirs")
    with pytest.raises(Stale):
        await interleave(
            store,
            lambda tx: tx.add_instance(guest(1, ("net-a", "10.0.0.6"))),
            lambda tx: tx.add_instance(theirs),
            nothing,
        )
    assert await store.get_instance(uuid(1)) == theirs
    assert await store.find("10.0.0.6", None) == []


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
async def test_of_two_that_take_one_address_the_first_has_it(store: Store, asked: bool) -> None:
    await fill(store, host())
    address = ("net-a", "10.0.0.5")

    async def finds_it_free(tx: Transaction) -> None:
        if asked:
            assert await tx.owner("10.0.0.5", "net-a") is None
        await tx.add_instance(guest(1, address))

    with pytest.raises(Stale):
        await interleave(
            store, finds_it_free, lambda tx: tx.add_instance(guest(2, address)), nothing
        )
    assert await store.find("10.0.0.5", None) == [uuid(2)]
    assert await store.get_instance(uuid(1)) is None
    with pytest.raises(Conflict, match=r"10\.0\.0\.5 on net-a is that of 0"):
        await fill(store, guest(1, address))


async def test_an_address_can_be_handed_over_within_one_transaction(store: Store) -> None:
    await fill(store, host(), guest(1, ("net-a", "10.0.0.5")), guest(2, ("net-a", "10.0.0.6")))
    async with store.transaction() as tx:
        swapped = [Address(network="net-a", ip=ip) for ip in ("10.0.0.6", "10.0.0.5")]
        await tx.update_instance(changed(guest(1), addresses=()))
        await tx.update_instance(changed(guest(2), addresses=(swapped[1],)))
    assert await store.find("10.0.0.5", None) == [uuid(2)]
    assert await store.find("10.0.0.6", None) == []


# ---- a host, and the guests on it ----


async def place_another(tx: Transaction) -> None:
    """As every placement does: the guest, and the host with the use of it."""
    await count_up(tx)
    await tx.add_instance(guest(2))


async def test_a_host_is_not_described_anew_past_a_guest_that_came(store: Store) -> None:
    await fill(store, host(), guest(1))

    async def reads_both(tx: Transaction) -> None:
        await tx.get_host("h1")
        assert len(await tx.list_instances("h1")) == 1

    with pytest.raises(Stale):
        await interleave(store, reads_both, place_another, writes(replace(host(), packing="pack")))
    async with store.snapshot() as snapshot:
        stored = await snapshot.get_host("h1")
    assert stored
    assert stored.packing == "spread"


async def test_no_guest_is_placed_past_a_host_that_was_described_anew(store: Store) -> None:
    await fill(store, host())
    with pytest.raises(Stale):
        await interleave(store, place_another, _described_anew, nothing)
    assert await store.get_instance(uuid(2)) is None


async def _described_anew(tx: Transaction) -> None:
    stored = await tx.get_host("h1")
    assert stored
    await tx.update_host(replace(stored, packing="pack"))


async def test_a_host_is_not_removed_under_a_guest_that_came(store: Store) -> None:
    await fill(store, host())
    with pytest.raises(Stale):
        await interleave(store, lambda tx: tx.remove_host("h1"), place_another, nothing)
    assert await store.get_instance(uuid(2)) == guest(2)


@pytest.mark.parametrize("counted", [True, False], ids=["with its use", "without"])
async def test_a_guest_is_not_placed_on_a_host_that_went(store: Store, counted: bool) -> None:
    await fill(store, host())

    async def place(tx: Transaction) -> None:
        if counted:
            await count_up(tx)
        await tx.add_instance(guest(1))

    with pytest.raises(Stale):
        await interleave(store, place, lambda tx: tx.remove_host("h1"), nothing)
    assert await store.get_instance(uuid(1)) is None


async def test_of_two_that_remove_a_guest_its_use_goes_once(store: Store) -> None:
    await fill(store, replace(host(), floating_vcpus=2), guest(1))

    async def removes(tx: Transaction) -> None:
        stored = await tx.get_host("h1")
        assert stored
        await tx.update_host(replace(stored, floating_vcpus=stored.floating_vcpus - 1))
        await tx.remove_instance(uuid(1))

    with pytest.raises(Stale):
        await interleave(store, removes, removes, nothing)
    assert await floating(store) == 1


async def test_a_guest_that_is_removed_and_changed_at_the_same_time_is_one_of_both(
    store: Store,
) -> None:
    await fill(store, host(), guest(1))
    with pytest.raises(Stale):
        await interleave(store, raises_generation, lambda tx: tx.remove_instance(uuid(1)), nothing)
    assert await store.get_instance(uuid(1)) is None
    await fill(store, guest(1))
    with pytest.raises(Stale):
        await interleave(store, lambda tx: tx.remove_instance(uuid(1)), raises_generation, nothing)
    assert await store.get_instance(uuid(1)) == changed(guest(1), name="theirs")


# ---- rules over the whole fleet (R17) ----


async def reads_fleet(tx: Transaction) -> None:
    assert all(host.knows_mixed for host in await tx.list_hosts())
    await tx.fleet()


OLD = replace(host("old"), service_version=1)


async def downgraded(tx: Transaction) -> None:
    stored = await tx.get_host("h2")
    assert stored
    await tx.update_host(replace(stored, service_version=1))


@pytest.mark.parametrize("other", [lambda tx: tx.add_host(OLD), downgraded], ids=["new", "changed"])
async def test_no_mixed_guest_is_placed_past_a_host_that_knows_none(
    store: Store, other: UseCase
) -> None:
    """Write skew: each of the two writes what the other one does not, and reads what it does."""
    await fill(store, host("h1"), host("h2"))
    with pytest.raises(Stale, match="fleet"):
        await interleave(store, reads_fleet, other, place_another)
    assert await store.get_instance(uuid(2)) is None


async def test_what_changes_no_rule_over_the_fleet_is_in_nobodys_way(store: Store) -> None:
    await fill(store, host("h1"), host("h2"))

    async def on_the_other(tx: Transaction) -> None:
        stored = await tx.get_host("h2")
        assert stored
        await tx.update_host(replace(stored, floating_vcpus=1))
        await tx.add_instance(guest(3, on="h2"))

    await interleave(store, reads_fleet, on_the_other, place_another)
    assert await store.get_instance(uuid(2))
    assert await store.get_instance(uuid(3))


# ---- snapshots ----


@pytest.mark.parametrize("place", ["memory", "sqlite", *SERVERS], indirect=True)
async def test_a_snapshot_has_hosts_and_guests_of_one_moment(store: Store) -> None:
    await fill(store, host(), guest(1, ("net-a", "10.0.0.5")))
    async with store.snapshot() as snapshot:
        fleet = await snapshot.fleet()
        assert await snapshot.get_host("h1") == host()
        await run(store, place_another)
        await run(store, lambda tx: tx.remove_instance(uuid(1)))
        await fill(store, host("h2"))
        assert await snapshot.list_hosts() == [host()]
        assert [found.uuid for found in await snapshot.list_instances()] == [uuid(1)]
        assert await snapshot.get_instance(uuid(2)) is None
        assert await snapshot.owner("10.0.0.5", "net-a") == uuid(1)
        assert await snapshot.fleet() == fleet
    async with store.snapshot() as snapshot:
        assert [found.uuid for found in await snapshot.list_instances("h1")] == [uuid(2)]
        assert len(await snapshot.list_hosts()) == 2
        assert await snapshot.fleet() > fleet


async def test_an_open_transaction_and_an_open_snapshot_hold_no_writer_up(store: Store) -> None:
    await fill(store, host())
    async with store.snapshot() as snapshot, store.transaction() as tx:
        await snapshot.list_hosts()
        await tx.list_hosts()
        await run(store, count_up)
    assert await floating(store) == 1


async def test_revisions_grow_with_each_change_and_never_come_back(store: Store) -> None:
    seen = []
    for _ in range(3):
        await fill(store, host())
        async with store.snapshot() as snapshot:
            seen.append(await snapshot.fleet())
        await run(store, count_up)
        await run(store, lambda tx: tx.remove_host("h1"))
    assert seen == sorted(set(seen))
