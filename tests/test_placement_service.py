"""R16: what a request and a host are to OpenStack's Placement service."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given

from mdsvc.errors import DoesNotFit
from mdsvc.forms import from_builtins
from mdsvc.layout import fit
from mdsvc.placing import placement_service, usage
from mdsvc.placing.candidates import candidates
from mdsvc.policy.extra_specs import texts
from mdsvc.policy.flavor import Flavor, request
from mdsvc.policy.resource_keys import resource_keys
from mdsvc.topology import Host
from tests.reference.generate import Case
from tests.strategies import QUICK, all_cases, asked, grid, host_of, read_row, request_of

# ---- the request ----

# The claim; extra specs and image properties as in test_flavor.py, to a flavor of 8 vCPUs and
# 512 MiB; and the query's `resources` and `required`.
REQUESTS = """
nothing asked for | | | VCPU:8,MEMORY_MB:512
shared | cpu_policy=shared | | VCPU:8,MEMORY_MB:512
shared by the image | | cpu_policy=shared | VCPU:8,MEMORY_MB:512
shared without a topology, emulator share | cpu_policy=shared share | | VCPU:8,MEMORY_MB:512
shared on two nodes | numa_nodes=2 | | VCPU:8,MEMORY_MB:512
shared by resources | resources:VCPU=8 | | VCPU:8,MEMORY_MB:512
dedicated | dedicated | | PCPU:8,MEMORY_MB:512
dedicated by the image | | cpu_policy=dedicated | PCPU:8,MEMORY_MB:512
dedicated on two nodes | dedicated numa_nodes=2 | | PCPU:8,MEMORY_MB:512
dedicated by resources | resources:PCPU=8 | | PCPU:8,MEMORY_MB:512
emulator share costs nothing | dedicated share | | PCPU:8,MEMORY_MB:512
emulator isolate: one more | dedicated isolate | | PCPU:9,MEMORY_MB:512
emulator isolate: one, not one a node | dedicated isolate numa_nodes=2 | | PCPU:9,MEMORY_MB:512
emulator isolate by resources | resources:PCPU=9 isolate | | PCPU:9,MEMORY_MB:512
mixed by mask | mixed cpu_dedicated_mask=^0-2 | | PCPU:5,VCPU:3,MEMORY_MB:512
mixed by mask, by the image | cpu_dedicated_mask=1 | mixed | PCPU:1,VCPU:7,MEMORY_MB:512
mixed by realtime | mixed realtime cpu_realtime_mask=6-7 | | PCPU:2,VCPU:6,MEMORY_MB:512
mixed by resources | resources:VCPU=3 resources:PCPU=5 numa_nodes=2 | | PCPU:5,VCPU:3,MEMORY_MB:512
mixed, emulator isolate | mixed mask isolate | | PCPU:5,VCPU:4,MEMORY_MB:512
mixed by resources, emulator isolate | resources:VCPU=3 resources:PCPU=6 isolate | | PCPU:6,VCPU:3,MEMORY_MB:512
require | dedicated cpu_thread_policy=require | | PCPU:8,MEMORY_MB:512 HW_CPU_HYPERTHREADING
require by the image | dedicated | cpu_thread_policy=require | PCPU:8,MEMORY_MB:512 HW_CPU_HYPERTHREADING
require by the trait | dedicated trait:HW_CPU_HYPERTHREADING=required | | PCPU:8,MEMORY_MB:512 HW_CPU_HYPERTHREADING
require, mixed, emulator isolate | mixed mask isolate cpu_thread_policy=require | | PCPU:5,VCPU:4,MEMORY_MB:512 HW_CPU_HYPERTHREADING
prefer needs no trait | dedicated cpu_thread_policy=prefer | | PCPU:8,MEMORY_MB:512
isolate needs no trait, and forbids none | dedicated cpu_thread_policy=isolate | | PCPU:8,MEMORY_MB:512
isolate by the trait | dedicated trait:HW_CPU_HYPERTHREADING=forbidden | | PCPU:8,MEMORY_MB:512
pages are no resource class | dedicated mem_page_size=2MB | | PCPU:8,MEMORY_MB:512
""".strip().splitlines()  # noqa: E501 - one row, one line


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row.partition(" |")[0])
def test_a_request_is_amounts_and_traits(row: str) -> None:
    _, specs, props, expected = read_row(row)
    wanted = asked(specs, props)
    resources, *required = expected.split()
    amounts = dict(part.split(":") for part in resources.split(","))
    assert placement_service.resources(wanted) == {name: int(n) for name, n in amounts.items()}
    assert placement_service.traits(wanted) == required
    query = f"/allocation_candidates?resources={resources}"
    query += "".join(f"&required={trait}" for trait in required)
    assert candidates(wanted, resource_keys(specs, props)).query == query


@QUICK
@given(all_cases())
def test_the_query_says_what_resources_and_traits_say(case: Case) -> None:
    """Its groups together, as granular ones are summed (R3)."""
    wanted = request_of(case[1], case[2])
    specs = texts(case[1].get("extra_specs", {})) | {"group_policy": "none"}
    props = texts((case[2] or {}).get("properties", {}))
    asked_for = candidates(wanted, resource_keys(specs, props))
    assert asked_for.resources == placement_service.resources(wanted)
    assert asked_for.required == placement_service.traits(wanted)
    url = urlsplit(asked_for.query)
    query = parse_qs(url.query, strict_parsing=True)
    assert (url.path, url.netloc) == ("/allocation_candidates", "")
    kinds: dict[str, list[str]] = {"resources": [], "required": [], "group_policy": []}
    for field, [value] in query.items():
        kind = next(kind for kind in kinds if field.startswith(kind))
        kinds[kind] += value.split(",")
    totals = dict.fromkeys(asked_for.resources, 0)
    for name, _, amount in (text.partition(":") for text in kinds["resources"]):
        totals[name] += int(amount)
    assert totals == asked_for.resources
    assert (kinds["required"], kinds["group_policy"]) == (asked_for.required, ["none"])


@QUICK
@given(all_cases())
def test_each_vcpu_is_asked_for_once(case: Case) -> None:
    wanted = request_of(case[1], case[2])
    amounts = placement_service.resources(wanted)
    assert amounts.get("PCPU", 0) + amounts.get("VCPU", 0) == (
        wanted.vcpus + (wanted.emulator_threads_policy == "isolate")
    )
    assert amounts.get("PCPU", 0) >= len(wanted.dedicated)
    assert amounts["MEMORY_MB"] == wanted.memory_mb
    assert 0 not in amounts.values()


# ---- the host ----


def host(**more: Any) -> Host:
    """Two cells of four cores of two threads, the first core of each shared."""
    return host_of(grid(2, 4, 2, 1, cpu_allocation_ratio=4.0, ram_allocation_ratio=1.5) | more)


def inventory(total: int, ratio: float = 1.0) -> dict[str, Any]:
    more = {"reserved": 0, "min_unit": 1, "step_size": 1}
    return {"total": total, "max_unit": total, "allocation_ratio": ratio, **more}


def test_a_host_is_inventories() -> None:
    assert placement_service.inventories(host()) == {
        "PCPU": inventory(12),
        "VCPU": inventory(4, 4.0),
        "MEMORY_MB": inventory(32768, 1.5),
    }


def test_a_class_of_which_a_host_has_nothing_is_left_out() -> None:
    only = {"PCPU": inventory(16), "MEMORY_MB": inventory(32768, 1.5)}
    dedicated = host(cpu_shared_set="", cpu_dedicated_set="0-15")
    assert placement_service.inventories(dedicated) == only
    assert placement_service.usages(dedicated).keys() == only.keys()
    shared = host(cpu_shared_set="0", cpu_dedicated_set="")
    assert placement_service.inventories(shared).keys() == {"VCPU", "MEMORY_MB"}


def test_inventories_do_not_depend_on_use() -> None:
    form = grid(2, 4, 2, 1)
    form["cells"][0] |= {"pinned": "2-5", "shared_used": 3, "memory_used_mb": 512}
    assert placement_service.inventories(host_of(form)) == placement_service.inventories(
        host_of(grid(2, 4, 2, 1))
    )


HYPERTHREADING = {
    "cores of two threads": (grid(1, 4, 2), True),
    "cores of one thread": (grid(1, 4), False),
    "one core of two threads is enough": (
        grid(2, 4) | {"cells": [grid(1, 4, 2)["cells"][0], grid(2, 8)["cells"][1]]},
        True,
    ),
    "cores of which one thread is dedicated": (
        grid(1, 4, 2) | {"cpu_dedicated_set": "0,2,4,6", "cpu_shared_set": "1,3,5,7"},
        False,
    ),
    "cores that reach into another cell": (
        grid(1, 4) | {"cells": [grid(1, 4)["cells"][0] | {"split": "0-3"}]},
        False,
    ),
    "nothing is dedicated": (grid(1, 4, 2, 4), False),
    "all is pinned": (
        grid(1, 4, 2) | {"cells": [grid(1, 4, 2)["cells"][0] | {"pinned": "0-7"}]},
        True,
    ),
}


@pytest.mark.parametrize(("form", "has"), HYPERTHREADING.values(), ids=HYPERTHREADING)
def test_a_host_has_the_trait_where_dedicated_vcpus_can_be_siblings(
    form: dict[str, Any], has: bool
) -> None:
    assert placement_service.host_traits(host_of(form)) == ["HW_CPU_HYPERTHREADING"] * has


# ---- usages ----

# The claim; extra specs, to a flavor of 4 vCPUs and 512 MiB; and what the guest adds.
USAGES = """
floating | | | PCPU:0,VCPU:4,MEMORY_MB:512
shared in a cell | numa_nodes=2 | | PCPU:0,VCPU:4,MEMORY_MB:512
dedicated | dedicated | | PCPU:4,VCPU:0,MEMORY_MB:512
dedicated, emulator isolate | dedicated isolate | | PCPU:5,VCPU:0,MEMORY_MB:512
require | dedicated cpu_thread_policy=require numa_nodes=2 | | PCPU:4,VCPU:0,MEMORY_MB:512
mixed | mixed cpu_dedicated_mask=0-2 | | PCPU:3,VCPU:1,MEMORY_MB:512
mixed, emulator isolate | mixed cpu_dedicated_mask=0-2 isolate | | PCPU:4,VCPU:1,MEMORY_MB:512
isolate keeps the other threads | mixed cpu_dedicated_mask=2-3 cpu_thread_policy=isolate | | PCPU:4,VCPU:2,MEMORY_MB:512
isolate, and the emulator's too | mixed cpu_dedicated_mask=2-3 cpu_thread_policy=isolate isolate | | PCPU:6,VCPU:2,MEMORY_MB:512
""".strip().splitlines()  # noqa: E501 - one row, one line


@pytest.mark.parametrize("row", USAGES, ids=lambda row: row.partition(" |")[0])
def test_usages_follow_the_guests_that_come_and_leave(row: str) -> None:
    _, specs, _, expected = read_row(row)
    flavor = Flavor(vcpus=4, memory_mb=512, extra_specs=specs)
    first = Flavor(vcpus=3, memory_mb=100, extra_specs={"hw:cpu_policy": "dedicated"})
    empty = host()
    busy = usage.place(empty, fit(empty, request(first)), first)
    before = placement_service.usages(busy)
    assert before == {"PCPU": 3, "VCPU": 0, "MEMORY_MB": 100}
    layout = fit(busy, request(flavor))
    placed = usage.place(busy, layout, flavor)
    added = dict(part.split(":") for part in expected.split(","))
    assert placement_service.usages(placed) == {
        name: before[name] + int(n) for name, n in added.items()
    }
    assert placement_service.inventories(placed) == placement_service.inventories(busy)
    assert placement_service.usages(usage.remove(placed, layout, flavor)) == before


@QUICK
@given(all_cases())
def test_a_guest_uses_what_it_asked_for_or_more(case: Case) -> None:
    """More only with `isolate`, which keeps whole cores; and never more than there is."""
    form, flavor_form, image, _ = case
    before, flavor = host_of(form), from_builtins(flavor_form, Flavor)
    wanted = request_of(flavor_form, image)
    try:
        layout = fit(before, wanted)
    except DoesNotFit:
        return
    after = usage.place(before, layout, flavor)
    old, new, asked_for = (
        placement_service.usages(before),
        placement_service.usages(after),
        placement_service.resources(wanted),
    )
    for name, most in placement_service.inventories(after).items():
        grown = new[name] - old[name]
        exact = name != "PCPU" or wanted.cpu_thread_policy != "isolate"
        assert grown == asked_for.get(name, 0) if exact else grown >= asked_for[name]
        assert asked_for.get(name, 0) <= most["max_unit"]
        assert name != "PCPU" or new[name] <= most["total"]
    assert asked_for.keys() <= placement_service.inventories(before).keys()
    assert set(placement_service.traits(wanted)) <= set(placement_service.host_traits(before))
    assert placement_service.usages(usage.remove(after, layout, flavor)) == old
