"""Memory: what is booked of each node, and whether it is where the CPUs are (R15)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mdsvc.auditing.facts import Facts, Fault, are, by_guest, listed, named
from mdsvc.cpuset import CpuSet, union
from mdsvc.running import RunningCell, RunningGuest
from mdsvc.topology import Host, HostCell, MemoryPool


class _Booked(msgspec.Struct, frozen=True):
    """A guest's node, and the one host cell and pool that its memory is strictly from; None where
    it may be from several.
    """

    guest: RunningGuest
    node: RunningCell
    place: tuple[int, MemoryPool] | None
    firm: bool  # has dedicated vCPUs, and so never overcommits


def memory_overbooked(facts: Facts) -> Iterator[Fault]:
    """More than a node's pool holds, by guests that may have their memory from there alone; or
    more than all nodes hold together.
    """
    host = facts.topology
    if host is None:
        return
    booked = [each for guest in facts.guests for each in _booked(facts, host, guest)]
    for place in dict.fromkeys(each.place for each in booked if each.place):
        yield from _pool(facts, host, place, [each for each in booked if each.place == place])
    yield from _whole(facts, host, booked)


def _booked(facts: Facts, host: Host, guest: RunningGuest) -> Iterator[_Booked]:
    for node in guest.nodes:
        cells = [host.by_id[at] for at in node.strict_nodes or () if at in host.by_id]
        place = (cells[0].id, _pool_of(cells[0], node)) if len(cells) == 1 else None
        yield _Booked(guest, node, place, bool(facts.own(guest)))


def _pool_of(cell: HostCell, node: RunningCell) -> MemoryPool:
    """The base pool where the host's huge pages are not known; and a pool of nothing where they
    are, and those that it asks for are not among them.
    """
    if node.pagesize_kb is None or not cell.pages:
        return cell.base
    huge = [pool for pool in cell.pools if not pool.is_base]
    if node.pagesize_kb == 0 and huge:
        return huge[0]
    same = [pool for pool in cell.pools if pool.size_kb == node.pagesize_kb]
    return same[0] if same else MemoryPool(node.pagesize_kb, 0, 0)


def _pool(
    facts: Facts, host: Host, place: tuple[int, MemoryPool], booked: list[_Booked]
) -> Iterator[Fault]:
    cell, pool = place
    kind = "" if pool.is_base else f" in pages of {pool.size_kb} KiB"
    firm = [each for each in booked if each.firm]
    for group, overcommits in ((firm, False), (booked, True)):
        taken_mb = sum(each.node.memory_mb for each in group)
        limit_kb = host.limit_kb(pool, overcommits)
        if taken_mb * 1024 > limit_kb:
            there = f"node {cell} has {limit_kb // 1024} MiB{kind}"
            yield _overbooked(facts, [each.guest for each in group], there, taken_mb)
            return


def _whole(facts: Facts, host: Host, booked: list[_Booked]) -> Iterator[Fault]:
    """Guests whose memory may be on any node are held against what all nodes have left, of base
    pages and of huge pages of each size.
    """
    sizes = {id(each): _size_kb(host, each) for each in booked}
    for size_kb in dict.fromkeys(sizes[id(each)] for each in booked if each.place is None):
        same = [each for each in booked if sizes[id(each)] == size_kb]
        loose = [each for each in same if each.place is None]
        pools = [_pool_of(cell, loose[0].node) for cell in host.cells]
        taken_mb = sum(each.node.memory_mb for each in same if each.place)
        left_mb = sum(host.limit_kb(pool, True) for pool in pools) // 1024 - taken_mb
        left_mb -= 0 if size_kb else facts.reserved_mb
        wanted_mb = sum(each.node.memory_mb for each in loose)
        if wanted_mb > left_mb:
            kind = f" in pages of {size_kb} KiB" if size_kb else ""
            left = f"the host has {max(0, left_mb)} MiB{kind} left"
            there = f"{left} for guests that are bound to no node"
            yield _overbooked(facts, [each.guest for each in loose], there, wanted_mb)


def _size_kb(host: Host, booked: _Booked) -> int | None:
    """Of its huge pages; None for base pages, and where the host's huge ones are not known."""
    pools = [booked.place[1]] if booked.place else [_pool_of(c, booked.node) for c in host.cells]
    return None if any(pool.is_base for pool in pools) else max(p.size_kb or 0 for p in pools)


def _overbooked(facts: Facts, guests: list[RunningGuest], there: str, taken_mb: int) -> Fault:
    once = list({id(guest): guest for guest in guests}.values())
    return Fault(
        guests=once,
        detail=f"{there}, and guests have {taken_mb} MiB booked of it "
        f"({listed(map(facts.label, once))}): as they use it, the host swaps, or one of them "
        "fails to start or is killed",
        mend="move one of them away, or give the node more memory or pages of that size",
    )


def memory_elsewhere(facts: Facts) -> Iterator[Fault]:
    """vCPUs of a guest node on host nodes that cannot hold the node's memory."""
    if facts.topology is None:
        return
    by_id = facts.topology.by_id
    for guest, threads in by_guest(t for t in facts.threads if t.vcpu is not None and t.pcpus):
        for node in guest.nodes:
            if node.strict_nodes is None:
                continue
            near = union(by_id[at].cpus for at in node.strict_nodes if at in by_id)
            far = [t.vcpu for t in threads if t.vcpu is not None and not t.on(near)]
            if node.vcpus & CpuSet.of(far):
                yield _elsewhere(facts, guest, node, node.vcpus & CpuSet.of(far))


def _elsewhere(facts: Facts, guest: RunningGuest, node: RunningCell, far: CpuSet) -> Fault:
    cpus = union(pcpus for vcpu in far if (pcpus := guest.pcpus(vcpu)))
    return Fault(
        guests=[guest],
        cpus=cpus,
        detail=f"{facts.label(guest)}: {named('vCPU', far)} of its node {node.id} {are(far)} on "
        f"{named('pCPU', cpus)}, and the memory of that node is strictly on host node "
        f"{node.strict_nodes}: each access goes to another node",
        mend=f"pin these vCPUs to pCPUs of host node {node.strict_nodes}, or bind the memory to "
        "the node that they are on",
    )
