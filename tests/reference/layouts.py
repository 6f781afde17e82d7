"""The contract's layout of an assignment that the exhaustive search found."""

from .exhaustive import Place
from .facts import Json, format_cpus, parse_cpus
from .pools import page_size_of


def layout_of(host: Json, request: Json, places: list[Place]) -> Json:
    """The form that a fitter which took these places would return."""
    dedicated = [vcpu for cell in request["cells"] for vcpu in cell["dedicated"]]
    shared = [vcpu for cell in request["cells"] for vcpu in cell["shared"]]
    return {
        "dedicated_cpus": format_cpus(dedicated),
        "shared_cpus": format_cpus(shared),
        "realtime_cpus": format_cpus(request["realtime"]),
        "cpu_policy": request["policy"],
        "cpu_thread_policy": request["thread_policy"],
        "emulator_threads_policy": request["emulator_threads_policy"],
        "emulator_cpus": format_cpus(_emulator_cpus(host, request, places)),
        "cells": [_cell(request, index, place) for index, place in enumerate(places)],
    }


def _cell(request: Json, index: int, place: Place) -> Json:
    wanted = request["cells"][index]
    return {
        "id": index,
        "host_cell": place.host_cell,
        "cpuset": format_cpus(wanted["shared"]),
        "pcpuset": format_cpus(wanted["dedicated"]),
        "cpu_pinning": {
            str(vcpu): pcpu
            for vcpu, pcpu in zip(wanted["dedicated"], sorted(place.pins), strict=True)
        },
        "cpuset_reserved": "" if place.emulator is None else str(place.emulator),
        "memory_mb": wanted["memory_mb"],
        "pagesize_kb": page_size_of(place.pool, request),
    }


def _emulator_cpus(host: Json, request: Json, places: list[Place]) -> set[int]:
    """R11 to R13; a guest without NUMA topology has none."""
    policy = request["emulator_threads_policy"]
    if policy == "isolate":
        return {place.emulator for place in places if place.emulator is not None}
    floating = parse_cpus(host["cpu_shared_set"]) if places else frozenset()
    if policy == "share" and floating:
        return set(floating)
    cpus = {pcpu for place in places for pcpu in place.pins}
    cells = {cell["id"]: parse_cpus(cell["cpus"]) for cell in host["cells"]}
    for place, wanted in zip(places, request["cells"], strict=True):
        cpus |= cells[place.host_cell] & floating if wanted["shared"] else set()
    return cpus
