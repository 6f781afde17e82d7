"""A fleet to look at in the page: hosts of several shapes, guests of every policy, and what an
operator meets at night: a host that drains, one whose age holds others up, a guest that drifts, and
a placement that is stuck.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import NamedTuple

from mdsvc.control.draining import drain_host
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance, list_instances
from mdsvc.cpuset import CpuSet
from mdsvc.demo.shapes import ARM, EPYC, NO_SMT, XEON, Shape
from mdsvc.errors import DoesNotFit
from mdsvc.instance import Address, Instance, PlacedInstance
from mdsvc.policy.flavor import Flavor
from mdsvc.reports import Status, now_ms
from mdsvc.store import Store

_RACKS: Mapping[str, tuple[Shape, int]] = {
    "arm": (ARM, 4),
    "epyc": (EPYC, 8),
    "nosmt": (NO_SMT, 8),
    "xeon": (XEON, 16),
}
_DRAINING = "xeon-03"
_OLD = "xeon-old"
"""Its service is from before mixed guests, so none are placed anywhere (R17)."""

DEDICATED = {"hw:cpu_policy": "dedicated"}

STUCK = Flavor(
    name="upf.large",
    vcpus=28,
    memory_mb=96 * 1024,
    extra_specs={
        **DEDICATED,
        "hw:cpu_thread_policy": "isolate",
        "hw:numa_nodes": "2",
        "hw:mem_page_size": "2MB",
    },
)
"""What nobody has room for."""


class _Kind(NamedTuple):
    """Guests of one role; ``weight`` is how many of them there are among the others."""

    role: str
    vcpus: int
    gb: int
    weight: int
    specs: Mapping[str, str]


_KINDS = (
    _Kind("web", 4, 8, 5, {}),
    _Kind("build", 8, 16, 3, {"hw:cpu_policy": "shared", "hw:numa_nodes": "1"}),
    _Kind("db", 16, 64, 4, {**DEDICATED, "hw:cpu_thread_policy": "require"}),
    _Kind("cache", 8, 32, 3, {**DEDICATED, "hw:mem_page_size": "large"}),
    _Kind("trade", 6, 16, 3, {**DEDICATED, "hw:cpu_thread_policy": "isolate"}),
    _Kind("k8s", 16, 32, 4, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0-3"}),
    _Kind(
        "du", 12, 24, 4,
        {
            "hw:cpu_policy": "mixed",
            "hw:cpu_realtime": "yes",
            "hw:cpu_realtime_mask": "2-11",
            "hw:emulator_threads_policy": "isolate",
        },
    ),
    _Kind("upf", 20, 64, 2, {**DEDICATED, "hw:numa_nodes": "2", "hw:mem_page_size": "2MB"}),
)  # fmt: skip
_PER_RACK = {"arm": 6, "epyc": 13, "nosmt": 4, "xeon": 9}
"""Guests to a host, about: the fleet is to be nearly full."""
_UUIDS = "d5c0ffee-0000-4000-8001-"

_APART = 1000
"""From here on numbers are not those of the first guests."""


async def fill(store: Store) -> tuple[int, int]:
    """Make all of it. How many hosts and guests there are then."""
    random = Random("a fleet")  # noqa: S311  # the same fleet each time
    names = [name async for name in _hosts(store)]
    guests = [guest async for guest in _guests(store, names, random)]
    await report(store)
    await drain_host(store, _DRAINING)
    await add_host(store, XEON.host(_OLD, service_version=1))
    last = await create_instance(store, _guest(len(guests) + _APART, _KINDS[-1]), _OLD)
    return len(names) + 1, len([*guests, last])


async def _hosts(store: Store) -> AsyncIterator[str]:
    for rack, (shape, number) in _RACKS.items():
        for at in range(1, number + 1):
            packing = "pack" if rack == "epyc" else "spread"
            host = await add_host(store, shape.host(f"{rack}-{at:02}", packing=packing))
            yield host.name


async def _guests(store: Store, hosts: list[str], random: Random) -> AsyncIterator[PlacedInstance]:
    weights = [kind.weight for kind in _KINDS]
    number = 0
    for host in hosts:
        for _ in range(round(_PER_RACK[host.partition("-")[0]] * random.uniform(0.6, 1.4))):
            [kind] = random.choices(_KINDS, weights)
            number += 1
            try:
                yield await create_instance(store, _guest(number, kind), host)
            except DoesNotFit:
                continue


def _guest(number: int, kind: _Kind) -> Instance:
    flavor = Flavor(
        name=f"{kind.role}.{kind.vcpus}",
        vcpus=kind.vcpus,
        memory_mb=1024 * kind.gb,
        extra_specs=dict(kind.specs),
    )
    return Instance(
        uuid=f"{_UUIDS}{number:012}",
        project_id=("shop", "core-network", "research")[number % 3],
        name=f"{kind.role}-{number}",
        flavor=flavor,
        addresses=(Address("fleet-net", f"10.1.{number // 250}.{number % 250 + 1}"),),
    )


async def report(store: Store) -> None:
    """A third of the guests with CPUs of their own report that all is well; one, that it is not."""
    own = [guest for guest in await list_instances(store) if guest.uuid.startswith(_UUIDS)]
    guests = [guest for guest in own if guest.layout.dedicated_cpus][::3]
    for at, guest in enumerate(guests):
        told = guest.layout.dedicated_cpus
        cpus = told if at else told - CpuSet.of([max(told)])
        status = Status(
            generation=guest.generation,
            state="isolated" if cpus == told else "partly",
            dedicated_cpus=cpus,
            isolated_cpus=cpus,
        )
        await store.set_report(guest.uuid, status, now_ms())
