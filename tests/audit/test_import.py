"""Guests that run are taken into the books as they run, all of an import or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mdsvc.control.adoption import Adopted, Terms, import_guests, let_go
from mdsvc.control.hosts import add_host, get_host, replace_host
from mdsvc.control.instances import create_instance, delete_instance, get_instance
from mdsvc.cpuset import CpuSet
from mdsvc.discovery.domains import guest_from_domain
from mdsvc.errors import BadInput, Conflict, NotFound
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.libvirt import domain_xml
from mdsvc.placing.as_it_runs import as_it_runs, places
from mdsvc.policy.flavor import request
from mdsvc.running import RunningGuest
from mdsvc.store import Store
from mdsvc.store.memory import MemoryStore
from mdsvc.topology import Host
from tests.audit.fleets import domain, random_fleet
from tests.libvirt.guests import DEDICATED, KINDS, guests, host, placed
from tests.strategies import THOROUGH, grid, host_of

T = TypeVar("T")

HOST: Host = host_of(grid(2, 4, threads=2, shared=1))
PLAIN, REPLACE = Terms(), Terms(replace=True)


def run(awaitable: Awaitable[T]) -> T:
    async def main() -> T:
        return await awaitable

    return asyncio.run(main())


async def registered(*hosts: Host) -> Store:
    store = MemoryStore()
    for each in hosts or (HOST,):
        await add_host(store, each.without_use())
    return store


def running(*domains: str) -> list[RunningGuest]:
    return [guest_from_domain(xml) for xml in domains]


async def taken(store: Store, *domains: str, terms: Terms = PLAIN) -> list[Adopted]:
    return await import_guests(store, running(*domains), "h1", terms)


# ---- whatever our fitter placed ----


@THOROUGH
@given(seed=st.integers(0, 2**32))
def test_a_fleet_that_we_placed_is_imported_as_we_placed_it(seed: int) -> None:
    """With the same use of the host, and flavors that ask for the same kind of guest."""
    on, fleet = random_fleet(seed)

    async def main() -> None:
        store = await registered(on)
        domains = [domain_xml(guest, on) for guest in fleet]
        adopted = await taken(store, *domains)
        assert [each.outcome for each in adopted] == ["imported"] * len(fleet)
        for before, each in zip(fleet, adopted, strict=True):
            assert places(each.instance.layout) == places(before.layout)
            asked, was = request(each.instance.flavor), request(before.flavor, before.image)
            assert [(c.shared, c.dedicated) for c in asked.cells] == [
                (c.shared, c.dedicated) for c in was.cells
            ]
        after, _ = await get_host(store, "h1")
        if all(guest.layout.cpu_thread_policy != "isolate" for guest in fleet):
            assert [c.pinned for c in after.cells] == [c.pinned for c in on.cells]
        assert [c.shared_used for c in after.cells] == [c.shared_used for c in on.cells]
        assert [c.memory_used_mb for c in after.cells] == [c.memory_used_mb for c in on.cells]
        assert after.floating_memory_mb == on.floating_memory_mb
        again = await taken(store, *domains)
        assert [each.outcome for each in again] == ["unchanged"] * len(fleet)
        for instance in (each.instance for each in adopted):
            assert await let_go(store, instance.uuid, "h1", instance.project_id)
        empty, _ = await get_host(store, "h1")
        assert empty == on.without_use()

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_every_combination_reads_back_without_faults(kind: str) -> None:
    on = host()
    for words, guest in guests(kind).items():
        runs = as_it_runs(on, guest_from_domain(domain_xml(guest, on)))
        assert runs.faults == (), words
        assert places(runs.layout) == places(guest.layout), words
        assert runs.layout.cpu_policy == guest.layout.cpu_policy


def test_what_mdsvc_placed_is_unchanged_when_its_domain_comes_back() -> None:
    async def main() -> None:
        store = await registered(host())
        guest = await create_instance(
            store,
            from_builtins(
                {
                    "uuid": "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52",
                    "project_id": "p",
                    "name": "db",
                    "flavor": {
                        "vcpus": 4,
                        "memory_mb": 512,
                        "extra_specs": {**DEDICATED, "hw:cpu_thread_policy": "isolate"},
                    },
                },
                Instance,
            ),
            None,
        )
        (again,) = await taken(store, domain_xml(guest, host()))
        assert again == Adopted(guest, "unchanged")

    run(main())


# ---- sequences ----


def test_a_plain_libvirt_guest_is_taken_in_with_what_its_domain_says() -> None:
    async def main() -> None:
        (each,) = await taken(await registered(), domain("db", "2", "3", "0-1", emulator="0-1"))
        guest = each.instance
        assert (guest.name, guest.project_id, guest.host, guest.generation) == (
            "db",
            "libvirt",
            "h1",
            1,
        )
        assert (str(guest.layout.dedicated_cpus), str(guest.layout.shared_cpus)) == ("0-1", "2")
        assert guest.layout.cells[0].cpu_pinning == {0: 2, 1: 3}
        assert guest.flavor.extra_specs == {
            "hw:cpu_policy": "mixed",
            "hw:cpu_dedicated_mask": "0-1",
            "hw:numa_nodes": "1",
        }

    run(main())


def test_a_changed_domain_is_a_conflict_and_with_replace_an_update() -> None:
    async def main() -> None:
        store = await registered()
        (first,) = await taken(store, domain("a", "2"))
        with pytest.raises(Conflict, match="it runs otherwise than the books say; --replace"):
            await taken(store, domain("a", "4"))
        assert await get_instance(store, first.instance.uuid) == first.instance
        (second,) = await taken(store, domain("a", "4"), terms=REPLACE)
        assert (second.outcome, second.instance.generation) == ("updated", 2)
        assert second.instance.layout.cells[0].cpu_pinning == {0: 4}
        after, _ = await get_host(store, "h1")
        assert [str(cell.pinned) for cell in after.cells] == ["4", ""]

    run(main())


def test_a_guest_on_another_host_moves_only_with_replace_and_then_whole() -> None:
    async def main() -> None:
        store = await registered(HOST, replace(HOST, name="h2"))
        (first,) = await taken(store, domain("a", "2"))
        guests = running(domain("a", "12", memory_node=1))
        with pytest.raises(Conflict, match="it is on host h1 in the books"):
            await import_guests(store, guests, "h2", Terms())
        (moved,) = await import_guests(store, guests, "h2", REPLACE)
        assert (moved.instance.host, moved.instance.generation) == ("h2", 2)
        one, _ = await get_host(store, "h1")
        two, _ = await get_host(store, "h2")
        assert one == HOST.without_use()
        assert [str(cell.pinned) for cell in two.cells] == ["", "12"]
        uuid, project = moved.instance.uuid, moved.instance.project_id
        assert uuid == first.instance.uuid
        assert not await let_go(store, uuid, "h1", project)
        assert not await let_go(store, uuid, "h2", "another")
        assert await let_go(store, uuid, "h2", project)

    run(main())


WRONG = {
    "a pCPU that a stored guest has": ([domain("b", "2")], "pCPUs 2 would be kept for two guests"),
    "one pCPU for two of them": (
        [domain("b", "4"), domain("c", "4")],
        "pCPUs 4 would be kept for two guests",
    ),
    "a guest that nothing pins": (
        [domain("b", "", emulator=None)],
        "its shared vCPUs 0 may run on every pCPU; expected pCPUs 0-1,8-9 of cpu_shared_set",
    ),
    "emulator threads on dedicated pCPUs": (
        [domain("b", "4", emulator="5-6")],
        "its emulator threads may run on pCPUs 5-6; expected pCPUs 0-1,4,8-9",
    ),
    "a guest that says dedicated and is not": (
        [domain("b", "0-1", specs=dict(DEDICATED))],
        "its vCPUs 0 are to be dedicated, and are pinned to no pCPU of their own",
    ),
    "pCPUs on two cells": ([domain("b", "4", "12")], "its node 0 is not on one host cell alone"),
    "memory on another cell": (
        [domain("b", "4", memory_node=1)],
        "dedicated_cpus: its pCPUs 4 are not in host cell 1",
    ),
    "more memory than there is": ([domain("b", "4", memory_mb=20000)], "memory: "),
    "huge pages that the host does not have": (
        [domain("b", "4", pages_kb=2048, memory_node=0)],
        "pages: host cell 0 has no pages of 2048 KiB",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_contradicts_the_books_is_named_and_nothing_is_imported(name: str) -> None:
    domains, says = WRONG[name]

    async def main() -> None:
        store = await registered()
        await taken(store, domain("a", "2"))
        before = await get_host(store, "h1")
        with pytest.raises(Conflict) as raised:
            await taken(store, domain("fine", "7"), *domains)
        assert says in str(raised.value)
        assert "b (" in str(raised.value)
        assert "nothing is imported" in str(raised.value)
        assert await get_host(store, "h1") == before

    run(main())


def test_what_has_no_cell_is_not_called_shared_for_that() -> None:
    runs = as_it_runs(HOST, guest_from_domain(domain("b", "4", "12", emulator="4,12")))
    assert runs.faults == ("its node 0 is not on one host cell alone",)


def test_vcpus_that_are_not_plugged_in_keep_a_guest_on_its_cell() -> None:
    """Where they may run once they are is to be right all the same."""
    xml = domain("b", "4", "5").replace("'static'>2<", "'static' current='2' cpuset='0-1'>3<")
    runs = as_it_runs(HOST, guest_from_domain(xml))
    assert (runs.faults, str(runs.layout.dedicated_cpus)) == ((), "0-1")
    loose = as_it_runs(HOST, guest_from_domain(xml.replace(" cpuset='0-1'>3", ">3")))
    assert loose.faults == (
        "its shared vCPUs 2 may run on every pCPU; expected pCPUs 0-1 of cpu_shared_set",
    )


def test_all_that_is_wrong_is_told_at_once() -> None:
    async def main() -> None:
        with pytest.raises(Conflict) as raised:
            await taken(
                await registered(), domain("b", "", emulator=None), domain("c", "4", emulator="5-6")
            )
        assert all(word in str(raised.value) for word in ("b (", "c ("))

    run(main())


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("<domain><name>a</name><memory>65536</memory></domain>", "domain a: expected <uuid>"),
        (domain("a", "2").replace("<uuid>", "<uuid>x"), "uuid: expected a UUID"),
        (domain("x" * 300, "2"), "name: expected"),
    ],
)
def test_a_domain_that_cannot_be_stored_is_bad_input(xml: str, says: str) -> None:
    async def main() -> None:
        with pytest.raises(BadInput, match=says):
            await taken(await registered(), xml)

    run(main())


def test_a_host_that_is_not_there_is_not_found_and_the_only_one_needs_no_name() -> None:
    async def main() -> None:
        store = await registered()
        with pytest.raises(NotFound):
            await import_guests(store, running(domain("a", "2")), "h9", Terms())
        (each,) = await import_guests(store, running(domain("a", "2")), None, Terms())
        assert each.instance.host == "h1"
        await add_host(store, replace(HOST, name="h2"))
        with pytest.raises(BadInput, match="--host"):
            await import_guests(store, running(domain("a", "2")), None, Terms())

    run(main())


def test_the_same_domain_twice_in_one_import_is_bad_input() -> None:
    async def main() -> None:
        with pytest.raises(BadInput, match="there twice"):
            await taken(await registered(), domain("a", "2"), domain("a", "2"))

    run(main())


INTERFACE = (
    "<devices><interface type='network'><mac address='52:54:00:AA:00:01'/>"
    "<source network='default'/></interface></devices></domain>"
)


def with_interface(xml: str) -> str:
    return xml.replace("</domain>", INTERFACE)


def test_addresses_are_those_that_the_network_keeps_and_come_later_too() -> None:
    async def main() -> None:
        store = await registered()
        xml = with_interface(domain("a", "2"))
        (first,) = await taken(store, xml)
        assert first.instance.addresses == ()
        leases = Terms(leases={"default": {"52:54:00:aa:00:01": "192.168.122.11"}})
        (second,) = await taken(store, xml, terms=leases)
        (address,) = second.instance.addresses
        assert (second.outcome, second.instance.generation) == ("updated", 2)
        assert (address.network, address.ip) == ("default", "192.168.122.11")
        assert address.mac == "52:54:00:aa:00:01"
        (third,) = await taken(store, xml, terms=leases)
        assert third == Adopted(second.instance, "unchanged")
        with pytest.raises(Conflict, match=r"192\.168\.122\.11 on default is instance"):
            await taken(store, with_interface(domain("b", "4")), terms=leases)

    run(main())


def test_an_imported_guest_lives_on_like_any_other() -> None:
    """A host is described anew under it; another guest is placed beside it; it is deleted."""

    async def main() -> None:
        store = await registered()
        (each,) = await taken(store, domain("a", "2", "3"))
        with pytest.raises(Conflict):
            await replace_host(store, replace(HOST, cpu_dedicated_set=CpuSet.parse("3-7")))
        other = placed(DEDICATED, HOST, name="b", flavor={"vcpus": 4, "memory_mb": 64})
        instance = Instance(uuid=other.uuid, project_id="p", name="b", flavor=other.flavor)
        beside = await create_instance(store, instance, None)
        pins = [set(c.cpu_pinning.values()) for c in beside.layout.cells]
        assert not set().union(*pins) & {2, 3}
        await delete_instance(store, each.instance.uuid)
        await delete_instance(store, beside.uuid)
        after, left = await get_host(store, "h1")
        assert (after, list(left)) == (HOST.without_use(), [])

    run(main())


# ---- mixed guests, while a host is behind (R17) ----


def test_no_guest_becomes_mixed_by_running_so_while_a_host_is_behind() -> None:
    async def main() -> None:
        old = replace(HOST, name="h2", service_version=1)
        store = await registered(HOST, old)
        whole, mixed = domain("a", "2", "3"), domain("a", "0-1", "3")
        await taken(store, whole)
        for terms, xml in ((REPLACE, mixed), (PLAIN, domain("b", "0-1", "4"))):
            with pytest.raises(Conflict, match=r"mixed guests are refused: .* h2 \(1\)"):
                await taken(store, xml, terms=terms)
        (kept,) = await taken(store, whole)
        assert kept.outcome == "unchanged"

    run(main())


def test_a_guest_that_is_mixed_already_is_followed_though_a_host_is_behind() -> None:
    async def main() -> None:
        store = await registered()
        await taken(store, domain("a", "0-1", "3"))
        await add_host(store, replace(HOST, name="h2", service_version=1).without_use())
        (moved,) = await taken(store, domain("a", "0-1", "4"), terms=REPLACE)
        assert (moved.outcome, str(moved.instance.layout.dedicated_cpus)) == ("updated", "1")

    run(main())
