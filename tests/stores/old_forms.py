"""Stores as they were before dedicated vCPUs had a set of their own, written from the description
of form 1 in `docs/operating.md`, and with none of the code that reads it.

Each cell of a guest has one set, ``cpuset``: of a dedicated guest its dedicated vCPUs, of any other
its shared ones. Fields that have a default may be absent.
"""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

CELLS, CELL_CPUS = 2, 32
"""Of the host: its NUMA cells, and the pCPUs of each."""


class OldGuest(NamedTuple):
    """A guest of form 1, and what is right to read of it: of each cell the shared vCPUs, the
    dedicated ones, and the pinning.
    """

    uuid: str
    value: dict[str, Any]
    cells: list[tuple[set[int], set[int], dict[int, int]]]

    @property
    def dedicated(self) -> set[int]:
        return set().union(*(dedicated for _, dedicated, _ in self.cells))

    @property
    def shared(self) -> set[int]:
        return set().union(*(shared for shared, _, _ in self.cells))


def cpus(numbers: set[int]) -> str:
    """A CPU set as text; ranges are not collapsed, which is read just the same."""
    return ",".join(map(str, sorted(numbers)))


def old_guests(number: int, seed: int, per_host: int = 8) -> list[OldGuest]:
    """Guests by UUID; each host, "old-0" and on, has eight. Every policy of that time is there."""
    rng = random.Random(seed)
    return [_guest(rng, at, at // per_host, at % per_host) for at in range(number)]


def _guest(rng: random.Random, number: int, host: int, slot: int) -> OldGuest:
    policy = rng.choice(["dedicated", "dedicated", "shared", "floating"])
    of_cells = [] if policy == "floating" else range(rng.choice([1, 2]))
    cells: list[tuple[set[int], set[int], dict[int, int]]] = []
    layouts = []
    for at in of_cells:
        vcpus = {2 * at, 2 * at + 1}
        pcpus = [at * CELL_CPUS + 2 * slot + offset for offset in (4, 5)]
        pinning = dict(zip(sorted(vcpus), pcpus, strict=True)) if policy == "dedicated" else {}
        cells.append((set(), vcpus, pinning) if pinning else (vcpus, set(), {}))
        unset = rng.choice([{}, {"cpuset_reserved": "", "pagesize_kb": None}])
        layouts.append(_cell(at, vcpus, pinning) | unset)
    every = {vcpu for shared, dedicated, _ in cells for vcpu in shared | dedicated}
    dedicated = every if policy == "dedicated" else set()
    uuid = f"00000000-0000-4000-8000-{number:012x}"
    numa = {"hw:numa_nodes": str(len(cells))} if cells else {}
    value = {
        "uuid": uuid,
        "project_id": "p",
        "name": f"old-{number}",
        "flavor": {
            "vcpus": len(every) or 2,
            "memory_mb": 64 * (len(cells) or 1),
            "extra_specs": {**numa, "hw:cpu_policy": "dedicated" if dedicated else "shared"},
        },
        "host": f"old-{host}",
        "generation": rng.randrange(1, 9),
        "layout": {
            "dedicated_cpus": cpus(dedicated),
            "shared_cpus": cpus(every - dedicated),
            "realtime_cpus": "",
            "cpu_policy": "dedicated" if dedicated else "shared",
            "cpu_thread_policy": None,
            "emulator_threads_policy": None,
            "emulator_cpus": cpus(set().union(*(pinning.values() for *_, pinning in cells))),
            "cells": layouts,
        },
    }
    return OldGuest(uuid, value, cells)


def _cell(at: int, vcpus: set[int], pinning: dict[int, int]) -> dict[str, Any]:
    return {
        "id": at,
        "host_cell": at,
        "cpuset": cpus(vcpus),
        "cpu_pinning": {str(vcpu): pcpu for vcpu, pcpu in pinning.items()},
        "memory_mb": 64,
    }


def _host(name: str, guests: list[OldGuest]) -> dict[str, Any]:
    """A host that has these, and no others."""
    cells = []
    for cell in range(CELLS):
        here = [guest.cells[cell] for guest in guests if len(guest.cells) > cell]
        pinned = set().union(*(pinning.values() for *_, pinning in here))
        first = cell * CELL_CPUS
        cells.append(
            {
                "id": cell,
                "cpus": cpus(set(range(first, first + CELL_CPUS))),
                "memory_mb": 4096,
                "pinned": cpus(pinned),
                "shared_used": sum(len(shared) for shared, _, _ in here),
                "memory_used_mb": 64 * len(here),
            }
        )
    floating = [guest for guest in guests if not guest.cells]
    shared = {cell * CELL_CPUS + cpu for cell in range(CELLS) for cpu in range(4)}
    every = set(range(CELLS * CELL_CPUS))
    return {
        "name": name,
        "cells": cells,
        "cpu_shared_set": cpus(shared),
        "cpu_dedicated_set": cpus(every - shared),
        "floating_vcpus": 2 * len(floating),
        "floating_memory_mb": 64 * len(floating),
    }


def record(form: int, value: dict[str, Any]) -> bytes:
    """The stored bytes of a value."""
    packed = msgpack.packb({"form": form, "value": value})
    assert isinstance(packed, bytes)
    return packed


def host_rows(guests: list[OldGuest]) -> list[dict[str, Any]]:
    """The rows of their hosts."""
    hosts: dict[str, list[OldGuest]] = {}
    for guest in guests:
        hosts.setdefault(guest.value["host"], []).append(guest)
    return [
        {"name": name, "revision": 1, "record": record(1, _host(name, those))}
        for name, those in hosts.items()
    ]


def guest_rows(guests: list[OldGuest]) -> list[dict[str, Any]]:
    """The rows of guests."""
    return [
        {
            "uuid": guest.uuid,
            "host": guest.value["host"],
            "generation": guest.value["generation"],
            "revision": 1,
            "record": record(1, guest.value),
        }
        for guest in guests
    ]


def fill_with_old(path: Path, guests: list[OldGuest]) -> None:
    """Store them with their hosts in a SQLite file whose tables are there, and empty."""
    database = sqlite3.connect(path)
    with database:
        database.executemany(
            "INSERT INTO hosts (name, revision, record) VALUES (:name, :revision, :record)",
            host_rows(guests),
        )
        database.executemany(
            "INSERT INTO instances (uuid, host, generation, revision, record)"
            " VALUES (:uuid, :host, :generation, :revision, :record)",
            guest_rows(guests),
        )
        database.execute("UPDATE meta SET value = 1 WHERE name IN ('revision', 'fleet')")
    database.close()
