"""Guest NUMA nodes (R8), and shared and dedicated vCPUs dealt over them (R7)."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import CpuSet
from mdsvc.errors import InvalidRequest
from mdsvc.policy.guest_numa import MAX_NODES, Nodes, nodes
from tests.strategies import QUICK, asked, read_row, shown_request

TWO = "numa_nodes=2 numa_cpus.0=0-3 numa_cpus.1=4-7"
TWO_MEM = "numa_mem.0=256 numa_mem.1=256"

# ---- what is granted, to a flavor of 8 vCPUs and 512 MiB ----

# The columns are those of `test_flavor.py`.
GRANTED = f"""
R7 the seed's | numa_nodes=2 resources:VCPU=3 resources:PCPU=5 | | shared=0-1/4 dedicated=2-3/5-7
R7 described | {TWO} {TWO_MEM} resources:VCPU=3 resources:PCPU=5 | | shared=0-1/4 dedicated=2-3/5-7
R7 one node  | resources:VCPU=3 resources:PCPU=5 | | shared=0-2 dedicated=3-7
R7 fewer than nodes | numa_nodes=4 resources:VCPU=2 resources:PCPU=6 | | shared=0/2//
R7 a node of shared ones | numa_nodes=4 resources:VCPU=5 resources:PCPU=3 | | dedicated=/3/5/7
R8 even      | dedicated numa_nodes=4 | | dedicated=0-1/2-3/4-5/6-7 memory=128/128/128/128
R8 each vCPU | dedicated numa_nodes=8 | | dedicated=0/1/2/3/4/5/6/7
R8 described | dedicated {TWO} {TWO_MEM} | | dedicated=0-3/4-7 memory=256/256
R8 one node  | dedicated numa_cpus.0=0-7 numa_mem.0=512 | | dedicated=0-7 memory=512
R8 shared    | {TWO} {TWO_MEM} | | cpu_policy=shared shared=0-3/4-7
R8 by image  | dedicated | {TWO} {TWO_MEM} | dedicated=0-3/4-7
R8 all but   | numa_nodes=2 numa_cpus.0=7,^1 numa_cpus.1=^7 {TWO_MEM} | | shared=7/0-6
"""


@pytest.mark.parametrize("row", GRANTED.strip().splitlines(), ids=str)
def test_what_is_granted(row: str) -> None:
    _, specs, props, expected = read_row(row)
    found = shown_request(asked(specs, props))
    wanted = dict(pair.split("=") for pair in expected.split())
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("memory", "cells"), [(["128", "384"], ["0-1", "3-6"]), (["511", "1"], ["0-1", "3-6"])]
)
def test_the_seeds_example_of_two_nodes(memory: list[str], cells: list[str]) -> None:
    specs = {
        "hw:cpu_policy": "mixed",
        "hw:cpu_dedicated_mask": "2,7",
        "hw:numa_nodes": "2",
        "hw:numa_cpus.0": "0-2",
        "hw:numa_cpus.1": "3-7",
        "hw:numa_mem.0": memory[0],
        "hw:numa_mem.1": memory[1],
    }
    found = asked(specs)
    assert [str(cell.shared) for cell in found.cells] == cells
    assert [str(cell.dedicated) for cell in found.cells] == ["2", "7"]
    assert [str(cell.memory_mb) for cell in found.cells] == memory


# ---- what is refused ----

REFUSED = f"""
3 | numa_nodes=3 | | hw:numa_nodes | a divisor of the flavor's 8 vCPUs, or hw:numa_cpus.N and
16 | numa_nodes=16 | | hw:numa_nodes | a divisor of the flavor's 8 vCPUs
0 | numa_nodes=0 | | hw:numa_nodes | a whole number, at least 1
-1 | numa_nodes=-1 | | hw:numa_nodes | a whole number, at least 1
1.5 | numa_nodes=1.5 | | hw:numa_nodes | a whole number, at least 1
129 | numa_nodes=129 | | hw:numa_nodes | a whole number, at most 128
129 | numa_nodes=129 {TWO_MEM} | | hw:numa_nodes | a whole number, at most 128
huge | | numa_nodes=999999999999999 | hw_numa_nodes | a whole number, at most 128
both | numa_nodes=2 | numa_nodes=2 | hw_numa_nodes | nothing, as the flavor has hw:numa_nodes
both | {TWO} {TWO_MEM} | numa_cpus.0=0-3 | hw_numa_cpus.0 | nothing, as the flavor has hw:numa_cpus
both | {TWO} {TWO_MEM} | numa_mem.1=9 | hw_numa_mem.1 | nothing, as the flavor has hw:numa_mem
no mem | {TWO} | | hw:numa_mem.0 | a value for each of 2 nodes
one mem | {TWO} numa_mem.0=512 | | hw:numa_mem.1 | a value for each of 2 nodes
no cpus | numa_nodes=2 {TWO_MEM} | | hw:numa_cpus.0 | a value for each of 2 nodes
less | {TWO} numa_mem.0=256 numa_mem.1=255 | | hw:numa_mem.1 | the flavor's 512 MiB, not to 511
more | {TWO} numa_mem.0=512 numa_mem.1=1 | | hw:numa_mem.1 | the flavor's 512 MiB, not to 513
zero | {TWO} numa_mem.0=512 numa_mem.1=0 | | hw:numa_mem.1 | a whole number, at least 1
mem | {TWO} numa_mem.0=512M numa_mem.1=0 | | hw:numa_mem.0 | a whole number, at least 1
twice | numa_nodes=2 numa_cpus.0=0-4 numa_cpus.1=4-7 {TWO_MEM} | | hw:numa_cpus.1 | but 4 is on an
left | numa_nodes=2 numa_cpus.0=0-3 numa_cpus.1=4-6 {TWO_MEM} | | hw:numa_cpus.1 | 7 on some node
stray | numa_nodes=2 numa_cpus.0=0-3 numa_cpus.1=4-8 {TWO_MEM} | | hw:numa_cpus.1 | out of 0-7
none | numa_nodes=2 numa_cpus.0=0-7 numa_cpus.1= {TWO_MEM} | | hw:numa_cpus.1 | out of 0-7
nodes | numa_cpus.0=0-3 numa_cpus.1=4-7 {TWO_MEM} | | hw:numa_cpus.1 | hw:numa_nodes of at least 2
nodes | {TWO} {TWO_MEM} numa_mem.7=9 | | hw:numa_mem.7 | hw:numa_nodes of at least 8
nodes | {TWO} {TWO_MEM} numa_cpus.9999=0 | | hw:numa_cpus.9999 | hw:numa_nodes of at least 10000
"""


@pytest.mark.parametrize("row", REFUSED.strip().splitlines(), ids=str)
def test_what_is_refused_names_the_key(row: str) -> None:
    _, specs, props, key_and_words = read_row(row)
    key, words = key_and_words.split(" | ")
    with pytest.raises(InvalidRequest) as error:
        asked(specs, props)
    assert error.value.key == key
    value = {**specs, **props}.get(key)
    given = f"{key} is not set" if value is None else f"{key}={value!r}"
    assert str(error.value).startswith(f"{given}: expected ")
    assert words in str(error.value)


def test_uneven_memory_names_the_memory() -> None:
    with pytest.raises(InvalidRequest, match="a divisor of the flavor's 511 MiB of memory"):
        asked({"hw:numa_nodes": 2}, memory_mb=511)


def test_as_many_nodes_as_qemu_gives() -> None:
    found = nodes({"hw:numa_nodes": str(MAX_NODES)}, {}, 4096, 4096)
    assert len(found.cpus) == MAX_NODES == 128
    assert set(found.memory_mb) == {32}


# ---- dealing ----


def dealt_in_turn(sizes: list[int], shared: int) -> list[int]:
    """How many each node gets when they are dealt one by one to those with room left."""
    counts = [0] * len(sizes)
    for node in cycle(range(len(sizes))):
        if sum(counts) == shared:
            return counts
        counts[node] += counts[node] < sizes[node]
    return []


@QUICK
@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.randoms(), st.data())
def test_r7_dealing_goes_in_turn_and_takes_a_nodes_lowest(
    sizes: list[int], random: object, data: st.DataObject
) -> None:
    vcpus = list(range(sum(sizes)))
    random.shuffle(vcpus)  # type: ignore[attr-defined]  # hypothesis gives a Random
    split = [CpuSet.of([vcpus.pop() for _ in range(size)]) for size in sizes]
    shared = data.draw(st.integers(0, sum(sizes)))
    dealt = Nodes(tuple(split), (1,) * len(sizes), asked_for=True).deal(shared)
    for cpus, count in zip(split, dealt_in_turn(sizes, shared), strict=True):
        assert list(cpus & dealt) == list(cpus)[:count]


@QUICK
@given(st.integers(1, 4), st.integers(1, 4), st.data(), st.booleans())
def test_r3_r7_the_counts_are_those_asked_for(
    count: int, size: int, data: st.DataObject, isolate: bool
) -> None:
    vcpus = count * size
    shared = data.draw(st.integers(0, vcpus - 1))
    specs = {"hw:numa_nodes": count, "resources:VCPU": shared}
    specs["resources:PCPU"] = vcpus - shared + isolate
    emulator = {"hw:emulator_threads_policy": "isolate"} if isolate else {}
    wanted = asked({**specs, **emulator}, vcpus=vcpus, memory_mb=count)
    assert [len(cell.shared) for cell in wanted.cells] == dealt_in_turn([size] * count, shared)
    assert wanted.isolated_emulator is isolate
