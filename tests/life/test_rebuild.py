"""A new life on the same CPUs, and a guest described anew."""

from __future__ import annotations

import pytest

from mdsvc.control.draining import drain_host
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import change_instance, create_instance, delete_instance, get_instance
from mdsvc.control.resizing import rebuild_instance, resize_instance
from mdsvc.errors import BadInput, Conflict, DoesNotFit, InvalidRequest, NotFound
from mdsvc.instance import Base64, Instance
from mdsvc.store.memory import MemoryStore
from tests.books.values import DEDICATED, MIXED, guest, uuid
from tests.life.values import (
    Overtaken,
    flavor,
    fleet,
    image,
    on,
    placed_on,
    true_books,
    with_fields,
)


async def one_guest(specs: dict[str, str] = DEDICATED, vcpus: int = 2) -> MemoryStore:
    store = await fleet(on("h1"), on("h2"))
    await placed_on(store, "h1", guest(1, specs, vcpus))
    assert await store.set_password(uuid(1), b"of the old life")
    return store


# ---- rebuild ----


async def test_cpus_stay_and_the_password_is_forgotten() -> None:
    store = await one_guest()
    before = await get_instance(store, uuid(1))
    rebuilt = await rebuild_instance(store, uuid(1), image(os_distro="debian"), "#!/bin/sh\n")
    assert rebuilt == await get_instance(store, uuid(1))
    assert (rebuilt.layout, rebuilt.host, rebuilt.generation) == (before.layout, "h1", 2)
    assert rebuilt.image == image(os_distro="debian")
    assert rebuilt.user_data == "#!/bin/sh\n"
    assert await store.password(uuid(1)) is None
    assert await store.set_password(uuid(1), b"of the new life")
    await true_books(store)


async def test_what_is_not_given_stays_and_the_life_is_new_all_the_same() -> None:
    store = await one_guest()
    await rebuild_instance(store, uuid(1), image(os_distro="debian"), Base64("//8="))
    await store.set_password(uuid(1), b"once more")
    again = await rebuild_instance(store, uuid(1))
    assert (again.image, again.user_data) == (image(os_distro="debian"), Base64("//8="))
    assert (again.generation, await store.password(uuid(1))) == (3, None)
    assert (await rebuild_instance(store, uuid(1), user_data=None)).user_data is None


async def test_an_image_that_changes_cpu_properties_is_fitted_anew_on_its_host() -> None:
    store = await one_guest()
    rebuilt = await rebuild_instance(store, uuid(1), image(hw_cpu_thread_policy="isolate"))
    assert (rebuilt.layout.cpu_thread_policy, rebuilt.host) == ("isolate", "h1")
    now = await true_books(store)
    assert len(now["h1"][0].cells[0].pinned) == 4
    back = await rebuild_instance(store, uuid(1), image())
    assert back.layout.cpu_thread_policy is None
    assert len((await true_books(store))["h1"][0].cells[0].pinned) == 2


async def test_one_that_does_not_fit_there_changes_nothing() -> None:
    """On h2 it would; a rebuild is no move."""
    store = await one_guest()
    await placed_on(store, "h1", guest(2, DEDICATED, 3))
    before = store._tables
    with pytest.raises(DoesNotFit, match="host h1"):
        await rebuild_instance(store, uuid(1), image(hw_cpu_thread_policy="isolate"))
    with pytest.raises(InvalidRequest, match="hw_cpu_policy"):
        await rebuild_instance(store, uuid(1), image(hw_cpu_policy="pinned"))
    with pytest.raises(InvalidRequest, match="hw_cpu_polcy"):
        await rebuild_instance(store, uuid(1), image(hw_cpu_polcy="x"), unknown_keys="error")
    with pytest.raises(BadInput, match="user_data: expected at most 65535 bytes"):
        await rebuild_instance(store, uuid(1), user_data="x" * 65536)
    with pytest.raises(NotFound, match=uuid(9)):
        await rebuild_instance(store, uuid(9))
    assert store._tables == before
    assert await store.password(uuid(1)) == b"of the old life"


async def test_a_draining_host_has_its_guests_rebuilt() -> None:
    store = await one_guest()
    await drain_host(store, "h1")
    await rebuild_instance(store, uuid(1))
    await rebuild_instance(store, uuid(1), image(hw_cpu_thread_policy="isolate"))
    assert (await true_books(store))["h1"][0].draining


async def test_a_mixed_guest_is_rebuilt_as_it_is_while_a_host_is_behind() -> None:
    """Nothing new is mixed then; but it is not fitted anew."""
    store = await one_guest(MIXED)
    await add_host(store, on("old", service_version=1))
    assert (await rebuild_instance(store, uuid(1))).generation == 2
    with pytest.raises(Conflict, match=r"mixed guests are refused: .* old \(1\)"):
        await rebuild_instance(store, uuid(1), image(hw_cpu_thread_policy="isolate"))


async def test_a_password_that_is_stored_meanwhile_is_of_the_old_life() -> None:
    store = await fleet(on("h1"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED))
    store.rival = lambda s: s.set_password(uuid(1), b"of the old life")
    await rebuild_instance(store, uuid(1))
    assert await store.password(uuid(1)) is None


# ---- what is no CPU business ----


def on_net(*ips: str) -> list[dict[str, str]]:
    return [{"network": "net-a", "ip": ip} for ip in ips]


def described(number: int = 1, **fields: object) -> Instance:
    return with_fields(guest(number, DEDICATED), **fields)


async def test_a_guest_is_described_anew_where_it_is() -> None:
    store = await one_guest()
    before = await get_instance(store, uuid(1))
    anew = described(name="new", meta={"role": "db"}, addresses=on_net("10.0.0.5"))
    changed = await change_instance(store, anew)
    assert changed == await get_instance(store, uuid(1))
    assert (changed.name, changed.hostname, changed.meta) == ("new", "new.novalocal", anew.meta)
    assert (changed.layout, changed.host, changed.generation) == (before.layout, "h1", 2)
    assert await store.find("10.0.0.5", "net-a") == [uuid(1)]
    assert await store.password(uuid(1)) == b"of the old life"
    tables = store._tables
    assert await change_instance(store, anew) == changed, "it is no change once more"
    assert store._tables == tables


async def test_flavor_and_image_have_calls_of_their_own() -> None:
    store = await one_guest()
    before = store._tables
    for change, words in (
        (described(flavor={"vcpus": 3, "memory_mb": 64}), "flavor: expected the one .*: resize"),
        (described(image={"name": "other"}), "image: expected the one .*: rebuild"),
    ):
        with pytest.raises(Conflict, match=words):
            await change_instance(store, change)
    with pytest.raises(NotFound, match=uuid(9)):
        await change_instance(store, described(9))
    assert store._tables == before


async def test_an_address_is_one_guest_s_and_free_once_it_is_given_up() -> None:
    store = await one_guest()
    await placed_on(store, "h2", guest(2, DEDICATED))
    await change_instance(store, described(1, addresses=on_net("10.0.0.5", "10.0.0.6")))
    with pytest.raises(Conflict, match=rf"addresses: 10\.0\.0\.5 on net-a: .*{uuid(1)} has it"):
        await change_instance(store, described(2, addresses=on_net("10.0.0.5")))
    await change_instance(store, described(1, addresses=on_net("10.0.0.6")))
    await change_instance(store, described(2, addresses=on_net("10.0.0.5")))
    assert await store.find("10.0.0.5", "net-a") == [uuid(2)]
    await delete_instance(store, uuid(1))
    await create_instance(store, described(3, addresses=on_net("10.0.0.6")), None)


async def test_of_two_that_take_an_address_one_has_it() -> None:
    store = await fleet(on("h1"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED), guest(2, DEDICATED))
    store.rival = lambda s: change_instance(s, described(1, addresses=on_net("10.0.0.5")))
    with pytest.raises(Conflict, match=f"{uuid(1)} has it"):
        await change_instance(store, described(2, addresses=on_net("10.0.0.5")))
    assert (await get_instance(store, uuid(2))).generation == 1


async def test_a_resize_that_comes_between_is_a_conflict_and_not_undone() -> None:
    store = await fleet(on("h1"), store=Overtaken())
    assert isinstance(store, Overtaken)
    await placed_on(store, "h1", guest(1, DEDICATED))
    store.rival = lambda s: resize_instance(s, uuid(1), flavor(DEDICATED, 3))
    with pytest.raises(Conflict, match="flavor"):
        await change_instance(store, described(name="new"))
    assert (await get_instance(store, uuid(1))).flavor == flavor(DEDICATED, 3)
