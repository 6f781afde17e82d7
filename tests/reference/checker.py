"""Is a layout sound? Every violation of the rules, in words; an empty list means that it is."""

from collections.abc import Callable
from typing import Any

from . import rules
from .facts import Cell, Json, cells_of, format_cpus, parse_cpus
from .pools import page_size_of, pools_for

GUEST_SETS = ("dedicated_cpus", "shared_cpus", "realtime_cpus", "emulator_cpus")
CELL_SETS = ("cpuset", "pcpuset", "cpuset_reserved")


def check(host: Json, request: Json, layout: Json) -> list[str]:
    """All violations of the layout that the host is said to give to the request."""
    faults = _form_faults(layout)
    if faults:
        return faults
    cells = cells_of(host)
    faults = rules.host_faults(host, request) + _policy_faults(request, layout)
    if request["cells"]:
        return faults + _numa_faults(host, cells, request, layout)
    return faults + _plain_faults(host, cells, request, layout)


def _form_faults(layout: Json) -> list[str]:
    """The contract's form: the keys are there, and every CPU set is a canonical string."""
    faults = [
        *_missing("", layout, (*GUEST_SETS, *_POLICIES.values(), "cells")),
        *_set_faults("", layout, GUEST_SETS),
    ]
    numbers = ("id", "host_cell", "memory_mb", "pagesize_kb", "cpu_pinning")
    for index, cell in enumerate(layout.get("cells", [])):
        faults += _missing(f"cells[{index}].", cell, (*CELL_SETS, *numbers))
        faults += _set_faults(f"cells[{index}].", cell, CELL_SETS)
        pinning = cell.get("cpu_pinning", {})
        if not all(vcpu.isdigit() and type(pcpu) is int for vcpu, pcpu in pinning.items()):
            faults.append(f"cells[{index}].cpu_pinning: not vCPU texts to pCPU numbers: {pinning}")
    return faults


def _missing(where: str, form: Json, keys: tuple[str, ...]) -> list[str]:
    return [f"{where}{key}: missing" for key in keys if key not in form]


def _set_faults(where: str, form: Json, keys: tuple[str, ...]) -> list[str]:
    return [
        f"{where}{key}: not a canonical CPU set: {form[key]!r}"
        for key in keys
        if key in form and not _is_canonical(form[key])
    ]


def _is_canonical(text: Any) -> bool:
    """Ascending, ranges collapsed."""
    try:
        return isinstance(text, str) and format_cpus(parse_cpus(text)) == text
    except ValueError:
        return False


_POLICIES = {
    "policy": "cpu_policy",
    "thread_policy": "cpu_thread_policy",
    "emulator_threads_policy": "emulator_threads_policy",
}


def _policy_faults(request: Json, layout: Json) -> list[str]:
    """The layout repeats the request's policies."""
    return [
        f"{said}: {layout[said]!r}, not {request[asked]!r}"
        for asked, said in _POLICIES.items()
        if layout[said] != request[asked]
    ]


def _differs(name: str, got: Any, expected: Any) -> list[str]:
    return [] if got == expected else [f"{name}: {got!r}, not {expected!r}"]


def _plain_faults(host: Json, cells: list[Cell], request: Json, layout: Json) -> list[str]:
    """A guest with no NUMA topology has `"cells": []` and empty sets.

    Except that with `share` the emulator threads may be said to float over `cpu_shared_set` (R12).
    """
    faults = rules.plain_guest_faults(host, cells, request) + _differs("cells", layout["cells"], [])
    for key in ("dedicated_cpus", "shared_cpus", "realtime_cpus"):
        faults += _differs(key, layout[key], "")
    if request["emulator_threads_policy"] == "share" and layout["emulator_cpus"]:
        return faults + _differs("emulator_cpus", layout["emulator_cpus"], host["cpu_shared_set"])
    return faults + _differs("emulator_cpus", layout["emulator_cpus"], "")


def _numa_faults(host: Json, cells: list[Cell], request: Json, layout: Json) -> list[str]:
    """Each guest cell on a host cell of its own, and all that follows from it."""
    by_id = {cell.id: cell for cell in cells}
    host_cells = [placed["host_cell"] for placed in layout["cells"]]
    faults = _differs("cells' ids", [c["id"] for c in layout["cells"]], _ids(request["cells"]))
    faults += [f"host cell {h} does not exist" for h in host_cells if h not in by_id]
    if faults:
        return faults
    if len(set(host_cells)) < len(host_cells):
        faults.append(f"guest cells share a host cell: {host_cells}")
    for placed, wanted in zip(layout["cells"], request["cells"], strict=True):
        found = _cell_faults(host, by_id[placed["host_cell"]], request, wanted, placed)
        faults += [f"guest cell {placed['id']}: {fault}" for fault in found]
    pins = [pcpu for placed in layout["cells"] for pcpu in placed["cpu_pinning"].values()]
    if len(set(pins)) < len(pins):
        faults.append(f"a pCPU is given twice: {sorted(pins)}")
    return [
        *faults,
        *_floating_faults(host, cells, request, layout),
        *_reserved_faults(request, layout),
        *_vcpu_faults(request, layout),
        *_emulator_faults(host, by_id, request, layout),
    ]


def _ids(cells: list[Json]) -> list[int]:
    return list(range(len(cells)))


def _cell_faults(host: Json, cell: Cell, request: Json, wanted: Json, placed: Json) -> list[str]:
    """One guest cell in one host cell."""
    dedicated, pinned_vcpus = wanted["dedicated"], sorted(map(int, placed["cpu_pinning"]))
    pins, threads = frozenset(placed["cpu_pinning"].values()), request["thread_policy"]
    memory_mb = wanted["memory_mb"]
    faults = [
        *_differs("cpuset", placed["cpuset"], format_cpus(wanted["shared"])),
        *_differs("pcpuset", placed["pcpuset"], format_cpus(dedicated)),
        *_differs("pinned vCPUs", pinned_vcpus, sorted(dedicated)),
        *_differs("memory_mb", placed["memory_mb"], memory_mb),
        *rules.pin_faults(cell, pins, threads),
        *rules.shared_faults(host, cell, len(wanted["shared"])),
        *_memory_faults(host, cell, request, memory_mb, placed["pagesize_kb"]),
    ]
    for reserved in parse_cpus(placed["cpuset_reserved"]):
        faults += rules.emulator_faults(cell, pins, reserved, threads)
    return faults


def _memory_faults(
    host: Json, cell: Cell, request: Json, memory_mb: int, chosen: int | None
) -> list[str]:
    """It is in the first of the pools that hold it; none is named where no size was asked for."""
    faults = rules.memory_faults(host, cell, request, memory_mb)
    if faults:
        return faults
    first = pools_for(host, cell, request, memory_mb)[0]
    return _differs("page size in KiB", chosen, page_size_of(first, request))


def _floating_faults(host: Json, cells: list[Cell], request: Json, layout: Json) -> list[str]:
    by_id = {cell.id: cell for cell in cells}
    pools = [
        pools_for(host, by_id[placed["host_cell"]], request, wanted["memory_mb"])
        for placed, wanted in zip(layout["cells"], request["cells"], strict=True)
    ]
    if not all(pools):
        return []  # which is said already
    return rules.beside_floating_faults(host, cells, request, [some[0] for some in pools])


def _reserved(layout: Json) -> frozenset[int]:
    return frozenset[int]().union(*(parse_cpus(c["cpuset_reserved"]) for c in layout["cells"]))


def _reserved_faults(request: Json, layout: Json) -> list[str]:
    """R11: exactly one pCPU in exactly one cell with `isolate`, none without."""
    count = sum(len(parse_cpus(cell["cpuset_reserved"])) for cell in layout["cells"])
    return _differs("reserved pCPUs", count, int(rules.isolates_emulator(request)))


def _vcpu_faults(request: Json, layout: Json) -> list[str]:
    """The guest's own sets are the union of its cells'."""
    expected = {
        "dedicated_cpus": [v for cell in request["cells"] for v in cell["dedicated"]],
        "shared_cpus": [v for cell in request["cells"] for v in cell["shared"]],
        "realtime_cpus": request["realtime"],
    }
    return [
        fault
        for key, vcpus in expected.items()
        for fault in _differs(key, layout[key], format_cpus(vcpus))
    ]


def _emulator_faults(host: Json, cells: dict[int, Cell], request: Json, layout: Json) -> list[str]:
    """R11 to R13: `emulator_cpus` are the host CPUs that the policy allows them."""
    pins = frozenset(p for cell in layout["cells"] for p in cell["cpu_pinning"].values())
    floating = [cells[c["host_cell"]].shared for c in layout["cells"] if c["cpuset"]]
    expected: dict[str | None, Callable[[], frozenset[int]]] = {
        "isolate": lambda: _reserved(layout),
        "share": lambda: parse_cpus(host["cpu_shared_set"]) or pins,
        None: lambda: pins.union(*floating),
    }
    cpus = expected[request["emulator_threads_policy"]]()
    return _differs("emulator_cpus", layout["emulator_cpus"], format_cpus(cpus))
