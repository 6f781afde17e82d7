"""A guest is told of the threads of its cores where they are those of cores of the host."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mdsvc.instance import PlacedInstance
from mdsvc.libvirt import domain_xml
from mdsvc.topology import Host
from tests.libvirt.checks import parse
from tests.libvirt.guests import DEDICATED, MASK, MIXED, SHARED, host, placed
from tests.strategies import grid, host_of


def topology(guest: PlacedInstance, on: Host | None = None) -> list[str]:
    found = parse(domain_xml(guest, on or host())).find("cpu/topology")
    return [] if found is None else [found.attrib[n] for n in ("sockets", "cores", "threads")]


@pytest.mark.parametrize("threads", [None, "prefer", "require"])
@pytest.mark.parametrize(("cells", "expected"), [(1, ["1", "4", "2"]), (2, ["2", "2", "2"])])
def test_a_guest_on_whole_cores_knows_their_threads(
    threads: str | None, cells: int, expected: list[str]
) -> None:
    policy = {"hw:cpu_thread_policy": threads} if threads else {}
    assert topology(placed({**DEDICATED, **policy, "hw:numa_nodes": cells})) == expected


def test_four_threads_of_a_core_are_four_of_the_guest() -> None:
    on = host_of(grid(1, 4, 4))
    assert topology(placed(DEDICATED, on), on) == ["1", "2", "4"]


@pytest.mark.parametrize(
    "specs",
    [
        {**DEDICATED, "hw:cpu_thread_policy": "isolate"},
        {**MIXED, **MASK},
        {**MIXED, "hw:cpu_dedicated_mask": "2-5"},
        {**SHARED, "hw:numa_nodes": 1},
        SHARED,
        {
            **DEDICATED,
            "hw:numa_nodes": 2,
            "hw:numa_cpus.0": "0-1",
            "hw:numa_cpus.1": "2-7",
            "hw:numa_mem.0": 1024,
            "hw:numa_mem.1": 3072,
        },
    ],
    ids=["isolate", "mixed", "mixed in pairs", "shared", "no topology", "uneven cells"],
)
def test_a_guest_that_has_no_cores_of_the_host_is_told_of_none(specs: Mapping[str, object]) -> None:
    assert topology(placed(specs)) == []


def test_an_odd_vcpu_has_no_core() -> None:
    odd = {"vcpus": 5, "memory_mb": 512, "extra_specs": DEDICATED}
    assert topology(placed({}, flavor=odd)) == []
