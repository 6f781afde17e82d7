"""A host that is drained takes no new guests; those that it has go where there is room."""

from __future__ import annotations

import pytest

from mdsvc.control.draining import Drained, drain_host, move_guests
from mdsvc.control.hosts import get_host, list_hosts, replace_found_host, replace_host
from mdsvc.control.instances import create_instance, delete_instance
from mdsvc.control.moves import migrate_instance
from mdsvc.errors import BadInput, DoesNotFit, NotFound
from mdsvc.forms import from_json, to_json
from mdsvc.store.memory import MemoryStore
from mdsvc.topology import Host, described
from tests.books.values import DEDICATED, MIXED, guest, uuid
from tests.life.values import Overtaken, fleet, on, placed_on, true_books


async def test_a_draining_host_takes_no_new_guest() -> None:
    store = await fleet(on("h1"), on("h2"))
    assert (await drain_host(store, "h1")).draining
    assert (await create_instance(store, guest(1, DEDICATED), None)).host == "h2"
    with pytest.raises(DoesNotFit, match="host h1 is draining, and takes no new guests") as refusal:
        await create_instance(store, guest(2, DEDICATED), "h1")
    assert [reason.rule for reason in refusal.value.reasons] == ["draining"]
    assert not (await drain_host(store, "h1", draining=False)).draining
    assert (await create_instance(store, guest(2, DEDICATED), "h1")).host == "h1"


async def test_what_is_so_already_is_not_written() -> None:
    store = await fleet(on("h1"))
    for draining in (False, True):
        host = await drain_host(store, "h1", draining)
        before = store._tables
        assert await drain_host(store, "h1", draining) == host
        assert store._tables == before
    with pytest.raises(NotFound, match="host h9: "):
        await drain_host(store, "h9")


async def test_a_guest_that_comes_meanwhile_comes_before_or_not_at_all() -> None:
    store = await fleet(on("h1"), store=Overtaken())
    assert isinstance(store, Overtaken)
    store.rival = lambda s: drain_host(s, "h1")
    with pytest.raises(DoesNotFit, match="draining"):
        await create_instance(store, guest(1, DEDICATED), None)
    await drain_host(store, "h1", draining=False)
    store.rival = lambda s: create_instance(s, guest(1, DEDICATED), None)
    assert [each.uuid for each in (await move_guests(store, "h1")).left] == [uuid(1)]
    await true_books(store)


# ---- described anew ----


async def test_a_description_that_does_not_say_it_keeps_it() -> None:
    store = await fleet(on("h1"))
    await drain_host(store, "h1")
    silent = to_json(on("h1", packing="pack")).replace(b'"draining":false,', b"")
    host, keeps = described(silent)
    assert (await replace_host(store, host, keeps)).host == on("h1", packing="pack", draining=True)
    host, keeps = described(to_json(on("h1", packing="pack")))
    assert not (await replace_host(store, host, keeps)).host.draining
    await drain_host(store, "h1")
    assert (await replace_found_host(store, on("h1"), None, None)).host.draining
    assert (await replace_host(store, *described(silent.replace(b"h1", b"new")))).host == on(
        "new", packing="pack"
    )


def test_draining_is_yes_or_no() -> None:
    with pytest.raises(BadInput, match="draining: expected true or false"):
        from_json(to_json(on("h1")).replace(b'"draining":false', b'"draining":1'), Host)


# ---- moving its guests ----


async def crowd() -> MemoryStore:
    """Guests for whom there is room elsewhere, all but one."""
    store = await fleet(on("h1"), on("h2"), on("h3"))
    await placed_on(store, "h1", guest(1, DEDICATED, 1), guest(2, DEDICATED, 3), guest(3, {}, 1))
    await placed_on(store, "h2", guest(4, DEDICATED, 4))
    await placed_on(store, "h3", guest(5, DEDICATED, 4))
    return store


async def test_guests_that_fit_elsewhere_are_moved_and_others_are_told_of() -> None:
    store = await crowd()
    told: list[tuple[int, int]] = []
    drained = await move_guests(store, "h1", lambda done, of: told.append((done, of)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert {each.uuid for each in drained.moved} == {uuid(1), uuid(3)}
    [left] = drained.left
    assert (left.uuid, left.name) == (uuid(2), "g2")
    assert "fits on none of 2 hosts" in left.message
    assert {reason.host for reason in left.reasons} == {"h2", "h3"}
    now = await true_books(store)
    assert drained.host == now["h1"][0]
    assert [each.uuid for each in now["h1"][1]] == [uuid(2)]


async def test_it_goes_on_where_it_was_left() -> None:
    store = await crowd()
    await move_guests(store, "h1")
    await delete_instance(store, uuid(4))
    drained = await move_guests(store, "h1")
    assert [each.uuid for each in drained.moved] == [uuid(2)]
    assert await move_guests(store, "h1") == Drained(on("h1", draining=True))


async def test_those_that_few_hosts_can_take_choose_first() -> None:
    """In the order of their UUIDs, the small ones would leave the large one no host."""
    store = await fleet(on("h1"), on("h2"), on("h3", cpu_dedicated_set="2-4"))
    small = [guest(n, DEDICATED, 1) for n in (1, 2, 3)]
    await placed_on(store, "h1", *small[:2], guest(9, DEDICATED, 4))
    await placed_on(store, "h2", guest(8, DEDICATED, 2))
    drained = await move_guests(store, "h1")
    assert drained.left == ()
    assert len(await list_hosts(store)) == 3
    await true_books(store)


async def test_a_mixed_guest_is_left_while_a_host_is_behind() -> None:
    store = await fleet(on("h1"), on("h2"))
    await placed_on(store, "h1", guest(1, MIXED), guest(2, DEDICATED))
    await replace_host(store, on("h2", service_version=1))
    drained = await move_guests(store, "h1")
    assert [each.uuid for each in drained.moved] == [uuid(2)]
    assert [("h2 (1)" in each.message) for each in drained.left] == [True]


@pytest.mark.parametrize("rival", ["moves", "deletes"])
async def test_what_others_do_with_a_guest_meanwhile_is_done(rival: str) -> None:
    """It is on h3 by another's wish, and is not sent on from there."""
    rivals = {
        "moves": lambda s: migrate_instance(s, uuid(1), "h3"),
        "deletes": lambda s: delete_instance(s, uuid(1)),
    }
    store = await fleet(on("h1"), on("h2"), on("h3"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED))
    await drain_host(store, "h1")

    def progress(done: int, of: int) -> None:
        assert isinstance(store, Overtaken)
        store.rival = rivals[rival] if done < of else None

    drained = await move_guests(store, "h1", progress)
    assert (drained.moved, drained.left) == ((), ())
    now = await true_books(store)
    assert len(now["h3"][1]) == (rival == "moves")
    assert await get_host(store, "h1") == (on("h1", draining=True), [])
