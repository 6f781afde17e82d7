"""What one guest cell asks of a host cell, and whether a vacancy has it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mdsvc.fitting.vacancy import Vacancy
from mdsvc.kept import kept
from mdsvc.policy.flavor import GuestCell, PageSize, Request, ThreadPolicy
from mdsvc.topology import PagePool


class Demand(msgspec.Struct, frozen=True):
    """Counts of vCPUs, memory in MiB, and the request's policies."""

    dedicated: int
    reserved: int  # pCPUs for an isolated emulator thread, 0 or 1
    shared: int
    memory_mb: int
    threads: ThreadPolicy | None
    page_size: PageSize | None
    overcommits: bool  # memory, by the host's ratio

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
            overcommits=request.cpu_policy == "shared",
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
    pcpus = demand.dedicated + demand.reserved
    return (
        pcpus <= vacancy.free
        and demand.shared <= vacancy.shared_most
        and demand.memory_mb <= memory_mb(demand, vacancy)
        and (demand.threads != "require" or demand.dedicated <= vacancy.pairable)
        and (demand.threads != "isolate" or pcpus <= vacancy.isolated)
        and (demand.page_size is None or page_size(demand, vacancy) is not None)
    )


def memory_mb(demand: Demand, vacancy: Vacancy) -> int:
    """The most memory, in MiB, that the guest cell may have there (R15)."""
    return vacancy.memory_most_mb if demand.overcommits else vacancy.memory_free_mb


def pools(demand: Demand, vacancy: Vacancy) -> Sequence[PagePool]:
    """The page pools that the guest may take, the preferred first."""
    match demand.page_size:
        case "small":
            return vacancy.pools[:1]
        case "large":
            return vacancy.pools[:0:-1]
        case "any":
            return vacancy.pools[::-1]
        case size:
            return [pool for pool in vacancy.pools if pool.size_kb == size]


def page_size(demand: Demand, vacancy: Vacancy) -> int | None:
    """The page size, in KiB, that the guest cell gets there; None where it asks for none."""
    memory_kb = demand.memory_mb * 1024
    for pool in pools(demand, vacancy):
        if not memory_kb % pool.size_kb and pool.free_kb >= memory_kb:
            return pool.size_kb
    return None
