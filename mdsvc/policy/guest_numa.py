"""The guest's own NUMA nodes: which vCPUs and how much memory each has (R7, R8)."""

from __future__ import annotations

import msgspec

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.errors import InvalidRequest
from mdsvc.policy import extra_specs as read

MAX_NODES = 128
"""The most NUMA nodes that QEMU gives a guest."""

_NODES = "hw:numa_nodes"


class Nodes(msgspec.Struct, frozen=True):
    """The guest's NUMA nodes, and whether flavor or image asked for them."""

    cpus: tuple[CpuSet, ...]
    memory_mb: tuple[int, ...]
    asked_for: bool

    def deal(self, shared: int) -> CpuSet:
        """Which vCPUs are shared when that many are dealt round-robin over the nodes (R7).

        A full node is passed over; within a node the shared ones stand ahead of the dedicated.
        """
        left = [list(cpus) for cpus in self.cpus]
        dealt: list[int] = []
        while len(dealt) < shared:
            dealt += [cpus.pop(0) for cpus in left if cpus][: shared - len(dealt)]
        return CpuSet.of(dealt)


def nodes(specs: read.Texts, props: read.Texts, vcpus: int, memory_mb: int) -> Nodes:
    """Read ``hw:numa_nodes`` with ``hw:numa_cpus.N`` and ``hw:numa_mem.N``, or divide evenly."""
    key, source = read.either(specs, props, "numa_nodes")
    count = read.integer(source, key, minimum=1) if key in source else None
    if count and count > MAX_NODES:
        raise InvalidRequest(key, source[key], f"a whole number, at most {MAX_NODES}")
    cpu_keys, cpu_source = read.indexed(specs, props, "numa_cpus")
    memory_keys, memory_source = read.indexed(specs, props, "numa_mem")
    if not cpu_keys and not memory_keys:
        _check_even(key, source, count or 1, vcpus, memory_mb)
        return _even(count or 1, vcpus, memory_mb, asked_for=count is not None)
    _check_complete(cpu_keys, cpu_source, count or 1, "numa_cpus")
    _check_complete(memory_keys, memory_source, count or 1, "numa_mem")
    cpus = _cpus(cpu_keys, cpu_source, vcpus)
    return Nodes(cpus, _memory(memory_keys, memory_source, memory_mb), asked_for=True)


def _check_even(key: str, source: read.Texts, count: int, vcpus: int, memory_mb: int) -> None:
    for what, amount in (("vCPUs", vcpus), ("MiB of memory", memory_mb)):
        if amount % count:
            expected = f"a divisor of the flavor's {amount} {what}"
            expected += ", or hw:numa_cpus.N and hw:numa_mem.N"
            raise InvalidRequest(key, source[key], expected)


def _even(count: int, vcpus: int, memory_mb: int, asked_for: bool) -> Nodes:
    size = vcpus // count
    cpus = (CpuSet.of(range(node * size, (node + 1) * size)) for node in range(count))
    return Nodes(tuple(cpus), (memory_mb // count,) * count, asked_for)


def _check_complete(keys: dict[int, str], source: read.Texts, count: int, name: str) -> None:
    for index in range(count):
        if index not in keys:
            raise InvalidRequest(f"hw:{name}.{index}", None, f"a value for each of {count} nodes")
    for index, key in keys.items():
        if index >= count:
            raise InvalidRequest(key, source[key], f"{_NODES} of at least {index + 1} with it")


def _cpus(keys: dict[int, str], source: read.Texts, vcpus: int) -> tuple[CpuSet, ...]:
    everything, seen, nodes = CpuSet.first(vcpus), EMPTY, []
    for index in sorted(keys):
        cpus = read.cpus(source, keys[index], everything)
        if cpus & seen:
            expected = f"each vCPU on one node, but {cpus & seen} is on an earlier one too"
            raise InvalidRequest(keys[index], source[keys[index]], expected)
        seen |= cpus
        nodes.append(cpus)
    if seen != everything:
        key = keys[max(keys)]
        raise InvalidRequest(key, source[key], f"vCPUs {everything - seen} on some node as well")
    return tuple(nodes)


def _memory(keys: dict[int, str], source: read.Texts, memory_mb: int) -> tuple[int, ...]:
    memory = tuple(read.integer(source, keys[index], minimum=1) for index in sorted(keys))
    if sum(memory) != memory_mb:
        key = keys[max(keys)]
        expected = f"all nodes to add up to the flavor's {memory_mb} MiB, not to {sum(memory)}"
        raise InvalidRequest(key, source[key], expected)
    return memory
