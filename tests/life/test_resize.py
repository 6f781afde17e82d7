"""Another flavor: the old claim is given back for the new one, or nothing has changed."""

from __future__ import annotations

import pytest

from mdsvc.control.draining import drain_host
from mdsvc.control.instances import change_instance, delete_instance, get_instance
from mdsvc.control.moves import migrate_instance
from mdsvc.control.resizing import resize_instance
from mdsvc.errors import DoesNotFit, InvalidRequest, NotFound
from tests.books.values import DEDICATED, HUGE, MIXED, NODE, guest, uuid
from tests.life.values import (
    Overtaken,
    books,
    flavor,
    fleet,
    image,
    on,
    placed_on,
    true_books,
    with_fields,
    with_memory,
)

KINDS = {
    "dedicated": flavor(DEDICATED, 3),
    "mixed": flavor(MIXED, 2),
    "shared in a node": flavor(NODE, 2, 96),
    "huge pages": flavor(HUGE, 1, 32),
    "floating": flavor({}, 1, 128),
    "isolate": flavor(DEDICATED | {"hw:cpu_thread_policy": "isolate"}, 2),
}


@pytest.mark.parametrize("after", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("before", KINDS.values(), ids=KINDS)
async def test_any_guest_becomes_any_other(before: object, after: object) -> None:
    store = await fleet(on("h1"))
    new = with_fields(guest(1, {}), flavor=_form(before))
    await placed_on(store, "h1", new)
    resized = await resize_instance(store, uuid(1), after)  # type: ignore[arg-type]  # a flavor
    assert resized.flavor == after
    assert resized.generation == (1 if before == after else 2)
    assert await get_instance(store, uuid(1)) == resized
    [(_, guests)] = (await true_books(store)).values()
    assert guests == [resized]
    await delete_instance(store, uuid(1))
    assert await books(store) == {"h1": (on("h1"), [])}


def _form(asked: object) -> dict[str, object]:
    names = ("vcpus", "memory_mb", "extra_specs")
    return {name: getattr(asked, name) for name in names}


async def test_it_grows_into_what_it_has_given_back() -> None:
    """Six pCPUs: four for a guest that has three of them, and another guest has two."""
    store = await fleet(on("h1"))
    await placed_on(store, "h1", guest(1, DEDICATED, 3), guest(2, DEDICATED, 2))
    resized = await resize_instance(store, uuid(1), flavor(DEDICATED, 4))
    assert len(resized.layout.cells[0].pcpus) == 4
    await true_books(store)


async def test_what_fits_nowhere_changes_nothing() -> None:
    store = await fleet(on("h1"), on("h2"))
    await placed_on(store, "h1", guest(1, DEDICATED, 3), guest(2, DEDICATED, 2))
    before = store._tables
    with pytest.raises(DoesNotFit, match="neither on its own host nor on another") as refusal:
        await resize_instance(store, uuid(1), flavor(DEDICATED, 7))
    assert store._tables == before
    assert {reason.host for reason in refusal.value.reasons} == {"h1", "h2"}


async def test_of_a_single_host_the_refusal_is_its_own() -> None:
    store = await fleet(on("h1"))
    await placed_on(store, "h1", guest(1, DEDICATED, 3))
    with pytest.raises(DoesNotFit, match=r"does not fit on host h1: .* 1 short"):
        await resize_instance(store, uuid(1), flavor(DEDICATED, 7))


async def test_it_stays_on_its_host_while_it_fits_there() -> None:
    """Spread would choose the empty host."""
    store = await fleet(on("h1"), on("h2"))
    await placed_on(store, "h1", guest(1, DEDICATED, 2), guest(2, DEDICATED, 2))
    assert (await resize_instance(store, uuid(1), flavor(DEDICATED, 3))).host == "h1"


async def test_it_goes_to_the_best_other_host_where_it_does_not_fit_on_its_own() -> None:
    store = await fleet(on("h1"), on("h2"), on("h3"), with_memory("h4", 32))
    await placed_on(store, "h1", guest(1, DEDICATED, 2), guest(2, DEDICATED, 2))
    await placed_on(store, "h2", guest(3, DEDICATED, 3))
    resized = await resize_instance(store, uuid(1), flavor(DEDICATED, 5))
    assert (resized.host, resized.generation) == ("h3", 2)
    now = await true_books(store)
    assert [each.uuid for each in now["h1"][1]] == [uuid(2)]


async def test_a_draining_host_keeps_it_and_takes_none_from_elsewhere() -> None:
    store = await fleet(on("h1"), on("h2"))
    await placed_on(store, "h1", guest(1, DEDICATED, 2), guest(2, DEDICATED, 2))
    for name in ("h1", "h2"):
        await drain_host(store, name)
    assert (await resize_instance(store, uuid(1), flavor(DEDICATED, 4))).host == "h1"
    with pytest.raises(DoesNotFit) as refusal:
        await resize_instance(store, uuid(1), flavor(DEDICATED, 5))
    assert {"draining"} == {each.rule for each in refusal.value.reasons if each.host == "h2"}
    assert "draining" not in {each.rule for each in refusal.value.reasons if each.host == "h1"}


async def test_what_asks_the_same_of_its_host_keeps_its_cpus() -> None:
    """A better place has become free, and another name is no reason to take it."""
    store = await fleet(on("h1"))
    await placed_on(store, "h1", guest(1, DEDICATED, 2), guest(2, DEDICATED, 2))
    await delete_instance(store, uuid(1))
    before = await get_instance(store, uuid(2))
    renamed = flavor(DEDICATED | {"hw:watchdog_action": "reset"}, 2)
    resized = await resize_instance(store, uuid(2), renamed)
    assert (resized.layout, resized.generation) == (before.layout, 2)
    await true_books(store)


async def test_the_same_once_more_is_no_change() -> None:
    store = await fleet(on("h1"))
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    resized = await resize_instance(store, uuid(1), flavor(DEDICATED, 3), image(os_type="linux"))
    before = store._tables
    again = await resize_instance(store, uuid(1), flavor(DEDICATED, 3), image(os_type="linux"))
    assert again == resized
    assert store._tables == before


async def test_an_image_that_contradicts_the_flavor_changes_nothing() -> None:
    store = await fleet(on("h1"))
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    before = store._tables
    with pytest.raises(InvalidRequest, match="hw_cpu_policy"):
        await resize_instance(store, uuid(1), flavor(MIXED), image(hw_cpu_policy="dedicated"))
    assert store._tables == before
    with pytest.raises(InvalidRequest, match="hw:cpu_polcy"):
        await resize_instance(store, uuid(1), flavor({"hw:cpu_polcy": "x"}), None, "error")
    with pytest.raises(NotFound, match=uuid(9)):
        await resize_instance(store, uuid(9), flavor(DEDICATED))


# ---- at the same time ----


async def test_room_that_goes_meanwhile_is_not_taken_twice() -> None:
    store = await fleet(on("h1"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    store.rival = lambda s: placed_on(s, "h1", guest(2, DEDICATED, 3))
    with pytest.raises(DoesNotFit):
        await resize_instance(store, uuid(1), flavor(DEDICATED, 4))
    await true_books(store)


async def test_a_change_that_comes_between_is_kept() -> None:
    store = await fleet(on("h1"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED, 2))
    store.rival = lambda s: change_instance(s, with_fields(guest(1, DEDICATED), name="new"))
    resized = await resize_instance(store, uuid(1), flavor(DEDICATED, 3))
    assert (resized.name, resized.flavor.vcpus, resized.generation) == ("new", 3, 3)


async def test_a_guest_that_moves_meanwhile_is_resized_where_it_is() -> None:
    store = await fleet(on("h1"), on("h2"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED, 2), guest(2, DEDICATED, 2))
    store.rival = lambda s: migrate_instance(s, uuid(1))
    resized = await resize_instance(store, uuid(1), flavor(DEDICATED, 4))
    assert (resized.host, resized.generation) == ("h2", 3)
    await true_books(store)
