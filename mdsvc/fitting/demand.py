"""What one guest cell asks of a host cell, and whether a vacancy has it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mdsvc.fitting.vacancy import FreePool, Vacancy
from mdsvc.kept import kept
from mdsvc.policy.flavor import GuestCell, PageSize, Request, ThreadPolicy


class Demand(msgspec.Struct, frozen=True):
    """Counts of vCPUs, memory in MiB, and the request's policies."""

    dedicated: int
    reserved: int  # pCPUs for an isolated emulator thread, 0 or 1
    shared: int
    memory_mb: int
    threads: ThreadPolicy | None
    page_size: PageSize | None
    overcommits: bool  # memory, by the host's ratio
    spares_base: bool = False  # takes huge pages only: guests that float have the base pools

    @classmethod
    def of(cls, request: Request, cell: GuestCell) -> Demand:
        """The demand of one of the request's cells, the emulator thread left out."""
        return cls(
            dedicated=len(cell.dedicated),
            reserved=0,
            shared=len(cell.shared),
            memory_mb=cell.memory_mb,
            threads=request.cpu_thread_policy,
            page_size=request.page_size,
            overcommits=overcommits(request),
        )

    def with_emulator(self) -> Demand:
        """The same with one pCPU more, for the emulator threads."""
        return msgspec.structs.replace(self, reserved=1)


@kept
def variants(request: Request) -> tuple[tuple[Demand, ...], ...]:
    """The demands of the request's cells, with the isolated emulator's pCPU in cell 0, else in 1,
    and so on; of equal cells only in the first.
    """
    plain = tuple(Demand.of(request, cell) for cell in request.cells)
    return _with_emulator(plain) if request.isolated_emulator else (plain,)


def _with_emulator(plain: tuple[Demand, ...]) -> tuple[tuple[Demand, ...], ...]:
    return tuple(
        (*plain[:home], demand.with_emulator(), *plain[home + 1 :])
        for home, demand in enumerate(plain)
        if demand not in plain[:home]
    )


def fits(demand: Demand, vacancy: Vacancy) -> bool:
    """Whether the vacancy satisfies every rule. ``reasons.RULES`` says the same in words."""
    return pool(demand, vacancy) is not None


def pool(demand: Demand, vacancy: Vacancy) -> FreePool | None:
    """The pool that the guest cell's memory comes out of there; None where some rule fails."""
    pcpus = demand.dedicated + demand.reserved
    if not (
        pcpus <= vacancy.free
        and demand.shared <= vacancy.shared_most
        and (demand.threads != "require" or demand.dedicated <= vacancy.pairable)
        and (demand.threads != "isolate" or pcpus <= vacancy.isolated)
    ):
        return None
    memory_kb = demand.memory_mb * 1024
    for some in vacancy.pools[:1] if demand.page_size is None else pools(demand, vacancy):
        room_kb = some.most_kb if demand.overcommits else some.free_kb
        if memory_kb <= room_kb and not memory_kb % (some.size_kb or 1):
            return some
    return None


def overcommits(request: Request) -> bool:
    """Whether the request's memory may be more than is free, by the host's ratio (R15)."""
    return request.cpu_policy == "shared" and request.page_size is None


def pools(demand: Demand, vacancy: Vacancy) -> Sequence[FreePool]:
    """The pools of which the guest cell's memory may be, the preferred first."""
    match demand.page_size:
        case None | "small":
            return vacancy.pools[:1]
        case "large":
            return vacancy.pools[:0:-1]
        case "any":
            return vacancy.pools[: 0 if demand.spares_base else None : -1]
        case size:
            some = vacancy.pools[1:] if demand.spares_base else vacancy.pools
            return [pool for pool in some if pool.size_kb == size]


def room_kb(demand: Demand, pool: FreePool) -> int:
    """The most memory, in KiB, that the guest cell may have of the pool (R15)."""
    return pool.most_kb if demand.overcommits else pool.free_kb


def page_size(demand: Demand, vacancy: Vacancy) -> int | None:
    """The page size, in KiB, that the guest cell gets there; None where it asks for none, and
    where the cell does not tell that of its base pool.
    """
    taken = None if demand.page_size is None else pool(demand, vacancy)
    return None if taken is None else taken.size_kb
