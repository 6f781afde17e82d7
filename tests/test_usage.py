"""What placed guests use of a host: streams of arrivals and departures keep it sound."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.errors import DoesNotFit, InvalidRequest
from mdsvc.forms import from_builtins, from_json, to_builtins, to_json
from mdsvc.layout import Layout, fit
from mdsvc.placing.usage import place, remove, taken
from mdsvc.policy.flavor import Flavor, request
from mdsvc.topology import Host
from tests.reference.checker import check
from tests.reference.facts import Json
from tests.reference.generate import Case
from tests.strategies import QUICK, THOROUGH, all_cases, grid, host_of, plain, request_of

Placed = list[tuple[Layout, Flavor]]


@THOROUGH
@given(all_cases())
def test_placing_and_removing_is_the_identity(case: Case) -> None:
    form, flavor_form, image, _ = case
    host, flavor = host_of(form), from_builtins(flavor_form, Flavor)
    try:
        layout = fit(host, request_of(flavor_form, image))
    except DoesNotFit:
        return
    before = to_builtins(host)
    after = place(host, layout, flavor)
    assert remove(after, layout, flavor) == host
    assert to_builtins(host) == before, "a change returns a new value"
    assert from_json(to_json(after), Host) == after, "what is stored can be read again"
    assert after != host


def random_flavor(random: Random) -> Json:
    """Any guest of up to eight vCPUs, some of them impossible."""
    policy = random.choice(["dedicated", "dedicated", "mixed", "shared"])
    vcpus, nodes = random.randint(1, 8), random.choice([1, 1, 2])
    specs: Json = {"hw:cpu_policy": policy}
    if policy == "mixed":
        specs["hw:cpu_dedicated_mask"] = f"^0-{random.randint(0, vcpus)}"
    if policy != "shared" and random.random() < 0.5:
        specs["hw:cpu_thread_policy"] = random.choice(["prefer", "isolate", "require"])
    if policy != "shared" and random.random() < 0.4:
        specs["hw:emulator_threads_policy"] = "isolate"
    if policy != "shared" or random.random() < 0.5:
        specs["hw:numa_nodes"] = nodes
    if random.random() < 0.3:
        specs["hw:mem_page_size"] = random.choice(["small", "large", "any"])
    return {"vcpus": vcpus, "memory_mb": 2 * random.randint(1, 300), "extra_specs": specs}


def random_host(random: Random) -> Json:
    """A host with pages; its threads are shared and dedicated by whole cores or by halves."""
    host = grid(2, 8, threads=random.choice([1, 2, 4]), shared=2)
    host |= {"cpu_allocation_ratio": 2.0, "ram_allocation_ratio": 1.5}
    host["packing"] = random.choice(["spread", "pack"])
    for cell in host["cells"]:
        cell["memory_mb"] = 1024
        cell["pages"] = [{"size_kb": 4, "total": 131072}, {"size_kb": 2048, "total": 256}]
    return host


@QUICK
@given(st.integers(0, 2**32))
def test_a_stream_of_guests_keeps_the_host_sound(seed: int) -> None:
    random = Random(seed)
    host = empty = host_of(random_host(random))
    placed: Placed = []
    for _ in range(40):
        if placed and random.random() < 0.35:
            layout, flavor = placed.pop(random.randrange(len(placed)))
            host = remove(host, layout, flavor)
        else:
            host = arrived(host, random_flavor(random), placed)
        check_sound(host, empty, placed)
    for layout, flavor in placed:
        host = remove(host, layout, flavor)
    assert host == empty, "nothing is left behind"


def arrived(host: Host, form: Json, placed: Placed) -> Host:
    """The host with the guest, where it takes it; the layout is sound beside the others."""
    flavor = from_builtins(form, Flavor)
    try:
        wanted = request(flavor)
        layout = fit(host, wanted)
    except (InvalidRequest, DoesNotFit):
        return host
    if wanted.cells:
        assert check(json.loads(to_json(host)), plain(wanted), json.loads(to_json(layout))) == []
    placed.append((layout, flavor))
    return place(host, layout, flavor)


def check_sound(host: Host, empty: Host, placed: Placed) -> None:
    """What all guests together use, reckoned anew from their layouts."""
    for cell, bare in zip(host.cells, empty.cells, strict=True):
        mine = [(c, lay) for lay, _ in placed for c in lay.cells if c.host_cell == cell.id]
        alone = [pcpu for used, layout in mine for pcpu in taken(cell, used, layout)]
        assert len(alone) == len(set(alone)), "a pCPU is given twice"
        assert sorted(alone) == list(cell.pinned)
        assert cell.pinned <= host.dedicated(cell)
        assert cell.shared_used == sum(len(used.cpuset) for used, _ in mine)
        assert cell.shared_used <= len(host.shared(cell)) * host.cpu_allocation_ratio
        assert cell.memory_used_mb == sum(used.memory_mb for used, _ in mine)
        for has in cell.pools:
            assert has.used_kb <= host.limit_kb(has, overcommits=True)
        in_base = sum(u.memory_mb for u, _ in mine if u.pagesize_kb in (None, 4))
        assert cell.base.used_kb == in_base * 1024, "which needs no use of its own for this"
        for pool, before in zip(cell.pages, bare.pages, strict=True):
            held = sum(u.memory_mb for u, _ in mine if u.pagesize_kb == pool.size_kb)
            assert pool.used == held * 1024 // pool.size_kb
            assert pool.used <= pool.total == before.total
    floating = [flavor for layout, flavor in placed if not layout.cells]
    assert host.floating_vcpus == sum(flavor.vcpus for flavor in floating)
    assert host.floating_memory_mb == sum(flavor.memory_mb for flavor in floating)
    shared = sum(cell.shared_used for cell in host.cells) + host.floating_vcpus
    assert shared <= len(host.cpu_shared_set) * host.cpu_allocation_ratio
    assert host.base_left_kb(overcommits=True) >= 0


def placed_on(form: Json, flavor_form: Json) -> tuple[Host, Layout]:
    host, flavor = host_of(form), from_builtins(flavor_form, Flavor)
    layout = fit(host, request(flavor))
    return place(host, layout, flavor), layout


def dedicated(vcpus: int, **specs: str) -> Json:
    extra = {"hw:cpu_policy": "dedicated", **{f"hw:{key}": text for key, text in specs.items()}}
    return {"vcpus": vcpus, "memory_mb": 2, "extra_specs": extra}


@pytest.mark.parametrize(
    ("specs", "pinned"),
    [
        ({}, "0-1"),
        ({"cpu_thread_policy": "isolate"}, "0-3"),
        ({"emulator_threads_policy": "isolate"}, "0-2"),
        ({"cpu_thread_policy": "isolate", "emulator_threads_policy": "isolate"}, "0-5"),
    ],
)
def test_isolate_keeps_the_cores_other_threads_from_everybody(
    specs: dict[str, str], pinned: str
) -> None:
    host, layout = placed_on(grid(1, 4, threads=2), dedicated(2, **specs))
    assert str(host.cells[0].pinned) == pinned
    assert len(layout.cells[0].cpu_pinning) == 2


def test_a_guest_without_numa_topology_uses_the_host_as_a_whole() -> None:
    host, layout = placed_on(grid(2, 4, shared=2), {"vcpus": 3, "memory_mb": 5})
    assert layout.cells == ()
    assert (host.floating_vcpus, host.floating_memory_mb) == (3, 5)
    assert host.cells == host_of(grid(2, 4, shared=2)).cells


def test_r15_dedicated_guests_get_no_memory_that_floating_guests_overcommit() -> None:
    """1.5 GiB of guests float over 1 GiB, as the ratio lets them: nothing is left to pin."""
    form = grid(1, 4, shared=2, ram_allocation_ratio=2.0)
    form["cells"][0]["memory_mb"] = 1024
    host = host_of(form)
    for _ in range(2):
        floating = from_builtins({"vcpus": 1, "memory_mb": 768}, Flavor)
        host = place(host, fit(host, request(floating)), floating)
    assert host.floating_memory_mb == 1536
    with pytest.raises(DoesNotFit, match="needs 2 MiB of memory, 0 there, 2 short"):
        fit(host, request(from_builtins(dedicated(1), Flavor)))
    shared = {"vcpus": 1, "memory_mb": 512, "extra_specs": {"hw:numa_nodes": 1}}
    assert fit(host, request(from_builtins(shared, Flavor))).cells
