"""Records that cannot be read are counted, and what they use is not free."""

from __future__ import annotations

from mdsvc.control.drifting import Drifting
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance, delete_instance
from mdsvc.instance import Instance
from mdsvc.metrics.fleet import Fleet
from mdsvc.policy.flavor import Flavor
from mdsvc.store.memory import MemoryStore
from tests.stores.values import host, uuid

PINNED = Flavor(vcpus=6, memory_mb=64, extra_specs={"hw:cpu_policy": "dedicated"})


def _figures(fleet: Fleet) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in fleet.families()
        for sample in family.samples
    }


async def test_they_are_counted_until_they_are_gone() -> None:
    store = MemoryStore()
    await add_host(store, host())
    await add_host(store, host("h2"))
    for number in (1, 2):
        guest = Instance(uuid=uuid(number), project_id="p", name="g", flavor=PINNED)
        await create_instance(store, guest, "h1")
    store.damage("instance", uuid(1), "for a test")
    store.damage("host", "h2", "for a test")
    fleet = Fleet(store, Drifting(store).count)
    await fleet.look()
    figures = _figures(fleet)
    assert figures["mdsvc_unreadable", "host"] == 1
    assert figures["mdsvc_unreadable", "instance"] == 1
    assert figures["mdsvc_pcpus", "h1", "free"] == 0
    await delete_instance(store, uuid(1))
    await fleet.look()
    figures = _figures(fleet)
    assert figures["mdsvc_unreadable", "instance"] == 0
    assert figures["mdsvc_pcpus", "h1", "free"] == 6
