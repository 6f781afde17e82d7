"""To another host: its claim there and what it had here change together, or not at all."""

from __future__ import annotations

from itertools import product

import pytest

from mdsvc.control.draining import drain_host
from mdsvc.control.hosts import add_host, replace_host
from mdsvc.control.instances import delete_instance, get_instance
from mdsvc.control.moves import migrate_instance
from mdsvc.control.resizing import resize_instance
from mdsvc.errors import Conflict, DoesNotFit, NotFound
from mdsvc.topology import Host
from tests.books.values import DEDICATED, HUGE, MIXED, NODE, guest, uuid
from tests.life.values import (
    Overtaken,
    books,
    flavor,
    fleet,
    on,
    placed_on,
    true_books,
    with_memory,
)


@pytest.mark.parametrize("specs", [DEDICATED, MIXED, NODE, HUGE, {}], ids=str)
async def test_what_it_used_here_is_free_and_it_has_its_place_there(specs: dict[str, str]) -> None:
    store = await fleet(on("h1"), on("h2", cpu_shared_set="6-7", cpu_dedicated_set="0-5"))
    await placed_on(store, "h1", guest(1, specs, 1 + (specs in (DEDICATED, MIXED))))
    before = await get_instance(store, uuid(1))
    moved = await migrate_instance(store, uuid(1))
    assert (moved.host, moved.generation, moved.flavor) == ("h2", 2, before.flavor)
    now = await true_books(store)
    assert now["h1"] == (on("h1"), [])
    assert now["h2"][1] == [moved]
    back = await migrate_instance(store, uuid(1), "h1")
    assert (back.layout, back.generation) == (before.layout, 3)


async def test_the_best_other_host_is_taken_and_never_its_own() -> None:
    """Its own would be the best one, once it has left."""
    store = await fleet(on("h1"), on("h2"), on("h3"))
    await placed_on(store, "h1", guest(1, DEDICATED, 1))
    await placed_on(store, "h2", guest(2, DEDICATED, 2))
    assert (await migrate_instance(store, uuid(1))).host == "h3"


async def test_what_cannot_be_changes_nothing() -> None:
    small, drained = with_memory("small", 32), on("drained", draining=True)
    store = await fleet(on("h1"), small, drained)
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    before = store._tables
    for name, refusal, words in (
        ("h1", Conflict, f"host h1: expected another one, as instance {uuid(1)} is on it"),
        ("small", DoesNotFit, "does not fit on host small: .*MiB of memory"),
        ("drained", DoesNotFit, "host drained is draining, and takes no new guests"),
        ("none", NotFound, "host none: no such host"),
        (None, DoesNotFit, "fits on none of 2 hosts"),
    ):
        with pytest.raises(refusal, match=words):
            await migrate_instance(store, uuid(1), name)
    with pytest.raises(NotFound, match=uuid(9)):
        await migrate_instance(store, uuid(9))
    assert store._tables == before


async def test_of_a_single_host_there_is_nowhere_to_go() -> None:
    store = await fleet(on("h1"))
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    with pytest.raises(Conflict, match="expected another host that it could go to, got none"):
        await migrate_instance(store, uuid(1))


# ---- R17 ----

OLD = on("old", service_version=1)


@pytest.mark.parametrize("name", [None, "h2", "old"])
async def test_a_mixed_guest_stays_while_one_host_is_behind(name: str | None) -> None:
    store = await fleet(on("h1"), on("h2"))
    await placed_on(store, "h1", guest(1, MIXED), guest(2, DEDICATED))
    await add_host(store, OLD)
    before = store._tables
    with pytest.raises(Conflict, match=r"mixed guests are refused: .* old \(1\)"):
        await migrate_instance(store, uuid(1), name)
    with pytest.raises(Conflict, match=r"old \(1\)"):
        await resize_instance(store, uuid(2), flavor(MIXED))
    assert store._tables == before
    assert (await migrate_instance(store, uuid(2), "old")).host == "old"


async def test_an_old_host_that_comes_meanwhile_is_seen() -> None:
    for use, rival in product(
        (
            lambda s: migrate_instance(s, uuid(1), "h2"),
            lambda s: resize_instance(s, uuid(2), flavor(MIXED)),
        ),
        (
            lambda s: add_host(s, OLD),
            lambda s: replace_host(s, on("h3", service_version=1)),
        ),
    ):
        store = await fleet(on("h1"), on("h2"), on("h3"), store=Overtaken())
        assert isinstance(store, Overtaken)
        await placed_on(store, "h1", guest(1, MIXED), guest(2, DEDICATED))
        before = await get_instance(store, uuid(1)), await get_instance(store, uuid(2))
        store.rival = rival
        with pytest.raises(Conflict, match=r"mixed guests are refused: .* (old|h3) \(1\)"):
            await use(store)
        assert (await get_instance(store, uuid(1)), await get_instance(store, uuid(2))) == before
        await true_books(store)


# ---- at the same time ----


@pytest.mark.parametrize("name", ["h1", "h2"])
async def test_a_host_that_starts_to_drain_meanwhile_takes_nobody(name: str) -> None:
    """And one that is drained meanwhile lets its guests go."""
    store = await fleet(on("h1"), on("h2"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    store.rival = lambda s: drain_host(s, name)
    if name == "h1":
        assert (await migrate_instance(store, uuid(1))).host == "h2"
    else:
        with pytest.raises(DoesNotFit, match="h2 is draining"):
            await migrate_instance(store, uuid(1))
    await true_books(store)


async def test_of_two_moves_one_comes_after_the_other() -> None:
    store = await fleet(on("h1"), on("h2"), on("h3"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    store.rival = lambda s: migrate_instance(s, uuid(1), "h3")
    moved = await migrate_instance(store, uuid(1), "h2")
    assert (moved.host, moved.generation) == ("h2", 3)
    now = await true_books(store)
    assert now["h3"] == (on("h3"), [])


async def test_a_guest_that_is_deleted_meanwhile_leaves_nothing() -> None:
    store = await fleet(on("h1"), on("h2"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    store.rival = lambda s: delete_instance(s, uuid(1))
    with pytest.raises(NotFound):
        await migrate_instance(store, uuid(1))
    untouched: dict[str, tuple[Host, list[object]]] = {n: (on(n), []) for n in ("h1", "h2")}
    assert await books(store) == untouched
