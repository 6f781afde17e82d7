"""Whether what hosts say is used is what their guests' layouts add up to, reckoned from the JSON.

This shares no code with the program that it checks.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def cpus(text: str) -> list[int]:
    """The CPU numbers of a list form like ``0-3,7``."""
    ranges = [part.split("-") for part in text.split(",") if part]
    return [cpu for ends in ranges for cpu in range(int(ends[0]), int(ends[-1]) + 1)]


def faults(hosts: list[Json], guests: list[Json]) -> list[str]:
    """Where the books do not balance; a pCPU that two guests have is in there too."""
    found = []
    for host in hosts:
        mine = [guest for guest in guests if guest["host"] == host["name"]]
        for cell in host["cells"]:
            used = _cell([placed for guest in mine for placed in _on(guest, cell["id"])])
            said = {name: cell[name] for name in ("shared_used", "memory_used_mb")}
            said["pinned"] = cpus(cell["pinned"])
            if said != used:
                found.append(f"{host['name']}, cell {cell['id']}: {said} is not {used}")
        floating = [guest["flavor"] for guest in mine if not guest["layout"]["cells"]]
        for name, key in (("floating_vcpus", "vcpus"), ("floating_memory_mb", "memory_mb")):
            if host[name] != sum(flavor[key] for flavor in floating):
                found.append(f"{host['name']}: {name} is {host[name]}")
    unknown = {guest["host"] for guest in guests} - {host["name"] for host in hosts}
    return [*found, *(f"no host {name}" for name in unknown)]


def _on(guest: Json, cell: int) -> list[Json]:
    return [placed for placed in guest["layout"]["cells"] if placed["host_cell"] == cell]


def _cell(placed: list[Json]) -> Json:
    """What the guest cells on one host cell use; a pCPU given twice makes the list longer."""
    taken: Counter[int] = Counter()
    for cell in placed:
        taken.update(cell["cpu_pinning"].values())
        taken.update(cpus(cell["cpuset_reserved"]))
    return {
        "shared_used": sum(len(cpus(cell["cpuset"])) for cell in placed),
        "memory_used_mb": sum(cell["memory_mb"] for cell in placed),
        "pinned": sorted(taken.elements()),
    }


def damage(file: Path) -> list[str]:
    """What SQLite finds wrong with the file, and references that lead nowhere."""
    database = sqlite3.connect(file)
    try:
        told = [row[0] for row in database.execute("PRAGMA integrity_check")]
        broken = database.execute("PRAGMA foreign_key_check").fetchall()
    finally:
        database.close()
    return [*(line for line in told if line != "ok"), *map(str, broken)]
