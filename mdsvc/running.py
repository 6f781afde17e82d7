"""A guest as its machine runs it: where each of its threads may be, whoever placed it. Pure.

That is what a domain's XML says (``discovery.domains``), or what Nova's API does. Nothing here is
taken from the books, so it can be compared with them (``placing.as_it_runs``), and with other
guests of the same host (``auditing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import msgspec

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.errors import MdsvcError
from mdsvc.policy.flavor import Flavor, Image, Request, request


class RunningCell(msgspec.Struct, frozen=True, kw_only=True):
    """One guest NUMA node: its vCPUs, its memory in MiB, and the host cells that alone may hold
    that (None: nothing says so). ``pagesize_kb`` is that of its huge pages; None without them, and
    0 for huge pages of the host's default size.
    """

    id: int
    vcpus: CpuSet
    memory_mb: int
    strict_nodes: CpuSet | None = None
    pagesize_kb: int | None = None


class RunningPort(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface, with the addresses that are told beside it."""

    network: str | None = None
    mac: str | None = None
    ips: tuple[str, ...] = ()


class RunningGuest(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What is known of a running guest. ``pins`` has the pCPUs of those vCPUs that are told; the
    others, like emulator and I/O threads that are not, are on ``floats``, where None is every pCPU
    of the host.

    ``unplugged``: those vCPUs that no thread runs until somebody plugs them in. ``flavor`` and
    ``image`` are what the domain's metadata says of them: None and without properties where it says
    nothing.
    """

    uuid: str
    name: str
    vcpus: int
    memory_mb: int
    unplugged: CpuSet = EMPTY
    pins: Mapping[int, CpuSet] = {}
    floats: CpuSet | None = None
    emulator: CpuSet | None = None
    iothreads: tuple[CpuSet | None, ...] = ()
    realtime: CpuSet = EMPTY
    cells: tuple[RunningCell, ...] = ()
    strict_nodes: CpuSet | None = None
    pagesize_kb: int | None = None
    flavor: Flavor | None = None
    image: Image = Image()
    project_id: str | None = None
    ports: tuple[RunningPort, ...] = ()

    @property
    def all_vcpus(self) -> CpuSet:
        """Every vCPU."""
        return CpuSet.first(self.vcpus)

    @property
    def nodes(self) -> tuple[RunningCell, ...]:
        """Its NUMA nodes; where it sees none, all of it as one."""
        whole = RunningCell(
            id=0,
            vcpus=self.all_vcpus,
            memory_mb=self.memory_mb,
            strict_nodes=self.strict_nodes,
            pagesize_kb=self.pagesize_kb,
        )
        return self.cells or (whole,)

    def pcpus(self, vcpu: int) -> CpuSet | None:
        """The pCPUs that a vCPU may run on; None is all."""
        return self.pins.get(vcpu, self.floats)

    @cached_property
    def asked(self) -> Request | None:
        """What flavor and image ask for; None where the metadata does not tell, or asks for what
        cannot be.
        """
        if self.flavor is None:
            return None
        try:
            return request(self.flavor, self.image)
        except MdsvcError:
            return None

    @property
    def single_pins(self) -> Mapping[int, int]:
        """The vCPUs that may run on one pCPU only: that is no proof yet that they are dedicated."""
        return {vcpu: next(iter(pcpus)) for vcpu, pcpus in self.pins.items() if len(pcpus) == 1}

    def pinned(self, shared: CpuSet | None, dedicated: CpuSet | None) -> Mapping[int, int]:
        """The dedicated vCPUs and the pCPU of each, on a host with these sets (None: not known).

        A vCPU is dedicated when it may run on one pCPU only, and flavor and image say that it is,
        or, where these say nothing, that pCPU is dedicated. Nova pins the shared vCPU of a mixed
        guest to one pCPU too, where its cell has just one that is shared.
        """
        single = self.single_pins
        if self.asked is not None:
            return {vcpu: pcpu for vcpu, pcpu in single.items() if vcpu in self.asked.dedicated}
        if dedicated is not None:
            return {vcpu: pcpu for vcpu, pcpu in single.items() if pcpu in dedicated}
        return {vcpu: pcpu for vcpu, pcpu in single.items() if pcpu not in (shared or EMPTY)}


def anywhere(sets: list[CpuSet | None]) -> CpuSet | None:
    """All pCPUs of these sets together; None, which is every one, where one of them is."""
    known = [cpus for cpus in sets if cpus is not None]
    return union(known) if len(known) == len(sets) else None
