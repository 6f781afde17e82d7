"""A host from what a machine says of itself: libvirt's XML (``capabilities``), or ``sysfs``.

Each of the two reads cells, and what each CPU names as the threads of its core; what becomes of
that is here, and so the same for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, get_args

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins, to_builtins
from mdsvc.topology import Arch, Host, HostCell, check_disjoint


class Discovered(NamedTuple):
    """A host, and what is worth knowing of how it was read: a line each, none as a rule."""

    host: Host
    notes: Sequence[str]


class Machine(NamedTuple):
    """What was read of a machine: its cells without L3 domains, and what is known of its CPUs."""

    cells: Sequence[HostCell]
    caches: Sequence[CpuSet]
    """The CPUs of each L3 cache, wherever they are."""
    offline: CpuSet
    """CPUs that are there, and in no cell."""
    arch: Arch = "x86_64"


def arch_of(text: str, where: str) -> Arch:
    """An architecture as libvirt or the kernel names it. Raises BadInput naming the place."""
    for arch in get_args(Arch):
        if text == arch:
            return arch  # type: ignore[no-any-return]  # one of the literals
    raise BadInput(f"{where}: expected one of {', '.join(get_args(Arch))}, got {text[:60]!r}")


class Cores(NamedTuple):
    """``siblings`` and ``split`` of a cell."""

    siblings: tuple[CpuSet, ...]
    split: CpuSet


def cores_of(
    named: Mapping[int, CpuSet], cells: Sequence[CpuSet], online: CpuSet
) -> Sequence[Cores]:
    """The cores of each cell: groups of threads, each once, and the CPUs of those cores that reach
    out of it. ``named`` are the threads that each CPU names; those that are not online are none.
    Raises BadInput.
    """
    try:
        check_disjoint(cells, "cells: cpus")
    except ValueError as error:
        raise BadInput(str(error)) from None
    threads = {cpu: (named[cpu] | CpuSet.of([cpu])) & online for cpus in cells for cpu in cpus}
    reached = union(threads[cpu] - cpus for cpus in cells for cpu in cpus)
    return [_cores_of_cell(threads, cpus, reached) for cpus in cells]


def _cores_of_cell(threads: Mapping[int, CpuSet], cpus: CpuSet, reached: CpuSet) -> Cores:
    """``reached`` are the CPUs that a core of another cell reaches."""
    outward = (cpu for cpu in cpus if not threads[cpu] <= cpus)
    split = CpuSet.of(outward) | (reached & cpus)
    siblings = dict.fromkeys(threads[cpu] & cpus for cpu in cpus if cpu not in split)
    return Cores(tuple(siblings), split)


def discovered(
    name: str, machine: Machine, shared: CpuSet | None, dedicated: CpuSet | None
) -> Discovered:
    """A host of these cells; with neither CPU set given every CPU is shared, as in Nova, and with
    one of them the other is empty. Raises BadInput.
    """
    cells, notes = [], []
    for bare in machine.cells:
        cell, note = _with_l3(bare, machine.caches)
        cells.append(cell)
        notes += [*_split_note(cell), *note]
    cpus = union(cell.cpus for cell in cells)
    if shared is None and dedicated is None:
        shared = cpus
    form = {
        "name": name,
        "arch": machine.arch,
        "cells": to_builtins(cells),
        "cpu_shared_set": _checked("cpu_shared_set", shared or EMPTY, cpus, machine.offline),
        "cpu_dedicated_set": _checked(
            "cpu_dedicated_set", dedicated or EMPTY, cpus, machine.offline
        ),
    }
    return Discovered(from_builtins(form, Host), notes)


def _with_l3(cell: HostCell, caches: Iterable[CpuSet]) -> tuple[HostCell, Sequence[str]]:
    """The cell with its L3 domains. Where they break a rule of them, as virtual machines do that
    are told of caches without regard to cores, it has none, and the note says so.
    """
    form = to_builtins(cell) | {"l3": list(map(str, parts_of(caches, cell.cpus)))}
    try:
        return from_builtins(form, HostCell), ()
    except BadInput as error:
        why = str(error).removeprefix("document: ").removeprefix("l3: ")
        return cell, [f"cell {cell.id} is taken without its L3 caches: {why}"]


def parts_of(groups: Iterable[CpuSet], cpus: CpuSet) -> tuple[CpuSet, ...]:
    """What of each group is among these CPUs: each once, by lowest CPU, and none empty."""
    masks = {group.mask & cpus.mask for group in groups} - {0}
    return tuple(CpuSet(mask) for mask in sorted(masks, key=lambda mask: mask & -mask))


def _split_note(cell: HostCell) -> Sequence[str]:
    if not cell.split:
        return ()
    what = f"the cores of CPUs {cell.split} reach into another cell"
    return [f"cell {cell.id}: {what}, so these are single threads, and none for `isolate`"]


def _checked(field: str, given: CpuSet, cpus: CpuSet, offline: CpuSet) -> str:
    """The set in its form. Raises BadInput where it names CPUs that are in no cell."""
    wrong = {
        "are offline; expected CPUs that are online": (given - cpus) & offline,
        "are not among the host's CPUs": given - cpus - offline,
    }
    faults = [f"CPUs {stray} {fault}" for fault, stray in wrong.items() if stray]
    if faults:
        raise BadInput(f"{field}: {', and '.join(reversed(faults))}")
    return str(given)
