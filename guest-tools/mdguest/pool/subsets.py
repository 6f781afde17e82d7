"""Parts of the pool that programs hold: their cgroups are the only record of them.

A service of the pool holds the CPUs of its AllowedCPUs=, or all where it has none. One whose CPUs
are all offline runs on those of the whole pool, so it holds these, too.

A subset is held while its cgroup has a process, whatever became of the one that made it: it comes
back when the last one ends, even by SIGKILL, and no file can be wrong about it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdguest.cpuset import EMPTY, CpuSet, union
from mdguest.errors import BadInput, NotFound, Refused
from mdguest.isolation.wants.groups import held
from mdguest.isolation.wants.pool import SUBSET
from mdguest.knobs.waking import ROOM

if TYPE_CHECKING:
    from mdguest.facts import Facts, Group

PROBES = ("probes", "probes-of-mdguest.scope")
"""The cgroups of a measurement."""

_PASSING = (*PROBES, ROOM)
"""Cgroups of ours that take no CPU away from anybody."""

_LONG = 6
"""Digits: more than any number of CPUs has."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Subset:
    """A part of the pool that is held."""

    name: str
    cpus: CpuSet
    path: str


def subsets(facts: Facts) -> list[Subset]:
    """The subsets that are held now, by name."""
    if facts.pool is None or not facts.pool.cpus:
        return []
    pool = facts.pool.cpus
    return [
        Subset(_name(group), (held(group) | (group.effective or EMPTY)) & pool or pool, group.path)
        for group in facts.subsets
        if group.populated and group.name not in _PASSING
    ]


def _name(group: Group) -> str:
    ours = group.name.startswith(SUBSET)
    return group.name[len(SUBSET) :].removesuffix(".scope") if ours else group.name


def checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadInput(f"--name {name!r}: expected 1 to 64 letters, digits, '_', '.' or '-'")
    return name


def usual_name(program: str) -> str:
    """A name for a run of this program where it was given none."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(program).name).lstrip("_.-") or "program"
    return checked_name(f"{plain[:48]}-{os.getpid()}")


class Wanted(NamedTuple):
    """What a run asks for; nothing: all that are free."""

    cpus: str | None = None
    """``--cpus``: a number is how many, a list or range which."""
    on: str | None = None
    """``--on``: which, be it a single one."""


def choose(wanted: Wanted, facts: Facts) -> CpuSet:
    """CPUs of the pool that nobody holds.

    A number is taken from one NUMA cell where one has enough, the fullest that does, and by whole
    cores. Raises BadInput, NotFound (no pool) or Refused (held by others).
    """
    if not facts.pool_cpus:
        raise NotFound("there is no pool of dedicated CPUs: run mdguest apply first")
    pool = facts.pool_cpus
    free = pool - union(subset.cpus for subset in subsets(facts))
    cpus, on = wanted
    if cpus is not None and on is not None:
        raise BadInput("--cpus and --on: expected one of them")
    if on is not None:
        return _these(_parsed("--on", on, "expected a CPU list, like 3 or 2-3,6"), "--on", facts)
    if cpus is None:
        return _these(free or pool, "--cpus", facts)
    if cpus.isdecimal() and len(cpus) < _LONG:
        return _count(int(cpus), free, facts)
    expected = "expected a number of CPUs or a CPU list, like 2 or 2-3,6"
    return _these(_parsed("--cpus", cpus, expected), "--cpus", facts)


def _parsed(flag: str, text: str, expected: str) -> CpuSet:
    try:
        cpus = CpuSet.parse(text)
    except ValueError as error:
        raise BadInput(f"{flag}: {error}; {expected}") from error
    if not cpus:
        raise BadInput(f"{flag}: {expected}")
    return cpus


def _these(cpus: CpuSet, flag: str, facts: Facts) -> CpuSet:
    pool = facts.pool_cpus
    if not cpus <= pool:
        raise Refused(f"{flag} {cpus}: CPU {cpus - pool} is not in the pool, which is {pool}")
    for subset in subsets(facts):
        if subset.cpus & cpus:
            raise Refused(f"{flag} {cpus}: {subset.name} holds CPU {subset.cpus & cpus}")
    return cpus


def _count(count: int, free: CpuSet, facts: Facts) -> CpuSet:
    if count < 1:
        raise BadInput("--cpus: expected at least 1")
    if count > len(free):
        single = f"; for CPU {count} itself: --on {count}" if count in free else ""
        raise Refused(
            f"--cpus {count}: only {len(free)} of the pool are free ({free or 'none'}){single}"
        )
    cells = [cell & free for cell in facts.numa if len(cell & free) >= count]
    cell = min(cells, key=lambda cpus: (len(cpus), next(iter(cpus))), default=free)
    return CpuSet.of(_by_cores(cell, facts.siblings)[:count])


def _by_cores(cpus: CpuSet, siblings: Iterable[CpuSet]) -> list[int]:
    """The CPUs in such an order that threads of a core stand together, fullest cores first."""
    cores = [core & cpus for core in siblings if core & cpus] or [cpus]
    cores.sort(key=lambda core: (-len(core), next(iter(core))))
    return [cpu for core in cores for cpu in core]
