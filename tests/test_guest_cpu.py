"""A guest is told of the threads of its cores where they are those of cores of the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from mdsvc.instance import PlacedInstance
from mdsvc.libvirt import VirtType, domain_xml
from mdsvc.topology import Arch, Host
from tests.libvirt.checks import parse
from tests.libvirt.guests import DEDICATED, MASK, MIXED, SHARED, host, placed
from tests.strategies import grid, host_of


def topology(guest: PlacedInstance, on: Host | None = None, kind: VirtType = "kvm") -> list[str]:
    found = parse(domain_xml(guest, on or host(), kind)).find("cpu/topology")
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


# ---- what flavor and image wish ----

CORES = "hw:cpu_cores"
SOCKETS = "hw:cpu_sockets"
THREADS = "hw:cpu_threads"
MAX_SOCKETS = "hw:cpu_max_sockets"
ISOLATE = {**DEDICATED, "hw:cpu_thread_policy": "isolate"}
TWO_NODES = {**DEDICATED, "hw:numa_nodes": 2}

WISHES: Mapping[str, tuple[Mapping[str, object], Sequence[int]]] = {
    "all three, as pinned": ({**DEDICATED, SOCKETS: 1, CORES: 4, THREADS: 2}, (1, 4, 2)),
    "sockets alone keep the threads": ({**DEDICATED, SOCKETS: 2}, (2, 2, 2)),
    "no threads shown": ({**DEDICATED, THREADS: 1}, (8, 1, 1)),
    "fewer threads than there are": ({**DEDICATED, SOCKETS: 1, CORES: 8}, (1, 8, 1)),
    "threads that are not there": ({**ISOLATE, SOCKETS: 1, CORES: 4, THREADS: 2}, (1, 8, 1)),
    "threads that are not there, no sockets": ({**ISOLATE, THREADS: 2}, (8, 1, 1)),
    "threads of a mixed guest": ({**MIXED, **MASK, THREADS: 2}, (8, 1, 1)),
    "threads of a guest that floats": ({**SHARED, SOCKETS: 1, THREADS: 2}, (1, 4, 2)),
    "threads over two nodes": (
        {
            **SHARED,
            THREADS: 8,
            "hw:numa_nodes": 2,
            "hw:numa_cpus.0": "0-3",
            "hw:numa_cpus.1": "4-7",
            "hw:numa_mem.0": 2048,
            "hw:numa_mem.1": 2048,
        },
        (8, 1, 1),
    ),
    "a limit on sockets": ({**SHARED, MAX_SOCKETS: 2}, (2, 4, 1)),
    "a limit that is kept already": ({**TWO_NODES, MAX_SOCKETS: 2}, (2, 2, 2)),
    "a limit that no true threads keep": (
        {**ISOLATE, MAX_SOCKETS: 1, "hw:cpu_max_cores": 4},
        (1, 8, 1),
    ),
    "more sockets than nodes": ({**TWO_NODES, SOCKETS: 4}, (4, 1, 2)),
}


@pytest.mark.parametrize(("specs", "expected"), WISHES.values(), ids=WISHES)
def test_a_wish_is_obeyed_as_far_as_its_threads_are_true(
    specs: Mapping[str, object], expected: Sequence[int]
) -> None:
    assert topology(placed(specs)) == list(map(str, expected))


def test_the_image_wishes_too() -> None:
    image = {"properties": {"hw_cpu_sockets": 2, "hw_cpu_max_threads": "1"}}
    assert topology(placed({**DEDICATED, SOCKETS: 1}, image=image)) == ["2", "4", "1"]


@pytest.mark.parametrize(
    ("arch", "kind"), [("s390x", "kvm"), ("s390x", "qemu"), ("ppc64le", "qemu")]
)
def test_where_a_core_has_one_thread_no_more_are_shown(arch: Arch, kind: VirtType) -> None:
    on = replace(host(), arch=arch)
    for specs, expected in (DEDICATED, []), ({**DEDICATED, THREADS: 2}, ["8", "1", "1"]):
        assert topology(placed(specs), on, kind) == expected


def test_a_guest_that_was_stored_with_a_wrong_wish_is_still_written() -> None:
    guest = placed(DEDICATED)
    specs = {**DEDICATED, SOCKETS: "many"}
    stored = replace(guest, flavor=replace(guest.flavor, extra_specs=specs))
    assert topology(stored) == topology(guest) == ["1", "4", "2"]
