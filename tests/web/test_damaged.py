"""What cannot be read is named on the page and in the API's listings, beside what can be."""

from __future__ import annotations

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.instance import Instance
from mdsvc.policy.flavor import Flavor
from mdsvc.store import Store
from mdsvc.store.memory import MemoryStore
from tests.http.wire import Wire
from tests.stores.values import host, uuid


async def test_each_view_and_each_listing_names_it(store: Store, wire: Wire) -> None:
    assert isinstance(store, MemoryStore)
    for name in ("h1", "h2"):
        await add_host(store, host(name))
    for number in (1, 2):
        flavor = Flavor(vcpus=1, memory_mb=64)
        guest = Instance(uuid=uuid(number), project_id="p", name=f"g{number}", flavor=flavor)
        await create_instance(store, guest, "h1")
    store.damage("instance", uuid(1), "for a test")
    store.damage("host", "h2", "for a test")
    told = {"guest": f"the stored guest {uuid(1)} is damaged", "host": "the stored host h2 is"}
    for path, damaged in (
        ("/", told["host"]),
        ("/hosts/h1", told["guest"]),
        ("/instances", told["guest"]),
        ("/instances?q=g2", told["guest"]),
        ("/v1/hosts", told["host"]),
        ("/v1/instances?limit=1", told["guest"]),
    ):
        reply = await wire(path)
        assert reply.status == 200, reply.text
        assert damaged in reply.text
    assert (await wire(f"/v1/instances?marker={uuid(1)}")).text.count("damaged") == 0
    assert (await wire("/hosts/h2")).status == 500
