"""What Nova does wrong: each row with a host, a flavor, the request it means, and the truth."""

from dataclasses import dataclass
from itertools import count

from .facts import Json, format_cpus

GuestCell = tuple[int, int]


@dataclass(frozen=True)
class NovaCase:
    """One question; `fits` is the right answer, whatever Nova says."""

    name: str
    host: Json
    flavor: Json
    request: Json
    fits: bool


def _host(cores: list[list[int]], free: list[int] | None = None, shared: int = 0) -> Json:
    """Cells of cores with so many threads, and all but so many CPUs of each cell pinned.

    The first CPUs of each cell are shared; all others are dedicated.
    """
    numbers, cells, floating = count(), [], set()
    for index, threads in enumerate(cores):
        groups = [[next(numbers) for _ in range(size)] for size in threads]
        cpus = [cpu for group in groups for cpu in group]
        floating |= set(cpus[:shared])
        cells.append(
            {
                "id": index,
                "memory_mb": 8192,
                "cpus": format_cpus(cpus),
                "siblings": [format_cpus(group) for group in groups],
                "pinned": format_cpus(cpus[free[index] :] if free else []),
            }
        )
    return {
        "name": "h1",
        "service_version": 2,
        "cpu_shared_set": format_cpus(floating),
        "cpu_dedicated_set": format_cpus(set(range(next(numbers))) - floating),
        "cpu_allocation_ratio": 16.0,
        "ram_allocation_ratio": 1.0,
        "cells": cells,
    }


def _guest(
    sizes: list[GuestCell],
    memory_mb: list[int] | None = None,
    page_size: str | int | None = None,
    threads: str | None = None,
    emulator: str | None = None,
) -> tuple[Json, Json]:
    """Flavor and request for guest cells of (shared, dedicated) vCPUs, numbered in this order."""
    numbers = count()
    memory = memory_mb or [256] * len(sizes)
    cells: list[Json] = [
        {
            "shared": [next(numbers) for _ in range(shared)],
            "dedicated": [next(numbers) for _ in range(dedicated)],
            "memory_mb": mb,
        }
        for (shared, dedicated), mb in zip(sizes, memory, strict=True)
    ]
    request: Json = {
        "policy": "mixed" if any(cell["shared"] for cell in cells) else "dedicated",
        "thread_policy": threads,
        "emulator_threads_policy": emulator,
        "page_size": page_size,
        "vcpus": next(numbers),
        "memory_mb": sum(memory),
        "cells": cells,
        "realtime": [],
    }
    return _flavor(request), request


def _flavor(request: Json) -> Json:
    """The flavor that asks for this."""
    cells = request["cells"]
    specs = {"hw:cpu_policy": request["policy"], "hw:numa_nodes": str(len(cells))}
    if request["policy"] == "mixed":
        dedicated = format_cpus(vcpu for cell in cells for vcpu in cell["dedicated"])
        specs["hw:cpu_dedicated_mask"] = dedicated
    for index, cell in enumerate(cells):
        specs[f"hw:numa_cpus.{index}"] = format_cpus(cell["shared"] + cell["dedicated"])
        specs[f"hw:numa_mem.{index}"] = str(cell["memory_mb"])
    optional = {
        "hw:cpu_thread_policy": request["thread_policy"],
        "hw:emulator_threads_policy": request["emulator_threads_policy"],
        "hw:mem_page_size": request["page_size"],
    }
    specs |= {key: str(value) for key, value in optional.items() if value is not None}
    return {
        "name": "m",
        "vcpus": request["vcpus"],
        "memory_mb": request["memory_mb"],
        "extra_specs": specs,
    }


def _with_pages(host: Json, pages: list[dict[int, int]]) -> Json:
    """The host with so many free pages of each size (KiB) in each cell."""
    cells = [
        cell | {"pages": [{"size_kb": kb, "total": n, "used": 0} for kb, n in pools.items()]}
        for cell, pools in zip(host["cells"], pages, strict=True)
    ]
    return host | {"cells": cells}


def _pinned(host: Json, pinned: str) -> Json:
    """The host, of one cell, with just these CPUs pinned."""
    return host | {"cells": [host["cells"][0] | {"pinned": pinned}]}


def _case(name: str, host: Json, guest: tuple[Json, Json], fits: bool) -> NovaCase:
    return NovaCase(name, host, *guest, fits)


def _dedicated(*sizes: int) -> tuple[Json, Json]:
    return _guest([(0, size) for size in sizes])


KB_2M, KB_1G = 2048, 1024 * 1024
SINGLE = [1, 1, 1, 1]
PAIRS = [2, 2, 2, 2]
GIB_OF_2M = {4: 524288, KB_2M: 1024}

NOVA_CASES = [
    _case(
        "empty host of 3 cells of 4 pCPUs, guest cells of 2, 2 and 5",
        _host([SINGLE] * 3),
        _dedicated(2, 2, 5),
        False,
    ),
    _case(
        "empty host with 2 GiB of 2 MiB pages a cell, guest of 512, 512 and 3072 MiB",
        _with_pages(_host([SINGLE] * 3), [GIB_OF_2M] * 3),
        _guest([(0, 1)] * 3, [512, 512, 3072], page_size=KB_2M),
        False,
    ),
    _case(
        "free pCPUs 0, 2, 1, guest cells of 1 and 2",
        _host([SINGLE] * 3, free=[0, 2, 1]),
        _dedicated(1, 2),
        True,
    ),
    _case(
        "free pCPUs 3, 2, 1, guest cells of 1, 1 and 3",
        _host([SINGLE] * 3, free=[3, 2, 1]),
        _dedicated(1, 1, 3),
        True,
    ),
    _case(
        "free pCPUs 3, 2, 3, guest cells of 1, 1 and 4",
        _host([SINGLE] * 3, free=[3, 2, 3]),
        _dedicated(1, 1, 4),
        False,
    ),
    _case(
        "free pCPUs 1, 3, 0, 2, guest cells of 1, 1 and 3",
        _host([SINGLE] * 4, free=[1, 3, 0, 2]),
        _dedicated(1, 1, 3),
        True,
    ),
    _case(
        "large pages, 1 GiB beside 2 free pCPUs and 2 MiB beside 4, guest cells of 4 and 2",
        _with_pages(
            _host([SINGLE] * 2, free=[2, 4]),
            [{4: 524288, KB_1G: 4}, {4: 524288, KB_2M: 2048}],
        ),
        _guest([(0, 4), (0, 2)], [1024, 1024], page_size="large"),
        True,
    ),
    _case(
        "require on SMT-4 cores with 4 and 2 threads free, 6 vCPUs",
        _host([[4, 4]], free=[6]),
        _guest([(0, 6)], threads="require"),
        True,
    ),
    _case(
        "isolate on an SMT host, 4 vCPUs on 4 wholly free cores",
        _host([PAIRS]),
        _guest([(0, 4)], threads="isolate"),
        True,
    ),
    _case(
        "isolate on an SMT host, 4 vCPUs where one of 4 cores is half taken",
        _pinned(_host([PAIRS]), "3"),
        _guest([(0, 4)], threads="isolate"),
        False,
    ),
    _case(
        "isolate on an SMT host, one core half in the dedicated set",
        _host([PAIRS], shared=1),
        _guest([(0, 4)], threads="isolate"),
        False,
    ),
    _case(
        "mixed, first cell of shared vCPUs only, emulator isolate, empty host",
        _host([PAIRS] * 2, shared=2),
        _guest([(2, 0), (1, 2)], emulator="isolate"),
        True,
    ),
    _case(
        "mixed with isolate and a cell of shared vCPUs only",
        _host([PAIRS] * 2, shared=2),
        _guest([(2, 0), (1, 2)], threads="isolate"),
        True,
    ),
]
