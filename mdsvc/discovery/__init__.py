"""A host from what a machine says of itself: libvirt's XML (``capabilities``), or ``sysfs``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins, to_builtins
from mdsvc.topology import Arch, Host, HostCell


def parts_of(groups: Iterable[CpuSet], cpus: CpuSet) -> tuple[CpuSet, ...]:
    """What of each group is among these CPUs: each once, by lowest CPU, and none empty."""
    masks = {group.mask & cpus.mask for group in groups} - {0}
    return tuple(CpuSet(mask) for mask in sorted(masks, key=lambda mask: mask & -mask))


def found_arch(text: str, where: str) -> Arch:
    """An architecture as libvirt or the kernel names it. Raises BadInput naming the place."""
    for arch in get_args(Arch):
        if text == arch:
            return arch  # type: ignore[no-any-return]  # one of the literals
    raise BadInput(f"{where}: expected one of {', '.join(get_args(Arch))}, got {text[:60]!r}")


def found_host(
    name: str,
    arch: Arch,
    cells: Sequence[HostCell],
    shared: CpuSet | None,
    dedicated: CpuSet | None,
) -> Host:
    """A host whose cells were found out; with neither CPU set given every CPU is shared, as in
    Nova, and with one of them the other is empty. Raises BadInput.
    """
    if shared is None and dedicated is None:
        shared = union(cell.cpus for cell in cells)
    form = {
        "name": name,
        "arch": arch,
        "cells": to_builtins(cells),
        "cpu_shared_set": str(shared or EMPTY),
        "cpu_dedicated_set": str(dedicated or EMPTY),
    }
    return from_builtins(form, Host)
