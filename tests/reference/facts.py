"""What a host has, read from the contract's JSON form: the words in which the rules are said."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

_PART = re.compile(r"(\d+)(?:-(\d+))?")


def parse_cpus(text: str) -> frozenset[int]:
    """The kernel's list form, `"0-3,7"`; the empty set is `""`."""
    cpus: set[int] = set()
    for part in text.split(",") if text else []:
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{text!r} is not a CPU list")
        first = int(match[1])
        cpus.update(range(first, int(match[2] or first) + 1))
    return frozenset(cpus)


def format_cpus(cpus: Iterable[int]) -> str:
    """The one canonical text of a set: ascending, ranges collapsed, a pair as `"2-3"`."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and runs[-1][1] == cpu - 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


@dataclass(frozen=True)
class Pages:
    """One page pool of a host cell."""

    size_kb: int
    total: int
    used: int


@dataclass(frozen=True)
class Cell:
    """One host cell; `cores` are its sibling groups, `split` the CPUs whose core reaches into
    another cell, `l3` its domains; every set is of pCPUs.
    """

    id: int
    cores: tuple[frozenset[int], ...]
    split: frozenset[int]
    l3: tuple[frozenset[int], ...]
    dedicated: frozenset[int]
    free: frozenset[int]
    shared: frozenset[int]
    shared_used: int
    memory_mb: int
    memory_used_mb: int
    pages: tuple[Pages, ...]


def _cell(host: Json, cell: Json) -> Cell:
    """Absent `siblings`: each CPU alone, as is a CPU that is in none of them; absent `pages`: none;
    absent use: none. CPUs that are in no L3 domain are one of their own, but where no domain is
    known.
    """
    cpus = parse_cpus(cell["cpus"])
    groups = [parse_cpus(group) for group in cell.get("siblings", [])]
    groups += [frozenset({cpu}) for cpu in sorted(cpus.difference(*groups))]
    domains = [parse_cpus(group) for group in cell.get("l3", [])]
    rest = cpus.difference(*domains) if domains else None
    dedicated = cpus & parse_cpus(host["cpu_dedicated_set"])
    return Cell(
        id=cell["id"],
        cores=tuple(groups),
        split=parse_cpus(cell.get("split", "")),
        l3=(*domains, rest) if rest else tuple(domains),
        dedicated=dedicated,
        free=dedicated - parse_cpus(cell.get("pinned", "")),
        shared=cpus & parse_cpus(host["cpu_shared_set"]),
        shared_used=cell.get("shared_used", 0),
        memory_mb=cell["memory_mb"],
        memory_used_mb=cell.get("memory_used_mb", 0),
        pages=tuple(
            Pages(p["size_kb"], p["total"], p.get("used", 0)) for p in cell.get("pages", [])
        ),
    )


def cells_of(host: Json) -> list[Cell]:
    """The host's cells, in the host's order."""
    return [_cell(host, cell) for cell in host["cells"]]
