"""Small hosts, guests of every kind, and changes of what a host is, at random."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins, to_builtins
from mdsvc.instance import Address, Instance
from mdsvc.policy.flavor import Image
from mdsvc.topology import Host

Json = dict[str, Any]

POOLS: list[dict[int, int]] = [
    {},
    {4: 131072},
    {4: 65536, 2048: 128},
    {2048: 96},
    {64: 4096},
]
"""Pages by their size in KiB."""


def random_host(random: Random, name: str) -> Host:
    """One to three cells of eight CPUs, most of them dedicated."""
    cells = [_cell(random, at) for at in range(random.choice([1, 1, 2, 3]))]
    cpus = [cpu for cell in cells for cpu in CpuSet.parse(cell["cpus"])]
    random.shuffle(cpus)
    shared, rest = random.randint(1, len(cpus) // 2), random.randint(0, 2)
    return _host(
        {
            "name": name,
            "cpu_shared_set": _text(cpus[:shared]),
            "cpu_dedicated_set": _text(cpus[shared : len(cpus) - rest]),
            "cpu_allocation_ratio": random.choice([1.0, 2.0, 16.0]),
            "ram_allocation_ratio": random.choice([1.0, 1.0, 1.5]),
            "cells": cells,
        }
    )


def _host(form: Json) -> Host:
    return from_builtins(form, Host)


def _text(cpus: list[int]) -> str:
    return str(CpuSet.of(cpus))


def _cell(random: Random, at: int) -> Json:
    cpus = list(range(8 * at, 8 * at + 8))
    return {
        "id": at,
        "cpus": _text(cpus),
        "memory_mb": random.choice([256, 512, 1024]),
        "siblings": _siblings(random, cpus),
        "pages": _pages(random),
    }


def _siblings(random: Random, cpus: list[int]) -> list[str]:
    """Cores of one, two or four threads, neighbours or not."""
    threads = random.choice([1, 2, 2, 4])
    if random.random() < 0.3:
        random.shuffle(cpus)
    return [_text(cpus[at : at + threads]) for at in range(0, len(cpus), threads)]


def _pages(random: Random) -> list[Json]:
    return [{"size_kb": size, "total": total} for size, total in random.choice(POOLS).items()]


# ---- guests ----


def random_instance(random: Random, number: int) -> Instance:
    """A guest of up to four vCPUs, which flavors may describe wrongly."""
    policy = random.choice(["dedicated", "mixed", "mixed", "shared", "floating"])
    vcpus = random.randint(1, 2 if policy == "floating" else 4)
    specs: Json = {} if policy == "floating" else {"hw:cpu_policy": policy}
    if policy == "mixed":
        specs["hw:cpu_dedicated_mask"] = f"^0-{random.randint(0, 1)}"
    if policy in ("dedicated", "mixed") and random.random() < 0.5:
        specs["hw:cpu_thread_policy"] = random.choice(["isolate", "isolate", "require"])
    if random.random() < 0.6:
        isolate = [] if policy in ("shared", "floating") else ["isolate"]
        specs["hw:emulator_threads_policy"] = random.choice(["share", *isolate])
    if policy != "floating":
        specs["hw:numa_nodes"] = random.choice([1, 1, 2 - vcpus % 2])
        if random.random() < 0.4:
            specs["hw:mem_page_size"] = random.choice(["small", "large", "any"])
    form = {
        "uuid": f"00000000-0000-4000-8000-{number:012}",
        "project_id": "p",
        "name": f"guest-{number}",
        "flavor": {"vcpus": vcpus, "memory_mb": 8 * random.randint(1, 40), "extra_specs": specs},
    }
    return from_builtins(form, Instance)


def random_image(random: Random) -> Image:
    """What a guest boots, which may change what it asks of its CPUs, or contradict its flavor."""
    properties = random.choice(
        [
            {},
            {},
            {"os_distro": random.choice(["debian", "fedora"])},
            {"hw_cpu_thread_policy": random.choice(["isolate", "prefer"])},
            {"hw_emulator_threads_policy": "share"},
            {"hw_mem_page_size": "small"},
            {"hw_cpu_policy": random.choice(["dedicated", "mixed", "shared"])},
        ]
    )
    return Image(properties=properties)


def random_addresses(random: Random) -> tuple[Address, ...]:
    """None, one or two of a few, so that guests want the same ones."""
    last = random.sample(range(1, 6), random.choice([0, 1, 1, 2]))
    return tuple(Address(network="n", ip=f"10.0.0.{number}") for number in sorted(last))


# ---- changes of a host ----


def changed(random: Random, host: Host) -> Host:
    """The host described anew, changed in one way or more, as far as that makes a host."""
    while True:
        form = to_builtins(host.without_use())
        for change in random.sample(CHANGES, random.choice([0, 1, 1, 1, 2])):
            change(random, form)
        try:
            return _host(form)
        except BadInput:
            continue


def _move_cpus(random: Random, form: Json) -> None:
    """Some CPUs go from one set to another, or to none."""
    names = ["cpu_shared_set", "cpu_dedicated_set", "neither"]
    sets = {name: CpuSet.parse(form.get(name, "")) for name in names}
    everywhere = [cpu for cell in form["cells"] for cpu in CpuSet.parse(cell["cpus"])]
    for cpu in random.sample(everywhere, min(len(everywhere), random.randint(1, 3))):
        sets = {name: cpus - CpuSet.of([cpu]) for name, cpus in sets.items()}
        sets[random.choice(names)] |= CpuSet.of([cpu])
    form |= {name: str(sets[name]) for name in names[:2]}


def _new_siblings(random: Random, form: Json) -> None:
    for cell in form["cells"]:
        cell["siblings"] = _siblings(random, list(CpuSet.parse(cell["cpus"])))


def _new_memory(random: Random, form: Json) -> None:
    random.choice(form["cells"])["memory_mb"] = random.choice([64, 128, 256, 1024])


def _new_pages(random: Random, form: Json) -> None:
    random.choice(form["cells"])["pages"] = _pages(random)


def _fewer_pages(random: Random, form: Json) -> None:
    for pool in random.choice(form["cells"])["pages"]:
        pool["total"] = int(pool["total"] * random.choice([0.1, 0.5, 2]))


def _new_ratios(random: Random, form: Json) -> None:
    form["cpu_allocation_ratio"] = random.choice([0.5, 1.0, 2.0, 16.0])
    form["ram_allocation_ratio"] = random.choice([0.5, 1.0, 1.5])


def _new_service_version(random: Random, form: Json) -> None:
    form["service_version"] = random.choice([1, 2, 3])


def _renumbered(random: Random, form: Json) -> None:
    """Cells have each other's ids, or new ones."""
    ids = [cell["id"] for cell in form["cells"]] if random.random() < 0.7 else list(range(3, 9))
    random.shuffle(ids)
    for cell, number in zip(form["cells"], ids, strict=False):
        cell["id"] = number


def _fewer_cells(random: Random, form: Json) -> None:
    """A cell goes, or a CPU of it."""
    cell = random.choice(form["cells"])
    gone = CpuSet.parse(cell["cpus"])
    if random.random() < 0.5:
        gone = CpuSet.of([random.choice(list(gone))]) if gone else gone
    cell["cpus"] = str(CpuSet.parse(cell["cpus"]) - gone)
    groups = [CpuSet.parse(group) - gone for group in cell["siblings"]]
    cell["siblings"] = [str(group) for group in groups if group]
    for name in ("cpu_shared_set", "cpu_dedicated_set"):
        form[name] = str(CpuSet.parse(form[name]) - gone)
    if not cell["cpus"] and len(form["cells"]) > 1:
        form["cells"] = [kept for kept in form["cells"] if kept is not cell]


CHANGES: list[Callable[[Random, Json], None]] = [
    _move_cpus,
    _move_cpus,
    _move_cpus,
    _new_siblings,
    _new_siblings,
    _new_memory,
    _new_pages,
    _fewer_pages,
    _new_ratios,
    _new_service_version,
    _renumbered,
    _fewer_cells,
]
