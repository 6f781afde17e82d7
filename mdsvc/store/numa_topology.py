"""Nova's ``instance_extra.numa_topology``, in each form that it has had, to a layout.

1. Before Liberty: ``{"cells": [{"id": 0, "cpus": "0-3", "mem": {"total": 512}, "pagesize": 4}]}``.
2. Cells of versions up to 1.4: one ``cpuset``, of a pinned guest its dedicated vCPUs.
3. Cells of version 1.5: the dedicated ones in ``pcpuset``.
4. Cells of version 1.6: the same, and mixed guests.
5. Rows that Nova itself migrated before February 2025: of the content of 1.6, and called 1.4.

So the version says nothing, and the content is looked at; what was in one set goes through the same
upgrade as our own records did (R20). ``cells[].id`` is the host cell, a guest cell is the position
in the list, memory is in MiB and page sizes in KiB. Fields that are not set may be absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput
from mdsvc.forms import from_json, from_store
from mdsvc.layout import Layout
from mdsvc.policy.flavor import EmulatorPolicy, Policy, ThreadPolicy
from mdsvc.store.records import Value, with_pcpusets

Cpu = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Cpus = tuple[Cpu, ...]


class _Memory(msgspec.Struct):
    total: int


class _LegacyCell(msgspec.Struct):
    """Before Liberty."""

    id: int
    cpus: CpuSet
    mem: _Memory
    pagesize: int | None = None


class _Legacy(msgspec.Struct):
    cells: tuple[_LegacyCell, ...] = ()


class _Cell(msgspec.Struct):
    """Since then; which fields there are, the versions differ in."""

    id: int
    memory: int
    cpuset: Cpus = ()
    pcpuset: Cpus | None = None
    cpuset_reserved: Cpus | None = None
    pagesize: int | None = None
    cpu_pinning_raw: dict[Cpu, Cpu] | None = None
    cpu_policy: Policy | None = None
    cpu_thread_policy: ThreadPolicy | None = None


class _Topology(msgspec.Struct):
    cells: tuple[_Cell, ...] = ()
    emulator_threads_policy: EmulatorPolicy | None = None


def layout_of(row: str | bytes) -> Layout:
    """The layout that a row has. Raises BadInput, naming the field.

    A row does not have all: ``realtime_cpus``, which the flavor tells, and ``emulator_cpus``, which
    the host does (``layout.refloat``), are empty. Without cells it is a guest that floats.
    """
    document = from_json(row, dict[str, Any] | None)  # type: ignore[arg-type]  # a union is fine
    try:
        cells, emulator = _cells(document or {})
        return _laid_out(cells, emulator)
    except BadInput as error:
        raise BadInput(f"numa_topology: {error}") from None


def _cells(document: dict[str, Any]) -> tuple[Sequence[_Cell], EmulatorPolicy | None]:
    if "nova_object.name" in document:
        data = _unwrapped(document, "document")
        cells = data.get("cells", [])
        if isinstance(cells, list):
            cells = [_unwrapped(each, f"cells[{at}]") for at, each in enumerate(cells)]
        topology = from_store({**data, "cells": cells}, _Topology)
        return topology.cells, topology.emulator_threads_policy
    legacy = from_store(document, _Legacy).cells
    return [_Cell(c.id, c.mem.total, tuple(c.cpus), pagesize=c.pagesize) for c in legacy], None


def _unwrapped(wrapped: Any, where: str) -> dict[str, Any]:
    """What Nova's versioned object has in it."""
    data = wrapped.get("nova_object.data") if isinstance(wrapped, dict) else None
    if not isinstance(data, dict):
        raise BadInput(f"{where}: expected one of Nova's versioned objects, with its data")
    return data


def _laid_out(cells: Sequence[_Cell], emulator: EmulatorPolicy | None) -> Layout:
    """By the upgrade of our own form 1, which is the second of Nova's forms."""
    for at, cell in enumerate(cells):
        if cell.id < 0:
            raise BadInput(f"cells[{at}].id: expected the host's cell, but it is on none")
    layout = with_pcpusets(
        {
            "cpu_policy": _policy(cells),
            "cpu_thread_policy": next((c.cpu_thread_policy for c in cells), None),
            "emulator_threads_policy": emulator,
            "emulator_cpus": "",
            "realtime_cpus": "",
            "cells": [_old_cell(at, cell) for at, cell in enumerate(cells)],
        }
    )
    read = from_store(layout, Layout)
    for at, own in enumerate(read.cells):
        if own.pcpuset != CpuSet.of(own.cpu_pinning):
            expected = f"expected a pCPU for each of the vCPUs {own.pcpuset}, and for no other"
            raise BadInput(f"cells[{at}].cpu_pinning_raw: {expected}")
    return read


def _policy(cells: Sequence[_Cell]) -> Policy:
    """The cells' own, which is the same in all; else by what is pinned."""
    for cell in cells:
        if cell.cpu_policy:
            return cell.cpu_policy
    if not any(cell.cpu_pinning_raw for cell in cells):
        return "shared"
    return "mixed" if any(cell.pcpuset and cell.cpuset for cell in cells) else "dedicated"


def _old_cell(at: int, cell: _Cell) -> Value:
    """As form 1 has it, but with the ``pcpuset`` that it may have."""
    return {
        "id": at,
        "host_cell": cell.id,
        "cpuset": _text(cell.cpuset),
        "pcpuset": _text(cell.pcpuset or ()),
        "cpu_pinning": cell.cpu_pinning_raw or {},
        "cpuset_reserved": _text(cell.cpuset_reserved or ()),
        "memory_mb": cell.memory,
        "pagesize_kb": cell.pagesize,
    }


def _text(cpus: Iterable[int]) -> str:
    return str(CpuSet.of(cpus))
